package capability_test

import (
	"context"
	"testing"

	"github.com/pyisolate/pyisolate/broker/capability"
)

// However many calls are stuck, of one cell over its restarts or of all of a tenant's cells, others
// find a place.
func TestPlacesAreLeftForOthers(t *testing.T) {
	stuck := newGate()
	stuck.stubborn = true
	s := open(t, stuck, capability.Config{ConcurrentCalls: 16}, capability.Limits{})
	t.Cleanup(func() { close(stuck.letGo) })
	if err := s.broker.Register("echo", echo); err != nil {
		t.Fatal(err)
	}
	occupy := func(tenant, cell string) (n int) {
		for {
			session, err := s.broker.Open(capability.Identity{Tenant: tenant, Cell: cell}, grantOf(1, "test", "echo"))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			answer := make(chan error, 1)
			go func() {
				_, err := session.Do(ctx, capability.Request{Capability: "test", Action: "wait", Payload: capability.Null()})
				answer <- err
			}()
			select {
			case <-stuck.entered:
				n++
			case err := <-answer:
				cancel()
				wantKind(t, err, capability.Busy)
				return n
			}
			cancel()
			wantKind(t, <-answer, capability.Cancelled)
			session.Close()
		}
	}
	for _, c := range []struct {
		tenant, cell string
		want         int
	}{{"a", "one", 4}, {"a", "two", 2}, {"a", "three", 1}, {"a", "four", 1}, {"a", "five", 0}, {"b", "one", 2}} {
		if got := occupy(c.tenant, c.cell); got != c.want {
			t.Errorf("cell %s of tenant %s has %d places, want %d", c.cell, c.tenant, got, c.want)
		}
	}
	late, err := s.broker.Open(capability.Identity{Tenant: "c", Cell: "late"}, grantOf(1, "echo"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := late.Do(t.Context(), capability.Request{Capability: "echo", Action: "echo", Payload: capability.Null()}); err != nil {
		t.Errorf("another tenant's: %v", err)
	}
}
