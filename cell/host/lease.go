package host

import (
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/pyisolate/pyisolate/internal/boottime"
)

// LapsedStatus is what a host exits with whose lease has lapsed.
const LapsedStatus = 75

// lease ends the host at a time. The node that has given it may be stopped, or out of reach: its
// cells are others' by then, and nobody but the host itself can end them.
type lease struct {
	mu    sync.Mutex
	until time.Duration // since boot; 0: no end
	timer *time.Timer
	exit  func()
}

// lookAgain is how long to trust a timer, which does not count while the machine sleeps.
const lookAgain = 100 * time.Millisecond

func newLease(exit func()) *lease {
	if exit == nil {
		exit = func() {
			fmt.Fprintln(os.Stderr, "host: the node's lease has lapsed")
			os.Exit(LapsedStatus)
		}
	}
	return &lease{exit: exit}
}

// greeted notes the end that a host is started with. It has no guests and reads no messages until it
// is ready, which may take longer than the lease; see begin.
func (l *lease) greeted(ns int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = time.Duration(max(ns, 0))
}

// begin acts on the end from now on: there is to be a guest.
func (l *lease) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timer == nil {
		l.look()
	}
}

// extend sets another end, and acts on it. One that has come does not go back.
func (l *lease) extend(ns int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = time.Duration(max(ns, 0))
	l.look()
}

// look acts, under mu, on what time it is.
func (l *lease) look() {
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	if l.until == 0 {
		return
	}
	left := l.until - boottime.Now()
	if left <= 0 {
		l.exit()
		return
	}
	l.timer = time.AfterFunc(min(left, lookAgain), func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.look()
	})
}

func (l *lease) stop() { l.extend(0) }
