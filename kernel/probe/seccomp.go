package probe

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/internal/osthread"
)

func seccompRows() []Row {
	return []Row{
		row(SeccompFilter, "put a filter on a thread and call what it refuses", osthread.Run(tryFilter)),
		row(SeccompKill, "ask whether a filter may kill the process", tryKill()),
		row(SeccompNotify, "answer a thread's getppid from another thread", tryNotify()),
	}
}

// tryFilter does not use a cell's filter: that keeps the Go runtime, which may act on
// any thread, from signalling its other threads.
func tryFilter() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if _, err := install(judge(unix.SYS_UNSHARE, unix.SECCOMP_RET_ERRNO|uint32(unix.EXDEV)), 0); err != nil {
		return err
	}
	if err := unix.Unshare(0); !errors.Is(err, unix.EXDEV) {
		return unexpected(err, unix.EXDEV)
	}
	return nil
}

// judge is a filter that gives one call an answer and allows everything else.
func judge(call, answer uint32) []unix.SockFilter {
	return []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}, // the number
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: call, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: answer},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
}

// install puts a filter on this thread and returns its listener, if flags ask for one.
func install(code []unix.SockFilter, flags uintptr) (int, error) {
	f := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	fd, _, e := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&f)))
	runtime.KeepAlive(code)
	if e != 0 {
		return -1, e
	}
	return int(fd), nil
}

func tryKill() error {
	action := uint32(unix.SECCOMP_RET_KILL_PROCESS)
	_, _, e := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&action)))
	if e != 0 {
		return e
	}
	return nil
}

// notifyAnswer is what the supervisor lets getppid return; no process has this number.
const notifyAnswer = 0x5eccc0de

func tryNotify() error {
	listener := make(chan int, 1)
	answered := make(chan error, 1)
	go func() {
		fd, ok := <-listener
		if !ok {
			answered <- nil
			return
		}
		answered <- answerOne(fd)
		_ = unix.Close(fd) // without a listener the call fails with ENOSYS
	}()
	err := osthread.Run(func() error {
		defer close(listener)
		fd, err := listen()
		if err != nil {
			return err
		}
		listener <- fd
		// Not RawSyscall: the runtime must know that this waits for another goroutine.
		if got, _, e := unix.Syscall(unix.SYS_GETPPID, 0, 0, 0); e != 0 || got != notifyAnswer {
			return fmt.Errorf("getppid gave %d, %w", got, e)
		}
		return nil
	})
	return errors.Join(err, <-answered)
}

func listen() (int, error) {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return -1, err
	}
	return install(judge(unix.SYS_GETPPID, unix.SECCOMP_RET_USER_NOTIF), unix.SECCOMP_FILTER_FLAG_NEW_LISTENER)
}

// notification and response are struct seccomp_notif and seccomp_notif_resp.
type notification struct {
	id         uint64
	pid, flags uint32
	data       [64]byte
}

type response struct {
	id           uint64
	value        int64
	error, flags int32
}

func answerOne(fd int) error {
	var n notification
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&n))); e != 0 {
		return fmt.Errorf("receive: %w", e)
	}
	r := response{id: n.id, value: notifyAnswer}
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&r))); e != 0 {
		return fmt.Errorf("answer: %w", e)
	}
	return nil
}
