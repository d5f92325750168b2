package server

import "github.com/pyisolate/pyisolate/policystore"

// Roles is the least role of each call of clients.
func Roles() map[string]policystore.Role {
	roles := map[string]policystore.Role{}
	for call, r := range rules {
		if !r.nodes {
			roles[call] = r.role
		}
	}
	return roles
}

// OfNodes are the calls that only nodes make.
func OfNodes() (all []string) {
	for call, r := range rules {
		if r.nodes {
			all = append(all, call)
		}
	}
	return all
}

// Underway is how many calls are being answered.
func (s *Server) Underway() int64 {
	g := s.http.Handler.(*gate)
	n := int64(0)
	for _, all := range []*rooms{g.clients.own, g.clients.others, g.nodes.own, g.nodes.others} {
		for _, room := range []*slots{all.short, all.long, all.open} {
			room.mu.Lock()
			n += room.used
			room.mu.Unlock()
		}
	}
	return n
}

// BoundAnswers has clients leave at most n bytes of answers unread.
func (s *Server) BoundAnswers(n int64) {
	s.http.Handler.(*gate).clients.others.answers = newSlots(n)
}

// Unread is how many bytes of answers are made and not taken.
func (s *Server) Unread() (n int64) {
	g := s.http.Handler.(*gate)
	for _, all := range []*rooms{g.clients.others, g.nodes.own, g.nodes.others} {
		all.answers.mu.Lock()
		n += all.answers.used
		all.answers.mu.Unlock()
	}
	return n
}

// Refusing is how many refusals are being told.
func (s *Server) Refusing() int64 {
	g := s.http.Handler.(*gate)
	g.refusing.mu.Lock()
	defer g.refusing.mu.Unlock()
	return g.refusing.used
}

// ValidPages is what New holds pages to.
func ValidPages(pages map[string]Page) error { return validPages(pages) }

// Unwanted says whether a reservation was given up before it was made.
func (s *Server) Unwanted(from, migration string) bool {
	s.transfers.mu.Lock()
	defer s.transfers.mu.Unlock()
	v := s.transfers.all[reserved{from, migration}]
	return v != nil && v.unwanted
}

// ArrivingOf is how much has come of what a node sends.
func (s *Server) ArrivingOf(from, migration string) int64 {
	return s.transfers.checkpoints.Archive.Arriving(reserved{from, migration}.arrival())
}
