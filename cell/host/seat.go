package host

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pyisolate/pyisolate/cell/wire"
)

// seating has the node bind each worker in the kernel before a guest is in it: a worker
// that is not seated is not used.
type seating struct {
	send func(cell uint64, body wire.Body)

	mu      sync.Mutex
	last    uint64
	waiting map[uint64]chan error // nil: closed
}

// seatTimeout bounds the node's answer.
const seatTimeout = 30 * time.Second

var errNotSeated = errors.New("host: the node did not seat the worker")

func newSeating(send func(cell uint64, body wire.Body)) *seating {
	return &seating{send: send, waiting: map[uint64]chan error{}}
}

// number gives the next worker its number; a nil t gives 0.
func (t *seating) number() uint64 {
	if t == nil {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	return t.last
}

// take waits until the worker has its seat, for the cell or, with 0, for the pool.
func (t *seating) take(s *slot, cell uint64) error {
	answer := make(chan error, 1)
	t.mu.Lock()
	if t.waiting == nil {
		t.mu.Unlock()
		return errNotSeated
	}
	t.waiting[s.seat] = answer
	t.mu.Unlock()
	t.send(cell, &wire.Control_Started{Started: &wire.Started{Worker: s.seat, Task: uint32(s.worker.Task())}})
	overdue := time.NewTimer(seatTimeout)
	defer overdue.Stop()
	err := errNotSeated
	select {
	case err = <-answer:
	case <-s.worker.Done():
	case <-overdue.C:
	}
	t.mu.Lock()
	delete(t.waiting, s.seat)
	t.mu.Unlock()
	if err != nil {
		t.leave(s)
	}
	return err
}

// answered is called by the reader.
func (t *seating) answered(m *wire.Seated) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if answer := t.waiting[m.GetWorker()]; answer != nil {
		var err error
		if m.GetError() != "" {
			err = fmt.Errorf("%w: %s", errNotSeated, m.GetError())
		}
		delete(t.waiting, m.GetWorker())
		answer <- err
	}
}

// leave tells the node that a worker nobody has claimed is gone.
func (t *seating) leave(s *slot) {
	if t != nil && s.seat != 0 {
		t.send(0, &wire.Control_Left{Left: &wire.Left{Worker: s.seat}})
	}
}

// close ends all waiting: the node is gone.
func (t *seating) close() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, answer := range t.waiting {
		answer <- errNotSeated
	}
	t.waiting = nil
}
