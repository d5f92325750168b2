package conformance

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// onThread calls f on a fresh thread, which ends with it: what a thread has put on can
// never be taken off again. It is not the process's first, which does not end.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go lockAndRun(f, done)
	return <-done
}

func lockAndRun(f func() error, done chan<- error) {
	runtime.LockOSThread() // never unlocked: the runtime ends such a thread
	if unix.Gettid() != os.Getpid() {
		done <- f()
		return
	}
	other := make(chan error, 1)
	go lockAndRun(f, other) // not on the first thread, which is held here
	err := <-other
	runtime.UnlockOSThread()
	done <- err
}
