package enforce

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// maxListings is how often a process's threads are listed: each time a thread that was not bound
// yet can have started another.
const maxListings = 256

// quiet is how many listings in a row must have nobody who was not bound. One alone may lack a
// thread: the kernel ends a listing early when the thread ends that it has come to.
const quiet = 2

// binder is a cell of the guard.
type binder interface {
	Bind(tid int) error
	Bound(tid int) bool
}

// bindAll binds all threads of a process. What a bound one starts is bound, so that it is
// enough to go on until all are; who has ended meanwhile needs no binding.
func bindAll(list func() ([]int, error), to binder) error {
	done := map[int]bool{}
	still := 0
	for range maxListings {
		tids, err := list()
		if err != nil {
			return err
		}
		still++
		for _, tid := range tids {
			if done[tid] {
				continue
			}
			done[tid] = true
			if to.Bound(tid) { // by who started it
				continue
			}
			still = 0
			if err := to.Bind(tid); err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.ENOENT) {
				return err
			}
		}
		if still == quiet {
			return nil
		}
	}
	return fmt.Errorf("enforce: the process starts threads faster than they can be bound; there were %d", len(done))
}
