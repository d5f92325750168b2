package server

import (
	"fmt"
	"testing"

	"github.com/pyisolate/pyisolate/policystore"
)

// bound is a principal of a tenant.
func bound(tenant, token string) policystore.Principal {
	return policystore.Principal{Name: "uid:0", TokenID: token, Tenant: tenant}
}

// fill takes one after the other until there is none, and says how many that were.
func fill(s *slots, who ...policystore.Principal) (n int64) {
	for taken := true; taken; {
		taken = false
		for _, p := range who {
			if s.take(holdersOf(p, ""), 1) {
				taken = true
				n++
			}
		}
	}
	return n
}

func TestSlots(t *testing.T) {
	s := newSlots(16)
	take := func(who policystore.Principal, n int64, want bool) {
		t.Helper()
		if got := s.take(holdersOf(who, ""), n); got != want {
			t.Errorf("%v takes %d: %t", who, n, got)
		}
	}
	root, ci := policystore.Principal{Name: "uid:0"}, policystore.Principal{Name: "ci", TokenID: "1"}
	take(root, 9, false)
	take(root, 8, true)
	take(root, 1, false)            // a half is one's share
	take(bound("a", "2"), 3, false) // of what is left a tenant a half, and its principal half of that,
	take(bound("a", "2"), 2, true)  // whatever its name
	take(bound("a", "3"), 2, true)
	take(bound("a", "4"), 1, false) // for a tenant has its share, however many tokens
	take(ci, 3, false)
	take(ci, 2, true)
	s.give(holdersOf(root, ""), 2)
	take(root, 1, false) // it has still more than its share
	take(ci, 1, true)    // and others have not
	s.give(holdersOf(root, ""), 6)
	s.give(holdersOf(bound("a", "2"), ""), 2)
	s.give(holdersOf(bound("a", "3"), ""), 2)
	s.give(holdersOf(ci, ""), 3)
	if s.used != 0 || len(s.by) != 0 {
		t.Errorf("%d slots are held, by %v", s.used, s.by)
	}
}

// However much others hold, and with however many tokens, one more finds some.
func TestSlotsAreLeftForOthers(t *testing.T) {
	for _, c := range []struct {
		name          string
		others, least int64
	}{{"one", 1, 32}, {"two that fill in turn", 2, 20}, {"ten", 10, 4}, {"thirty", 30, 2}} {
		t.Run(c.name, func(t *testing.T) {
			s := newSlots(128)
			var greedy []policystore.Principal
			for i := range c.others {
				for token := range 3 {
					greedy = append(greedy, bound(fmt.Sprint("t", i), fmt.Sprint(i, ".", token)))
				}
			}
			fill(s, greedy...)
			if got := fill(s, bound("late", "l1"), bound("late", "l2")); got < c.least {
				t.Errorf("the last has %d slots, want %d or more", got, c.least)
			}
		})
	}
}

// Those that have more than their share give way as what they do ends.
func TestSharesBecomeEven(t *testing.T) {
	s := newSlots(120)
	who := []policystore.Principal{{TokenID: "1"}, {TokenID: "2"}, {TokenID: "3"}}
	for _, p := range who {
		fill(s, p) // the first has 60, the second 30, the third 15
	}
	for range 200 { // whatever ends, each tries to begin something else
		for _, p := range who {
			s.give(holdersOf(p, ""), 1)
		}
		fill(s, who...)
	}
	for _, p := range who {
		if got := s.by[holdersOf(p, "")[0]]; got < 28 || got > 32 {
			t.Errorf("%s has %d of 120, and about a fourth is for who comes next", p.TokenID, got)
		}
	}
}
