package server

import (
	"testing"

	"github.com/pyisolate/pyisolate/policystore"
)

func TestSlots(t *testing.T) {
	s := newSlots(8)
	take := func(who policystore.Principal, n int64, want bool) {
		t.Helper()
		if got := s.take(holdersOf(who), n); got != want {
			t.Errorf("%v takes %d: %t", who, n, got)
		}
	}
	root, ci := policystore.Principal{Name: "uid:0"}, policystore.Principal{Name: "ci", TokenID: "1"}
	of := func(tenant, token string) policystore.Principal {
		return policystore.Principal{Name: "uid:0", TokenID: token, Tenant: tenant}
	}
	take(root, 5, false)
	take(root, 4, true)
	take(root, 1, false) // a half is one's share
	take(of("a", "2"), 3, false)
	take(of("a", "2"), 2, true) // whatever its name, and of a tenant a quarter,
	take(of("a", "3"), 1, true)
	take(ci, 1, true)
	take(ci, 1, false) // all are taken
	s.give(holdersOf(root), 4)
	take(of("a", "3"), 1, true)
	take(of("a", "4"), 1, false) // for a tenant has a half, however many tokens
	take(of("b", "5"), 2, true)
	s.give(holdersOf(of("a", "2")), 2)
	s.give(holdersOf(of("a", "3")), 2)
	s.give(holdersOf(of("b", "5")), 2)
	s.give(holdersOf(ci), 1)
	if s.used != 0 || len(s.by) != 0 {
		t.Errorf("%d slots are held, by %v", s.used, s.by)
	}
}
