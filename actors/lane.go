package actors

import "sync"

// lane does one thing after the other, in the order they came, in a goroutine that is there
// while there is something to do.
type lane struct {
	wg *sync.WaitGroup

	mu    sync.Mutex
	queue []func()
	busy  bool
}

func (l *lane) add(do func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(l.queue, do)
	if !l.busy {
		l.busy = true
		l.wg.Go(l.work)
	}
}

func (l *lane) work() {
	for {
		l.mu.Lock()
		todo := l.queue
		l.queue = nil
		l.busy = len(todo) > 0
		l.mu.Unlock()
		if len(todo) == 0 {
			return
		}
		for _, do := range todo {
			do()
		}
	}
}
