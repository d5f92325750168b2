package host

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pyisolate/pyisolate/cell/ring"
)

// slot is a started worker and its region.
type slot struct {
	region *ring.Region
	worker Worker
	seat   uint64 // its number with the node; 0: it has none
}

// Times of the pool: how long a worker may take to become ready, and the wait
// after a start that failed, doubling.
const (
	readyTimeout = 30 * time.Second
	// refillPause lets a claimed cell run its first operation before a new one
	// competes for the processor; a pool that is half empty is refilled at once.
	refillPause = 2 * time.Millisecond
	refillFirst = 100 * time.Millisecond
	refillMost  = 5 * time.Second
)

// pool keeps size workers that have said OutReady.
type pool struct {
	exec    Executor
	size    int
	changed func(ready, starting int, err error)
	seats   *seating // nil: workers have no seats

	mu       sync.Mutex
	ready    []*slot
	starting int
	backoff  time.Duration
	retry    *time.Timer
	closed   bool
	wg       sync.WaitGroup
}

func newPool(exec Executor, size int, seats *seating, changed func(ready, starting int, err error)) *pool {
	p := &pool{exec: exec, size: size, seats: seats, changed: changed}
	p.fill()
	return p
}

// take returns a ready slot, or nil: that of a seat, or where workers have none any. One with a
// seat is nobody's who does not name it: its policy is another's. The caller sees to refill.
func (p *pool) take(seat uint64) *slot {
	if p.seats != nil && seat == 0 {
		return nil
	}
	p.mu.Lock()
	var dead []*slot
	var got *slot
	p.ready = slices.DeleteFunc(p.ready, func(s *slot) bool {
		switch {
		case ended(s.worker):
			dead = append(dead, s)
		case got == nil && (seat == 0 || seat == s.seat):
			got = s
		default:
			return false
		}
		return true
	})
	p.mu.Unlock()
	for _, s := range dead {
		p.seats.leave(s)
		_ = s.region.Free()
	}
	return got
}

// refill is called after take, when there is a moment.
func (p *pool) refill() {
	p.mu.Lock()
	plenty := 2*len(p.ready) >= p.size
	p.mu.Unlock()
	if plenty {
		time.AfterFunc(refillPause, p.fill)
	} else {
		p.fill()
	}
}

func ended(w Worker) bool {
	select {
	case <-w.Done():
		return true
	default:
		return false
	}
}

// fill starts as many workers as are missing.
func (p *pool) fill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.closed && p.retry == nil && len(p.ready)+p.starting < p.size {
		p.starting++
		p.wg.Go(p.addOne)
	}
}

func (p *pool) addOne() {
	s, err := p.start(0)
	p.mu.Lock()
	p.starting--
	closed := p.closed
	switch {
	case err != nil && !closed:
		p.backoff = min(max(2*p.backoff, refillFirst), refillMost)
		if p.retry == nil {
			p.retry = time.AfterFunc(p.backoff, p.again)
		}
	case err == nil && !closed:
		p.backoff = 0
		p.ready = append(p.ready, s)
	}
	ready, starting := len(p.ready), p.starting
	p.mu.Unlock()
	if closed && err == nil {
		s.discard() // the node is gone, and its seats with it
	}
	if !closed {
		p.changed(ready, starting, err)
	}
}

func (p *pool) again() {
	p.mu.Lock()
	p.retry = nil
	p.mu.Unlock()
	p.fill()
}

// startTries is more than the failures after which a zygote is done without.
const startTries = restFailures + 1

// start makes one worker, for a cell or with 0 for the pool, and waits until it is ready and
// has its seat. A zygote that dies takes the
// workers along that it was starting: they are started anew.
func (p *pool) start(cell uint64) (s *slot, err error) {
	for range startTries {
		if s, err = p.startOnce(cell); !errors.Is(err, errZygoteDied) {
			break
		}
	}
	return s, err
}

func (p *pool) startOnce(cell uint64) (*slot, error) {
	region, err := ring.New(ring.Options{})
	if err != nil {
		return nil, fmt.Errorf("host: start a cell: %w", err)
	}
	number := p.seats.number()
	region.SetWorker(number)
	worker, err := p.exec.Start(region)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("host: start a cell: %w", err), region.Free())
	}
	s := &slot{region: region, worker: worker, seat: number}
	if err = s.awaitReady(); err != nil {
		p.seats.leave(s) // the node may watch it already
	} else if p.seats != nil {
		err = p.seats.take(s, cell)
	}
	if err != nil {
		s.discard()
		return nil, err
	}
	return s, nil
}

func (s *slot) awaitReady() error {
	overdue := time.AfterFunc(readyTimeout, s.region.Close)
	defer overdue.Stop()
	settled := make(chan struct{})
	var watch sync.WaitGroup
	defer watch.Wait()
	defer close(settled)
	watch.Go(func() {
		select {
		case <-s.worker.Done():
			s.region.Hangup()
		case <-settled:
		}
	})
	f, err := s.region.Recv()
	switch {
	case err == nil && f.Kind == ring.OutReady:
		return nil
	case err == nil && f.Kind == ring.OutError:
		if e, bad := parseError(f.Payload); bad == nil {
			return fmt.Errorf("host: cell did not start: %w", e)
		}
	case errors.Is(err, ring.ErrClosed) && ended(s.worker) && s.worker.Err() != nil:
		return fmt.Errorf("host: cell did not start: %w", s.worker.Err())
	case err != nil:
		return fmt.Errorf("host: cell did not become ready: %w", err)
	}
	return fmt.Errorf("host: cell did not start: its first frame is of kind %d", f.Kind)
}

// discard ends a worker nobody has claimed. One that does not end keeps its
// region.
func (s *slot) discard() {
	s.worker.Kill()
	s.region.Close()
	if awaitEnd(s.worker, stuckAfter) {
		_ = s.region.Free()
	}
}

// awaitEnd reports whether the worker ended within d.
func awaitEnd(w Worker, d time.Duration) bool {
	limit := time.NewTimer(d)
	defer limit.Stop()
	select {
	case <-w.Done():
		return true
	case <-limit.C:
		return false
	}
}

// close ends all workers that are not claimed.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	slots := p.ready
	p.ready = nil
	if p.retry != nil {
		p.retry.Stop()
	}
	p.mu.Unlock()
	for _, s := range slots {
		p.wg.Go(s.discard)
	}
	p.wg.Wait()
}
