package actors

import "sync"

// lane does one thing after the other, in the order they came. Each is done by whoever waits for
// it, if somebody does when its turn comes: that saves a goroutine on the way. What nobody waits
// for is done in a goroutine of its own.
type lane struct {
	wg *sync.WaitGroup

	mu    sync.Mutex
	queue []task
	busy  bool
}

// task is something to be done. handOver gives it to who waits for it, or returns false.
type task struct {
	do       func()
	handOver func(do func()) bool
}

// add has do done in its turn.
func (l *lane) add(do func(), handOver func(do func()) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := task{do, handOver}
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
	if !t.handOver(do) {
		go do()
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

// idle says that nothing is to be done.
func (l *lane) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.busy
}
