package fabric

import (
	"context"
	"sync"
	"time"

	"github.com/pyisolate/pyisolate/cluster/group"
)

// refreshWithin is how long a call waits to know what was agreed: longer than the leader takes to change.
const refreshWithin = 2 * time.Second

// refresher asks the leader for all who want to know at once: any number of calls about names that
// nobody has costs the cluster no more than one.
type refresher struct {
	mu      sync.Mutex
	running bool
	next    *round // that has not begun
}

// round is a fence that several wait for.
type round struct {
	done chan struct{} // closed with err
	err  error
}

// Refresh returns when all that was agreed before the call is known here: with the first fence that
// begins after it. It waits two seconds at most; the error is fault.ErrUnavailable then.
func (f *Fabric) Refresh(ctx context.Context) error {
	c := f.at()
	if c == nil {
		return errCutOff
	}
	ctx, cancel := context.WithTimeout(ctx, refreshWithin)
	defer cancel()
	r := f.refreshes.join(f, c.Group())
	select {
	case <-r.done:
		return told(r.err)
	case <-ctx.Done():
		return told(context.Cause(ctx))
	}
}

// join is the round after the one under way, which it begins if there is none.
func (s *refresher) join(f *Fabric, g *group.Group) *round {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == nil {
		s.next = &round{done: make(chan struct{})}
	}
	r := s.next
	if !s.running {
		if s.running = f.spawn(func() { s.run(f.life, g) }); !s.running {
			s.next, r.err = nil, group.ErrClosed
			close(r.done)
		}
	}
	return r
}

// run does rounds for as long as somebody waits.
func (s *refresher) run(life context.Context, g *group.Group) {
	for r := s.take(); r != nil; r = s.take() {
		ctx, cancel := context.WithTimeout(life, refreshWithin)
		r.err = g.Fence(ctx)
		cancel()
		close(r.done)
	}
}

func (s *refresher) take() *round {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.next
	s.next, s.running = nil, r != nil
	return r
}
