package actors

import "sync"

// lane does one thing after the other, in the order they came. What comes when nothing is being
// done is done by whoever waits for it, if somebody does: that saves a goroutine on the way. The
// rest is done in a goroutine that is there while there is something to do.
type lane struct {
	wg *sync.WaitGroup

	mu    sync.Mutex
	queue []func()
	busy  bool
}

// add has do done in its turn. handOver gives it to who waits for it, or returns false.
func (l *lane) add(do func(), handOver func(do func()) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy {
		l.queue = append(l.queue, do)
		return
	}
	l.busy = true
	l.wg.Add(1) // until nothing is left
	if !handOver(func() { do(); l.next() }) {
		l.queue = append(l.queue, do)
		go l.work()
	}
}

// next has a goroutine do what has come meanwhile.
func (l *lane) next() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) > 0 {
		go l.work()
		return
	}
	l.busy = false
	l.wg.Done()
}

func (l *lane) work() {
	for {
		l.mu.Lock()
		todo := l.queue
		l.queue = nil
		if len(todo) == 0 {
			l.busy = false
			l.wg.Done()
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		for _, do := range todo {
			do()
		}
	}
}
