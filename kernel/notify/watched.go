package notify

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Watched is a listener that is served.
type Watched struct {
	supervisor *Supervisor
	target     Target
	rules      atomic.Pointer[Rules]
	file       *os.File
	conn       syscall.RawConn
	over       bool      // only for the goroutine that serves
	sameRoot   int       // a thread whose root has been compared; likewise
	telling    allowance // likewise
	closing    sync.Once
	done       chan struct{}
	counts     counters
}

func newWatched(s *Supervisor, file *os.File, t Target) (*Watched, error) {
	for _, dir := range t.Continue {
		if !clean(dir) {
			return nil, fmt.Errorf("notify: let the kernel go on below %q: the path is not absolute and clean", dir)
		}
	}
	conn, err := file.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("notify: %w", err)
	}
	w := &Watched{supervisor: s, target: t, file: file, conn: conn, done: make(chan struct{})}
	w.Swap(t.Rules)
	return w, nil
}

// Swap judges by r from the next call on; nil denies everything. It is one store: a call
// that is being judged is judged by the old rules.
func (w *Watched) Swap(r *Rules) {
	if r == nil {
		r = &Rules{}
	}
	w.rules.Store(r)
}

// Done is closed when the listener is served no more: after Close, or when no thread is
// left under its filter.
func (w *Watched) Done() <-chan struct{} { return w.done }

// Close denies everything and gives the listener up: its calls fail with ENOSYS. It waits
// five seconds at most for one that is worked on, and fails when that goes on; what it does is
// by the rules that were valid when it began.
func (w *Watched) Close() error {
	w.begone()
	late := time.NewTimer(closeWait)
	defer late.Stop()
	select {
	case <-w.done:
		return nil
	case <-late.C:
		return fmt.Errorf("notify: a call of %d is still worked on after %s", w.target.ID, closeWait)
	}
}

// begone begins to close. Closing the file waits for who is inside.
func (w *Watched) begone() {
	w.closing.Do(func() {
		w.Swap(nil)
		go func() { _ = w.file.Close() }()
	})
}

func (w *Watched) serve() {
	defer close(w.done)
	for !w.over {
		if err := w.conn.Read(w.turn); err != nil {
			break
		}
	}
	w.begone()
}

// turn answers one notification, and says whether there was one or there will be none. It
// has the descriptor for as long as it takes: Close waits for it.
func (w *Watched) turn(fd uintptr) bool {
	l := listener(fd)
	switch ready, gone := l.ready(); {
	case gone:
		w.over = true
		return true
	case !ready:
		return false
	}
	n, err := l.receive()
	switch {
	case err == nil:
		w.answer(l, &n)
	case !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EINTR): // not one whose caller has gone
		w.over = true
	}
	return true
}

func (w *Watched) answer(l listener, n *notification) {
	if !w.supervisor.enter() {
		w.counts.failed.Add(1)
		l.refuse(n.id, unix.EACCES)
		return
	}
	defer w.supervisor.leave()
	e := errand{w: w, rules: w.rules.Load(), from: target{tid: int(n.pid)}, listener: l, id: n.id, steps: maxSteps}
	r, err := e.run(n)
	switch {
	case errors.Is(err, errContinue):
		w.counts.continued.Add(1)
		l.goOn(n.id)
	case err != nil:
		if !errors.Is(err, errDenied) {
			w.counts.failed.Add(1)
		}
		l.refuse(n.id, numberOf(err))
	case r.fd >= 0:
		w.give(l, n.id, r)
	default:
		w.counts.changed.Add(1)
		l.succeed(n.id)
	}
}

// give puts an open file into the caller's table. Its limit of descriptors counts.
func (w *Watched) give(l listener, id uint64, r result) {
	defer func() { _ = unix.Close(r.fd) }()
	if err := l.inject(id, r.fd, r.closeOnExec); err != nil {
		w.counts.failed.Add(1)
		if number := unix.EACCES; errors.As(err, &number) {
			l.refuse(id, number)
		}
		return
	}
	w.counts.opened.Add(1)
}
