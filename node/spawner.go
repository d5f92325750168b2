package node

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

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
	began    chan struct{} // when there is a starter
	ended    chan struct{}
	capacity *capacity
	may      func() error // says why no cell may be started now; nil: one always may
	session  session      // of the cluster; nil: the node is by itself

	mu       sync.Mutex
	starter  starter
	draining bool
	running  int64
	begun    uint64        // operations, in all
	none     chan struct{} // closed when none runs
}

func newSpawner(c *capacity) *spawner {
	s := &spawner{capacity: c, began: make(chan struct{}), ended: make(chan struct{}), none: make(chan struct{})}
	close(s.none)
	return s
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
	s.draining = true
}

// end has whoever waits wait no longer. It is called once.
func (s *spawner) end() {
	s.drain()
	close(s.ended)
}

func (s *spawner) underWay() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running
}

// quiet waits until nothing has been under way for so long: until the answer of the last
// operation is on its way, and one that waited for it has begun. It fails when ctx ends, or the
// spawner does.
func (s *spawner) quiet(ctx context.Context, still time.Duration) error {
	pause := time.NewTimer(still)
	defer pause.Stop()
	for {
		s.mu.Lock()
		begun, none := s.begun, s.none
		s.mu.Unlock()
		if err := waitFor(ctx, s.ended, none); err != nil {
			return err
		}
		pause.Reset(still)
		if err := waitFor(ctx, s.ended, pause.C); err != nil {
			return err
		}
		s.mu.Lock()
		over := s.running == 0 && s.begun == begun
		s.mu.Unlock()
		if over {
			return nil
		}
	}
}

// waitFor waits for something, and fails when ctx ends before that, or the node.
func waitFor[T any](ctx context.Context, ended <-chan struct{}, something <-chan T) error {
	select {
	case <-something:
		return nil
	case <-ended:
		return errEnded
	case <-ctx.Done():
		return ctx.Err()
	}
}

// operate counts an operation until done is called.
func (s *spawner) operate() (done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == 0 {
		s.none = make(chan struct{})
	}
	s.running++
	s.begun++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.running--; s.running == 0 {
			close(s.none)
		}
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
	begun, err := s.mayStart()
	if err != nil {
		return nil, err
	}
	room, err := s.capacity.take(spec.Limits)
	if err != nil {
		return nil, err
	}
	defer s.operate()()
	started, err := with.Spawn(ctx, spec)
	if err != nil {
		room.leave()
		return nil, err
	}
	if room.settle(started) {
		started.Kill("all cells of its node were ended while it was started")
		return nil, fmt.Errorf("%w: all cells of the node were ended meanwhile", fault.ErrUnavailable)
	}
	if s.session != nil {
		started = lease(started, s.session, begun)
	}
	return &counted{started, s}, nil
}

// mayStart is the session of the cluster that a cell may be started in now, 0 where the node is by itself. It is looked at
// first: of a session that ends or begins before the rest is known, the cell is not.
func (s *spawner) mayStart() (begun uint64, err error) {
	if s.session != nil {
		begun = s.session()
	}
	if s.may != nil {
		if err := s.may(); err != nil {
			return 0, err
		}
	}
	if s.session != nil && begun == 0 {
		return 0, fmt.Errorf("%w: the node came to be of its cluster only now: try again", fault.ErrUnavailable)
	}
	return begun, nil
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

// Snapshot implements cell.Cell.
func (c *counted) Snapshot(ctx context.Context, to func([]byte) error) (cell.Snapshot, error) {
	defer c.by.operate()()
	return c.Cell.Snapshot(ctx, to)
}

// Restore implements cell.Cell.
func (c *counted) Restore(ctx context.Context, from io.Reader) error {
	defer c.by.operate()()
	return c.Cell.Restore(ctx, from)
}

// Warm says whether a worker was ready for it, as its launcher does.
func (c *counted) Warm() bool {
	w, says := c.Cell.(interface{ Warm() bool })
	return says && w.Warm()
}
