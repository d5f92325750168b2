package measure

import (
	"errors"
	"time"

	"github.com/pyisolate/pyisolate/kernel/internal/osthread"
)

// calls are made in one turn.
const calls = 50

// worker makes calls on a thread of its own, when it is told to.
type worker struct {
	begin chan struct{}
	took  chan time.Duration // closed when the thread ends
	ended chan error
}

// newWorker calls prepare on the thread before the first turn.
func newWorker(prepare, call func() error) *worker {
	w := &worker{begin: make(chan struct{}), took: make(chan time.Duration), ended: make(chan error, 1)}
	go func() {
		defer close(w.took)
		w.ended <- osthread.Run(func() error {
			if err := prepare(); err != nil {
				return err
			}
			return w.serve(call)
		})
	}()
	return w
}

func (w *worker) serve(call func() error) error {
	for range w.begin {
		begun := time.Now()
		for range calls {
			if err := call(); err != nil {
				return err
			}
		}
		w.took <- time.Since(begun)
	}
	return nil
}

// turn is microseconds a call; false when the thread has ended.
func (w *worker) turn() (float64, bool) {
	select {
	case w.begin <- struct{}{}:
	case <-w.took:
		return 0, false
	}
	took, ok := <-w.took
	return micros(took) / calls, ok
}

func (w *worker) stop() error {
	close(w.begin)
	return <-w.ended
}

// compare makes calls by turns on a free thread and on one that prepare has put under
// judgement.
func compare(n int, prepare, call func() error) (Figures, error) {
	free, judged := newWorker(func() error { return nil }, call), newWorker(prepare, call)
	var f Figures
	for range n + 1 {
		a, ok1 := free.turn()
		b, ok2 := judged.turn()
		if !ok1 || !ok2 {
			break
		}
		f.Free, f.Samples = append(f.Free, a), append(f.Samples, b)
	}
	if err := errors.Join(free.stop(), judged.stop()); err != nil {
		return Figures{}, err
	}
	f.Free, f.Samples = f.Free[1:], f.Samples[1:] // the first turn finds cold caches
	return f, nil
}
