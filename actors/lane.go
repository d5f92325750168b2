package actors

import (
	"slices"
	"sync"

	"github.com/pyisolate/pyisolate/internal/stack"
)

// lane does one thing after the other, in the order they came. Each is done by whoever waits for
// it, if somebody does when its turn comes: that saves a goroutine on the way. What nobody waits
// for is done in a goroutine of its own.
type lane struct {
	wg *sync.WaitGroup

	mu    sync.Mutex
	queue []task
	busy  bool
}

// task is something to be done, for a request or, with nil, nobody's.
type task struct {
	do func()
	of *request
}

// add has do done in its turn.
func (l *lane) add(do func(), of *request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := task{do, of}
	if l.busy {
		l.queue = append(l.queue, t)
		return
	}
	l.busy = true
	l.wg.Add(1) // until nothing is left
	l.begin(t)
}

// begin never waits.
func (l *lane) begin(t task) {
	do := func() { t.do(); l.next() }
	if t.of == nil || !t.of.handOver(do) {
		go func() {
			stack.Room()
			do()
		}()
	}
}

// next begins what has come meanwhile.
func (l *lane) next() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		l.queue, l.busy = nil, false
		l.wg.Done()
		return
	}
	t := l.queue[0]
	l.queue[0] = task{}
	l.queue = l.queue[1:]
	l.begin(t)
}

// drop takes out what waits for its turn for a request, or returns false.
func (l *lane) drop(of *request) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.queue, func(t task) bool { return t.of == of })
	if i < 0 {
		return false
	}
	l.queue = slices.Delete(l.queue, i, i+1)
	return true
}

// idle says that nothing is to be done.
func (l *lane) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.busy
}
