// Package osthread runs a function on an operating-system thread of its own that
// ends with it. What a thread has put on (Landlock, seccomp, no_new_privs, another
// user) can never be taken off again, so a thread that tried it must not go back
// into the runtime's pool.
//
// It owns one goroutine for each call, which ends before Run returns.
package osthread

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Run calls f on a fresh thread and returns what it returned. The thread is never
// the process's first: that one does not end, and the process is judged by it.
func Run(f func() error) error {
	done := make(chan error, 1)
	go start(f, done)
	return <-done
}

func start(f func() error, done chan<- error) {
	runtime.LockOSThread() // never unlocked: the runtime ends such a thread
	if unix.Gettid() != os.Getpid() {
		done <- f()
		return
	}
	// Hold the first thread, so that the next goroutine cannot be on it.
	other := make(chan error, 1)
	go start(f, other)
	err := <-other
	runtime.UnlockOSThread()
	done <- err
}
