package wire

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
)

// conns are the connections that are open. It is safe for concurrent use.
type conns struct {
	mu     sync.Mutex
	open   map[*Conn]struct{}
	from   map[caller]int // how many a node opened to this one
	added  uint64
	closed bool
}

// caller is what connections are counted by: what one user of a node opens keeps no other one out.
type caller struct {
	node   string // "" on the join stream
	stream Stream
}

func (c *Conn) caller() caller { return caller{c.peer.Name, c.stream} }

func newConns() *conns {
	return &conns{open: map[*Conn]struct{}{}, from: map[caller]int{}}
}

// add takes one in. limit is for those that its peer opened. Strangers share one limit, so none
// of them is refused for what others hold: the surplus has to go, which is returned, and is none any more.
func (s *conns) add(c *Conn, limit int) (evicted *Conn, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	if c.counted {
		if n := s.from[c.caller()]; n >= limit {
			if c.stream != Join {
				return nil, fmt.Errorf("%w: %q has %d of %s", ErrBusy, c.peer.Name, n, c.stream)
			}
			evicted = s.surplus(c.from)
			s.drop(evicted)
		}
		s.from[c.caller()]++
	}
	s.added++
	c.order = s.added
	s.open[c] = struct{}{}
	return evicted, nil
}

// surplus is the stranger that has to go for one that comes: of the address that has most of them then, the oldest.
func (s *conns) surplus(comes netip.Prefix) (surplus *Conn) {
	of := map[netip.Prefix]int{comes: 1}
	for c := range s.open {
		if c.stream == Join {
			of[c.from]++
		}
	}
	for c := range s.open {
		if c.stream == Join && (surplus == nil || cmp.Or(cmp.Compare(of[surplus.from], of[c.from]), cmp.Compare(c.order, surplus.order)) < 0) {
			surplus = c
		}
	}
	return surplus
}

// remove forgets one. A second time it does nothing.
func (s *conns) remove(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.open[c]; ok {
		s.drop(c)
	}
}

// drop is called with mu held.
func (s *conns) drop(c *Conn) {
	delete(s.open, c)
	if !c.counted {
		return
	}
	if s.from[c.caller()]--; s.from[c.caller()] == 0 {
		delete(s.from, c.caller())
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
