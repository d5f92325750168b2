package host_test

import (
	"testing"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/wire"
)

func (n *node) reloads(id, op uint64, l cell.Limits) {
	n.t.Helper()
	n.send(id, op, &wire.Control_Reload{Reload: &wire.Reload{Limits: wire.FromLimits(l.WithDefaults())}}, "")
}

func (n *node) reloaded(id, op uint64) {
	n.t.Helper()
	m := n.await("reloaded", func(m *wire.Msg) bool { return m.Cell == id && m.Op == op })
	if m.GetReloaded() == nil || len(m.GetReloaded().GetMissing()) > 0 {
		n.t.Errorf("answered with %v", m.Control)
	}
}

// A reload is answered whoever serves it: the host's reader, who starts a worker for the cell, or
// the cell when it has answered its claim.
func TestReloadBehindAClaim(t *testing.T) {
	for name, pool := range map[string]uint32{"from the pool": 1, "started for it": 0} {
		t.Run(name, func(t *testing.T) {
			n := serve(t, pool)
			for id := uint64(1); id <= 20; id++ {
				n.claimsWithoutWaiting(id)
				n.reloads(id, 2, cell.Limits{})
				n.reloaded(id, 2)
			}
			n.reloads(1, 3, cell.Limits{Output: 3})
			n.reloaded(1, 3)
			n.runs(1, 4, 0, "post 12345")
			if err := n.outcome(1, 4); cell.KindOf(err) != cell.OutputExceeded {
				t.Errorf("by the new limit: %v", err)
			}
		})
	}
}

// Many are answered, though their answers wait for each other.
func TestManyReloads(t *testing.T) {
	n := serve(t, 0)
	const cells = 100
	for id := uint64(1); id <= cells; id++ {
		n.claim(id, cell.Limits{})
	}
	for id := uint64(1); id <= cells; id++ {
		n.reloads(id, 2, cell.Limits{QueueItems: 7})
	}
	for id := uint64(1); id <= cells; id++ {
		n.reloaded(id, 2)
	}
	n.send(1, 3, &wire.Control_Reload{Reload: &wire.Reload{Limits: &wire.Limits{Memory: 1}}}, "")
	if m := n.await("refusal", func(m *wire.Msg) bool { return m.Op == 3 }); m.GetFailed() == nil {
		t.Errorf("limits that cannot be: %v", m.Control)
	}
}
