package seccomp

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Scope is which threads of the process get a filter.
type Scope uint

// The scopes.
const (
	// ThisThread is the calling thread, which must be locked, and what it starts.
	ThisThread Scope = 0
	// AllThreads are all of the process. It fails when one of them has a filter that
	// this thread has not.
	AllThreads Scope = unix.SECCOMP_FILTER_FLAG_TSYNC
)

// Install puts the program on, for good, and no_new_privs with it. It fills holes with
// the calling process's and thread's numbers.
//
// It is for threads that run no Go afterwards, for children and for tests: the Go runtime
// signals its threads to stop them, from whichever thread it is on, and the programs of
// cells refuse that.
func (p Program) Install(s Scope) error {
	if len(p.code) == 0 {
		return errors.New("seccomp: the program is empty")
	}
	_, err := install(p.Fill(os.Getpid(), unix.Gettid()).code, uintptr(s))
	return err
}

func install(code []unix.SockFilter, flags uintptr) (int, error) {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return -1, fmt.Errorf("seccomp: set no_new_privs: %w", err)
	}
	f := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	r, _, e := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&f)))
	runtime.KeepAlive(code)
	switch {
	case e != 0:
		return -1, fmt.Errorf("seccomp: install a filter of %d instructions: %w", len(code), e)
	case flags&unix.SECCOMP_FILTER_FLAG_TSYNC != 0 && r != 0:
		return -1, fmt.Errorf("seccomp: thread %d has another filter", r)
	default:
		return int(r), nil
	}
}
