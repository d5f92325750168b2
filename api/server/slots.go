package server

import (
	"cmp"
	"sync"

	"github.com/pyisolate/pyisolate/internal/share"
	"github.com/pyisolate/pyisolate/policystore"
)

// slots bound what is under way, in all and of each holder. Whoever holds none finds some,
// however much others hold: see share. Methods may be called from any goroutine.
type slots struct {
	all int64
	one int64 // the most of the outermost of a call's holders

	mu   sync.Mutex
	used int64
	by   map[string]int64
}

// newSlots has n.
func newSlots(n int64) *slots { return newShares(n, n/2) }

func newShares(all, one int64) *slots { return &slots{all: all, one: one, by: map[string]int64{}} }

// holders are whom a call is counted for: who calls, his tenant, if he is bound to one, and the node that
// passed the call on, if one did.
type holders []string

// holdersOf goes by the token where there is one: whoever makes a token chooses its name. A node, "" for none,
// chooses both.
func holdersOf(p policystore.Principal, node string) holders {
	who := holders{"principal " + cmp.Or(p.TokenID, p.Name)}
	if p.Tenant != "" {
		who = append(who, tenantHolder(p.Tenant))
	}
	if node != "" {
		who = append(who, "node "+node)
	}
	return who
}

func tenantHolder(tenant string) string { return "tenant " + tenant }

// most is what the holder at i may have: the outermost its share, one within it a half of that.
func (s *slots) most(who holders, i int) int64 {
	outermost := len(who) - 1
	of := min(s.one, share.Of(s.all, s.used-s.by[who[outermost]]))
	return max(1, of>>(outermost-i))
}

// take says whether there were n; it never waits. What is taken is to be given back.
func (s *slots) take(who holders, n int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used+n > s.all {
		return false
	}
	for i, one := range who {
		if s.by[one]+n > s.most(who, i) {
			return false
		}
	}
	s.used += n
	for _, one := range who {
		s.by[one] += n
	}
	return true
}

func (s *slots) give(who holders, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used -= n
	for _, one := range who {
		if s.by[one] -= n; s.by[one] == 0 {
			delete(s.by, one)
		}
	}
}
