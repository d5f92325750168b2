package server

import (
	"errors"
	"fmt"
	"testing"

	"github.com/pyisolate/pyisolate/api/fault"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/policystore"
)

func TestRegistryNames(t *testing.T) {
	g := newRegistry()
	a := cellKey{"t", "a"}
	if err := g.reserve(a); err != nil {
		t.Fatal(err)
	}
	if err := g.reserve(a); !errors.Is(err, cell.Invalid) {
		t.Errorf("the same name again: %v", err)
	}
	if err := g.reserve(cellKey{"u", "a"}); err != nil {
		t.Errorf("another tenant's: %v", err)
	}
	if _, err := g.find(a); !errors.Is(err, policystore.ErrNotFound) {
		t.Errorf("one that is being started: %v", err)
	}
	if all := g.list(""); len(all) != 0 {
		t.Errorf("lists %d that are being started", len(all))
	}
	g.withdraw(a)
	if err := g.reserve(a); err != nil {
		t.Errorf("the name is not free again: %v", err)
	}
	g.close()
	if err := g.reserve(cellKey{"t", "b"}); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("after the end: %v", err)
	}
}

// Of the cells that a node can have, one tenant has no more than its part.
func TestRegistryBounds(t *testing.T) {
	g := newRegistry()
	for _, tenant := range []string{"t", "u"} {
		for i := range maxLiveOfOne {
			if err := g.reserve(cellKey{tenant, fmt.Sprint(i)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := g.reserve(cellKey{tenant, "x"}); !errors.Is(err, policystore.ErrLimited) {
			t.Errorf("one too many of %s: %v", tenant, err)
		}
	}
	if err := g.reserve(cellKey{"v", "x"}); !errors.Is(err, policystore.ErrLimited) {
		t.Errorf("one too many: %v", err)
	}
	g.withdraw(cellKey{"t", "0"})
	if err := g.reserve(cellKey{"t", "0"}); err != nil {
		t.Errorf("when one has ended: %v", err)
	}
}

// Of ended cells the latest are kept, and no tenant's push all others out.
func TestRegistryRemembers(t *testing.T) {
	g := newRegistry()
	retire := func(tenant string, n int) {
		for i := range n {
			g.retire(&resident{key: cellKey{tenant, fmt.Sprintf("%03d", i)}})
		}
	}
	retire("first", 5)
	retire("busy", 500)
	if first, busy := len(g.list("first")), len(g.list("busy")); first != 5 || busy != maxEndedOfOne {
		t.Errorf("%d and %d are remembered", first, busy)
	}
	if r, err := g.find(cellKey{"busy", "499"}); err != nil || r.key.name != "499" {
		t.Errorf("the latest: %v", err)
	}
	if _, err := g.find(cellKey{"busy", "000"}); !errors.Is(err, policystore.ErrNotFound) {
		t.Errorf("the oldest: %v", err)
	}
	for i := range 100 {
		retire(fmt.Sprintf("t%d", i), 1)
	}
	if n := len(g.list("")); n != maxEnded {
		t.Errorf("%d are remembered, want %d", n, maxEnded)
	}
}
