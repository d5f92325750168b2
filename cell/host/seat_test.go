package host_test

import (
	"errors"
	"os"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/host"
	"github.com/pyisolate/pyisolate/cell/host/hosttest"
	"github.com/pyisolate/pyisolate/cell/wire"
	"github.com/pyisolate/pyisolate/cell/wire/wiretest"
)

// serveSeated is serve with a node that has seats for workers.
func serveSeated(t *testing.T, pool uint32) *node {
	t.Helper()
	ours, theirs := wiretest.Pair(t)
	n := &node{t: t, conn: ours, exec: new(hosttest.Executor), err: make(chan error, 1)}
	go func() {
		n.err <- host.Serve(theirs, host.Options{Threads: func(host.Dist) (host.Executor, error) { return n.exec, nil }})
	}()
	t.Cleanup(func() {
		_ = n.conn.Close()
		if err := <-n.err; err != nil {
			t.Logf("the host ended with %v", err)
		}
		if live := n.exec.Live.Load(); live != 0 {
			t.Errorf("%d workers are left", live)
		}
	})
	n.send(0, 0, &wire.Control_Hello{Hello: &wire.Hello{Backend: string(cell.SubInterpreter), Pool: pool, Seats: true}}, "")
	n.await("ready", func(m *wire.Msg) bool { return m.GetReady() != nil })
	return n
}

// started waits for a worker of a cell, or with 0 of the pool.
func (n *node) started(id uint64) *wire.Started {
	n.t.Helper()
	return n.await("worker", func(m *wire.Msg) bool { return m.Cell == id && m.GetStarted() != nil }).GetStarted()
}

func (n *node) seats(worker uint64, refusal string) {
	n.t.Helper()
	n.send(0, 0, &wire.Control_Seated{Seated: &wire.Seated{Worker: worker, Error: refusal}}, "")
}

func (n *node) claimsSeat(id, worker uint64) {
	n.t.Helper()
	limits := wire.FromLimits(cell.Limits{}.WithDefaults())
	n.send(id, 1, &wire.Control_Claim{Claim: &wire.Claim{Id: "c", Limits: limits, Worker: worker}}, "")
}

// A worker is ready when it has its seat, and a claim gets the one it names.
func TestSeats(t *testing.T) {
	n := serveSeated(t, 2)
	one, two := n.started(0), n.started(0)
	if one.Worker == two.Worker || int(one.Task) != os.Getpid() {
		t.Fatalf("%v, %v", one, two)
	}
	n.seats(one.Worker, "")
	n.await("pool of one", func(m *wire.Msg) bool { return m.GetPoolState().GetReady() == 1 })
	n.seats(two.Worker, "")
	n.await("pool of two", func(m *wire.Msg) bool { return m.GetPoolState().GetReady() == 2 })
	n.claimsSeat(7, two.Worker)
	if m := n.await("claimed", func(m *wire.Msg) bool { return m.Cell == 7 && m.Op == 1 }); !m.GetClaimed().GetHit() {
		t.Errorf("%v", m)
	}
	// The one that is taken cannot be had again: another is started, for the cell.
	n.claimsSeat(8, two.Worker)
	three := n.started(8)
	n.seats(three.Worker, "")
	if m := n.await("claimed", func(m *wire.Msg) bool { return m.Cell == 8 && m.Op == 1 }); m.GetClaimed() == nil || m.GetClaimed().Hit {
		t.Errorf("%v", m)
	}
}

// A claim that names no worker gets none that has a seat, which is for another policy, though
// there is one.
func TestClaimOfNoSeat(t *testing.T) {
	n := serveSeated(t, 1)
	n.seats(n.started(0).Worker, "")
	n.await("pool", func(m *wire.Msg) bool { return m.GetPoolState().GetReady() == 1 })
	n.claimsSeat(7, 0)
	n.seats(n.started(7).Worker, "")
	if m := n.await("claimed", func(m *wire.Msg) bool { return m.Cell == 7 && m.Op == 1 }); m.GetClaimed() == nil || m.GetClaimed().Hit {
		t.Errorf("%v", m)
	}
}

// A claim without a worker waits for the seat of the one that is started for it, and fails
// with it.
func TestRefusedSeat(t *testing.T) {
	n := serveSeated(t, 0)
	n.claimsSeat(7, 0)
	n.runs(7, 2, 0, "post 1")
	n.seats(n.started(7).Worker, "there is no room")
	n.await("refusal", func(m *wire.Msg) bool { return m.Cell == 7 && m.Op == 1 && m.GetFailed() != nil })
	if err := n.outcome(7, 2); !errors.Is(err, cell.CellGone) {
		t.Errorf("what followed the claim: %v", err)
	}
	n.await("its leaving", func(m *wire.Msg) bool { return m.GetLeft() != nil })
	n.seats(999, "") // of nobody
	n.claimsSeat(8, 0)
	n.seats(n.started(8).Worker, "")
	if m := n.await("claimed", func(m *wire.Msg) bool { return m.Cell == 8 && m.Op == 1 }); m.GetClaimed() == nil {
		t.Errorf("%v", m)
	}
}

// A host whose node goes while workers wait for seats ends all the same.
func TestNodeGoesBeforeTheSeat(t *testing.T) {
	n := serveSeated(t, 2)
	n.started(0)
	n.claimsSeat(7, 0)
	n.started(7)
}
