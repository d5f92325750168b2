package server

import "sync"

// slots bound what is under way, in all and of each principal.
type slots struct {
	all, each int

	mu   sync.Mutex
	used int
	by   map[string]int
}

// newSlots has n, of which one principal may hold a half.
func newSlots(n int) *slots { return &slots{all: n, each: max(1, n/2), by: map[string]int{}} }

// take says whether there was one; it never waits.
func (s *slots) take(who string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used >= s.all || s.by[who] >= s.each {
		return false
	}
	s.used++
	s.by[who]++
	return true
}

func (s *slots) give(who string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used--
	if s.by[who]--; s.by[who] == 0 {
		delete(s.by, who)
	}
}
