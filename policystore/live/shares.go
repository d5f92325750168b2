package live

import (
	"context"
	"strings"
	"sync"
)

// shares are places to work in, of which no owner has more than some: those that never finish
// hold up their owner and nobody else.
type shares struct {
	all  chan struct{}
	each int

	mu sync.Mutex
	of map[string]*share // of owners with somebody in a place, or waiting for one
}

type share struct {
	places chan struct{}
	users  int
}

func newShares(total, each int) *shares {
	return &shares{all: make(chan struct{}, total), each: each, of: map[string]*share{}}
}

// owner is whose places the work for a policy takes: its tenant's, and the policy's own where
// it is shared by all. What is done for a cell takes places of the cell's tenant.
func owner(policy string) string {
	tenant, _, has := strings.Cut(policy, "/")
	if has {
		return ofTenant(tenant)
	}
	return policy
}

// ofTenant is a tenant as an owner. No policy has that name.
func ofTenant(tenant string) string { return tenant + "/" }

// enter takes a place, and reports false when ctx has ended.
func (s *shares) enter(ctx context.Context, owner string) bool {
	if mine := s.join(owner); !take(ctx, mine.places) {
		s.part(owner)
		return false
	} else if !take(ctx, s.all) {
		<-mine.places
		s.part(owner)
		return false
	}
	return true
}

func take(ctx context.Context, places chan struct{}) bool {
	select {
	case places <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// leave gives back what enter took.
func (s *shares) leave(owner string) {
	<-s.all
	<-s.part(owner).places
}

func (s *shares) join(owner string) *share {
	s.mu.Lock()
	defer s.mu.Unlock()
	mine := s.of[owner]
	if mine == nil {
		mine = &share{places: make(chan struct{}, s.each)}
		s.of[owner] = mine
	}
	mine.users++
	return mine
}

func (s *shares) part(owner string) *share {
	s.mu.Lock()
	defer s.mu.Unlock()
	mine := s.of[owner]
	if mine.users--; mine.users == 0 {
		delete(s.of, owner)
	}
	return mine
}
