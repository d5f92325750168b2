package node

import (
	"context"
	"fmt"
	"sync"

	"github.com/pyisolate/pyisolate/api/fault"
	"github.com/pyisolate/pyisolate/cell"
)

// starter starts cells: *launch.Launcher.
type starter interface {
	Spawn(ctx context.Context, spec cell.Spec) (cell.Cell, error)
}

// spawner starts cells from begin until drain, and knows how many operations are under way in
// them. Its methods may be called by any goroutine.
type spawner struct {
	began chan struct{} // when there is a starter
	ended chan struct{}

	mu       sync.Mutex
	starter  starter
	draining bool
	running  int64
	quiet    chan struct{} // closed when draining and nothing runs
}

func newSpawner() *spawner {
	return &spawner{began: make(chan struct{}), ended: make(chan struct{}), quiet: make(chan struct{})}
}

func (s *spawner) begin(with starter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.starter = with
	close(s.began)
}

// drain has no more cells started.
func (s *spawner) drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.draining {
		s.draining = true
		s.settle()
	}
}

// end has whoever waits for the starter wait no longer. It is called once.
func (s *spawner) end() {
	s.drain()
	close(s.ended)
}

// idle is closed when the spawner is draining and nothing was under way at some moment.
func (s *spawner) idle() <-chan struct{} { return s.quiet }

func (s *spawner) underWay() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running
}

// settle closes quiet when it is time. The caller holds s.mu.
func (s *spawner) settle() {
	if !s.draining || s.running > 0 {
		return
	}
	select {
	case <-s.quiet:
	default:
		close(s.quiet)
	}
}

// operate counts an operation until done is called.
func (s *spawner) operate() (done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.running--
		s.settle()
	}
}

// Spawn implements server.Spawner. While the node starts, it waits until it can.
func (s *spawner) Spawn(ctx context.Context, spec cell.Spec) (cell.Cell, error) {
	select {
	case <-s.began:
	case <-s.ended:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: the node is still starting", fault.ErrUnavailable)
	}
	s.mu.Lock()
	draining, with := s.draining, s.starter
	s.mu.Unlock()
	if draining {
		return nil, &fault.Hinted{Err: fmt.Errorf("%w: the node is draining and starts no more cells", fault.ErrUnavailable),
			Hint: "ask another node, or this one when it is back"}
	}
	defer s.operate()()
	started, err := with.Spawn(ctx, spec)
	if err != nil {
		return nil, err
	}
	return &counted{started, s}, nil
}

// counted is a cell whose operations are counted.
type counted struct {
	cell.Cell
	by *spawner
}

// Exec implements cell.Cell.
func (c *counted) Exec(ctx context.Context, src cell.Source) error {
	defer c.by.operate()()
	return c.Cell.Exec(ctx, src)
}

// Call implements cell.Cell.
func (c *counted) Call(ctx context.Context, inv cell.Invocation) (cell.Value, error) {
	defer c.by.operate()()
	return c.Cell.Call(ctx, inv)
}
