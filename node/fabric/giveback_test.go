package fabric

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/api/fault"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cluster/directory"
	"github.com/pyisolate/pyisolate/internal/await"
)

// What a request got that nobody waited for is given back, but not from under the same request that
// has come again.
func TestAClaimIsNotGivenBackFromUnderTheSameRequest(t *testing.T) {
	w := newWorld(t, 1)
	n := w.nodes["n1"]
	seat, err := n.seat()
	must(t, err)
	// The first time nobody hears of it.
	_, err = n.cluster.Group().Propose(soon(t), directory.Command{Op: directory.Claim, Seat: seat, Cell: cellOf(web), Request: "r1"})
	must(t, err)
	must(t, n.beginClaim(soon(t), web)) // it comes again
	n.repent(web, "r1")
	n.fresh(t)
	if n.settle(web, "r1") {
		t.Error("what a claim is under way for is settled")
	}
	if _, known := n.cluster.Group().Find(cellOf(web)); !known {
		t.Error("it is given back")
	}
	n.endClaim(web) // with nothing
	await.That(t, "what nobody has is given back", func() bool {
		_, known := n.cluster.Group().Find(cellOf(web))
		return !known
	})
	// And whoever claims while it is given back waits for that.
	p, err := n.Claim(soon(t), web, "r1", "", 0)
	must(t, err)
	n.repent(web, "r1")
	n.fresh(t)
	if !n.settle(web, "r1") {
		t.Error("what this node has is not settled")
	}
	if r, known := n.cluster.Group().Find(cellOf(web)); !known || r.Epoch != p.Epoch {
		t.Errorf("what this node has is given back: %+v, %v", r, known)
	}
}

func TestACellWhoseRecordIsGoneIsEnded(t *testing.T) {
	w := newWorld(t, 2)
	n := w.nodes["n1"]
	g, err := n.spawn(soon(t), web, "")
	must(t, err)
	seat, err := n.seat()
	must(t, err)
	must(t, n.release(soon(t), cellOf(web), seat, g.epoch)) // not by its own
	select {
	case <-g.done:
	case <-soon(t).Done():
		t.Fatal("it runs, and another may have its name")
	}
}

// That an earlier cell of the name has ended may be heard late.
func TestLateNewsEndNoCell(t *testing.T) {
	w := newWorld(t, 1)
	n := w.nodes["n1"]
	g, err := n.spawn(soon(t), web, "")
	must(t, err)
	n.overrun(web, directory.Record{Cell: cellOf(web)})
	if at, err := n.ask(t, web); err != nil || at != "n1" {
		t.Errorf("the cell in epoch %d answers %q, %v", g.epoch, at, err)
	}
}

// A cell that has ended while its next incarnation was agreed on leaves no name behind.
func TestACellThatEndsWhileItRestartsGivesItsNameBack(t *testing.T) {
	w := newWorld(t, 1)
	n := w.nodes["n1"]
	p, err := n.Claim(soon(t), web, "r1", "", 0)
	must(t, err)
	n.Fabric.mu.Lock()
	delete(n.owned, web) // as gone does
	n.Fabric.mu.Unlock()
	if _, err := n.Restart(soon(t), web, p.Epoch); !errors.Is(err, cell.CellGone) {
		t.Errorf("it is started again: %v", err)
	}
	must(t, n.given(soon(t), web))
	n.fresh(t)
	if r, known := n.cluster.Group().Find(cellOf(web)); known {
		t.Errorf("the name stays: %+v", r)
	}
}

// An epoch that was asked for may be agreed on when nobody waits for the answer any more: it is the next incarnation's.
func TestAnEpochThatIsAgreedLate(t *testing.T) {
	w := newWorld(t, 1)
	n := w.nodes["n1"]
	p, err := n.Claim(soon(t), web, "r1", "", 0)
	must(t, err)
	seat, _ := n.cluster.Lease().Seat()
	out, err := n.cluster.Group().Propose(soon(t), directory.Command{Op: directory.Restart, Seat: seat, Cell: cellOf(web), Epoch: p.Epoch})
	must(t, err)
	epoch, err := n.Restart(soon(t), web, p.Epoch)
	if err != nil || epoch != out.Record.Epoch {
		t.Errorf("the next incarnation has epoch %d, %v; want %d", epoch, err, out.Record.Epoch)
	}
	if _, err := n.Restart(soon(t), web, p.Epoch); !errors.Is(err, cell.CellGone) {
		t.Errorf("another one has it, too: %v", err)
	}
}

// However many want to know, one asks; and who comes while it is asked waits for the next answer.
func TestManyRefreshTogether(t *testing.T) {
	f := New(Config{})
	defer f.Close()
	s := &f.refreshes
	s.running = true // one is under way
	first := s.join(f, nil)
	for range 100 {
		if s.join(f, nil) != first {
			t.Fatal("each has its own")
		}
	}
	if r := s.take(); r != first {
		t.Error("the next is another")
	}
	if s.join(f, nil) == first {
		t.Error("one that has begun is joined")
	}
	s.take()
	if s.take() != nil || s.running {
		t.Error("it goes on for nobody")
	}
}

// A node that is cut off says so, also to callers that would wait for ever.
func TestRefreshIsBounded(t *testing.T) {
	w := newWorld(t, 3)
	n := w.nodes["n1"]
	for _, one := range w.nodes {
		if one.cluster.Group().Leader() != one.name {
			n = one
		}
	}
	n.cluster.Control().Close() //nolint:errcheck // it hears nothing any more
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			began := time.Now()
			err := n.Refresh(context.WithoutCancel(t.Context()))
			if took := time.Since(began); !errors.Is(err, fault.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) || took > 5*refreshWithin {
				t.Errorf("after %s: %v", took, err)
			}
		})
	}
	all.Wait()
}

// Names that nobody has, asked for by the thousand, end no lease.
func TestUnknownNamesEndNoLease(t *testing.T) {
	w := newWorld(t, 3)
	n := w.nodes["n1"]
	for _, one := range w.nodes {
		if one.cluster.Group().Leader() != one.name {
			n = one
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), testTTL) // longer than a lease lasts that is not renewed
	defer cancel()
	var all sync.WaitGroup
	for range 1000 {
		all.Go(func() {
			for ctx.Err() == nil {
				_ = n.Refresh(ctx)
			}
		})
	}
	all.Wait()
	for _, one := range w.nodes {
		if one.Lapses() > 0 {
			t.Errorf("node %s has lost its lease", one.name)
		}
	}
}
