package wire

import (
	"fmt"
	"maps"
	"slices"
	"sync"
)

// conns are the connections that are open. It is safe for concurrent use.
type conns struct {
	mu     sync.Mutex
	open   map[*Conn]struct{}
	from   map[string]int // how many a node opened to this one; "" on the join stream
	closed bool
}

func newConns() *conns {
	return &conns{open: map[*Conn]struct{}{}, from: map[string]int{}}
}

// add takes one in. limit is for those that its peer opened.
func (s *conns) add(c *Conn, limit int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	if c.counted {
		if n := s.from[c.peer.Name]; n >= limit {
			return fmt.Errorf("%w: %q has %d", ErrBusy, c.peer.Name, n)
		}
		s.from[c.peer.Name]++
	}
	s.open[c] = struct{}{}
	return nil
}

// remove forgets one. A second time it does nothing.
func (s *conns) remove(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.open[c]; !ok {
		return
	}
	delete(s.open, c)
	if !c.counted {
		return
	}
	if s.from[c.peer.Name]--; s.from[c.peer.Name] == 0 {
		delete(s.from, c.peer.Name)
	}
}

func (s *conns) all() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.open))
}

func (s *conns) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// close takes in no more, and gives those there are.
func (s *conns) close() []*Conn {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	return s.all()
}
