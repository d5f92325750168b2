package fabric

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cluster/directory"
	"github.com/pyisolate/pyisolate/internal/await"
)

func TestACellThatItsTargetCannotRun(t *testing.T) {
	t.Run("goes back to the source that waits for it", func(t *testing.T) {
		m := newMove(t)
		m.begin()
		m.freeze()
		m.activate()
		p, err := m.n1.Decided(soon(t), web, m.epoch)
		must(t, err)
		m.is(p, "n2", m.epoch+1)
		p, err = m.n2.Yield(soon(t), web, m.epoch+1)
		must(t, err)
		m.is(p, "n1", m.epoch+2)
		before := p
		before.Epoch = m.epoch
		p, err = m.n1.Decided(soon(t), web, m.epoch+1)
		must(t, err)
		m.is(p, "n1", m.epoch+2)
		if !p.Resumes(before, "c1") || p.Resumes(before, "c0") || p.Resumes(before, "") {
			t.Error("of the guest that is held, whose checkpoint is c1, it is not known whether it may go on")
		}
		m.let()
		m.lives(true)
		if next, err := m.n1.Restart(soon(t), web, m.epoch+2); err != nil || next != m.epoch+3 {
			t.Errorf("its next incarnation has epoch %d, %v", next, err)
		}
		if len(m.n1.inherited) > 0 {
			t.Error("the mover's cell is said to be inherited")
		}
	})
	t.Run("is the source's, which does not wait any more", func(t *testing.T) {
		m := newMove(t)
		m.begin()
		m.freeze()
		m.activate()
		_, err := m.n1.Decided(soon(t), web, m.epoch)
		must(t, err)
		m.guest.Kill("it is elsewhere")
		m.let()
		_, err = m.n2.Yield(soon(t), web, m.epoch+1)
		must(t, err)
		p := m.inherits(m.n1)
		m.is(p, "n1", m.epoch+2)
		// What a session was given before its node knew of the session is told of then.
		seat, err := m.n1.seat()
		must(t, err)
		m.n1.Opened(seat)
		m.n1.Fabric.mu.Lock()
		delete(m.n1.owned, web)
		m.n1.Fabric.mu.Unlock()
		m.n1.Opened(seat)
		if again := m.inherits(m.n1); !reflect.DeepEqual(again, p) {
			t.Errorf("of %+v is told as %+v", p, again)
		}
	})
}

// The end of an actor that was to have a cell from elsewhere, before it had, loses no cell.
func TestACellThatDoesNotArrive(t *testing.T) {
	m := newMove(t)
	m.begin()
	m.freeze()
	let := m.n2.Hand(web)
	err := m.n2.system.Spawn(soon(t), web, actors.Plan{
		Next: func(ctx context.Context, _ uint64) (uint64, error) {
			p, err := m.n2.Activate(ctx, web, m.epoch)
			return p.Epoch, err
		},
		Start: func(context.Context, uint64) (cell.Cell, error) { return nil, errors.New("no room") },
	})
	if err == nil {
		t.Fatal("it is started")
	}
	p, err := m.n1.Decided(soon(t), web, m.epoch+1)
	must(t, err)
	m.is(p, "n1", m.epoch+2)
	let()
	m.let()
	m.lives(true)
}

// newSaved is a node with a cell that has a checkpoint, and the record of it.
func newSaved(t *testing.T) (*node, *guest, directory.Record) {
	t.Helper()
	n := newWorld(t, 2).nodes["n1"]
	g, err := n.spawn(soon(t), web, "r1")
	must(t, err)
	must(t, n.Save(soon(t), web, g.epoch, "c1", []string{"n1"}))
	n.fresh(t)
	r, _ := n.cluster.Group().Find(cellOf(web))
	return n, g, r
}

// A cell may come back to its node before that has ended what it had of it when its lease was over: that end is not
// the cell's.
func TestACellThatComesBackBeforeItHasEnded(t *testing.T) {
	n, old, r := newSaved(t)
	n.Fabric.mu.Lock()
	delete(n.owned, web) // as at the end of a lease
	n.Fabric.mu.Unlock()
	n.inherit(web, r)
	select {
	case <-n.inherited:
	case <-soon(t).Done():
		t.Fatal("it is not told of")
	}
	let := n.Hand(web)
	old.Kill("its node was cut off")
	await.That(t, "it has ended", func() bool { _, err := n.ask(t, web); return errors.Is(err, cell.CellGone) })
	plan := actors.Plan{
		Next: func(context.Context, uint64) (uint64, error) { return r.Epoch, nil },
		Start: func(_ context.Context, epoch uint64) (cell.Cell, error) {
			return &guest{at: "n1", epoch: epoch, done: make(chan struct{})}, nil
		},
	}
	await.That(t, "it has its name", func() bool { return n.system.Spawn(soon(t), web, plan) == nil })
	let()
	must(t, n.given(soon(t), web))
	n.fresh(t)
	if now, known := n.cluster.Group().Find(cellOf(web)); !known || now.Epoch != r.Epoch || now.Owner != r.Owner {
		t.Errorf("it is %+v; want what it was, %+v", now, r)
	}
	if at, err := n.ask(t, web); at != "n1" {
		t.Errorf("it answers from %q, %v", at, err)
	}
}

// A cell may come to its node again while that takes an earlier record of it for its own, by an answer that came when the
// lease was over: it goes on when the actor has ended that was to have it.
func TestACellThatComesBackToAnEarlierRecord(t *testing.T) {
	n, old, r := newSaved(t)
	earlier := r
	earlier.Owner.Session += 1000 // none that there is
	n.Fabric.mu.Lock()
	n.owned[web] = earlier
	n.Fabric.mu.Unlock()
	n.inherit(web, r) // is passed over
	old.Kill("its node was cut off")
	await.That(t, "it gives its name up", func() bool { return n.forget(web) })
	select {
	case p := <-n.inherited:
		if p.Epoch != r.Epoch {
			t.Errorf("%+v is to go on; want epoch %d", p, r.Epoch)
		}
	case <-soon(t).Done():
		t.Fatal("it is nobody's, and this node's")
	}
}

// A cell that is closed as soon as it runs where it came is closed: it goes on nowhere. Nor does it where the replica
// of the node has not heard yet that it has given it back.
func TestACellThatIsClosedWhereItCame(t *testing.T) {
	m := newMove(t)
	m.begin()
	m.freeze()
	let := m.n2.Hand(web)
	must(t, m.n2.system.Spawn(soon(t), web, actors.Plan{
		Next: func(ctx context.Context, _ uint64) (uint64, error) {
			p, err := m.n2.Activate(ctx, web, m.epoch)
			return p.Epoch, err
		},
		Start: func(_ context.Context, epoch uint64) (cell.Cell, error) {
			m.n2.Runs(web)
			return &guest{at: "n2", epoch: epoch, done: make(chan struct{})}, nil
		},
	}))
	m.n1.fresh(t)
	r, _ := m.n1.cluster.Group().Find(cellOf(web))
	must(t, m.n2.system.Ask(soon(t), actors.Envelope{To: web, Body: actors.Close{}}).Err)
	let()
	must(t, m.n2.given(soon(t), web))
	if p := m.agreed(); p.Epoch != 0 {
		t.Errorf("it is %+v", p)
	}
	m.n2.inherit(web, r)
	m.let()
	select {
	case p := <-m.n2.inherited:
		t.Errorf("it is to go on: %+v", p)
	default:
	}
	m.lives(false)
}

// A cell that ends in the middle of its move leaves no name behind.
func TestACellThatEndsInItsMove(t *testing.T) {
	for name, do := range map[string]func(*move){
		"begun":  func(m *move) { m.begin() },
		"frozen": func(m *move) { m.begin(); m.freeze() },
		"frozen, and aborted": func(m *move) {
			m.begin()
			m.freeze()
			_, err := m.n2.AbortMove(soon(m.t), web, m.epoch)
			must(m.t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMove(t)
			do(m)
			m.n1.ended(web, func() bool { return true }) // as by the end of its actor
			m.isNobodys(t, m.epoch)
		})
	}
}

// isNobodys checks that the mover hears in an epoch that the cell is gone, and that its name is free.
func (m *move) isNobodys(t *testing.T, epoch uint64) {
	t.Helper()
	if p, err := m.n1.Decided(soon(t), web, epoch); !errors.Is(err, cell.CellGone) {
		t.Errorf("the mover hears %+v, %v", p, err)
	}
	must(t, m.n1.given(soon(t), web))
	if p := m.agreed(); p.Epoch != 0 {
		t.Errorf("the name stays: %+v", p)
	}
	m.let()
	m.guest.Kill("")
}

// A cell that ends while the cluster has it elsewhere, and that comes back, is nobody's: no actor waits for it.
func TestACellThatEndsWhileItIsElsewhere(t *testing.T) {
	m := newMove(t)
	m.begin()
	m.freeze()
	m.activate()
	_, err := m.n1.Decided(soon(t), web, m.epoch)
	must(t, err)
	m.n1.ended(web, func() bool { return true }) // as by the end of its actor
	_, err = m.n2.Yield(soon(t), web, m.epoch+1)
	must(t, err)
	m.isNobodys(t, m.epoch+1)
}

// Of several that would have a suspended cell go on at one node, one has it.
func TestASuspendedCellIsTakenUpOnce(t *testing.T) {
	m := newMove(t)
	m.begin()
	m.freeze()
	m.activate()
	for i, n := range []*node{m.n2, m.n1} { // neither can run it
		epoch := m.epoch + uint64(i) + 1
		_, err := n.Yield(soon(t), web, epoch)
		must(t, err)
		_, err = m.n1.Decided(soon(t), web, epoch)
		must(t, err)
	}
	m.is(m.agreed(), "", m.epoch+3)
	taken := make(chan error)
	for range 4 {
		go func() { _, err := m.n2.Adopt(soon(t), web, m.epoch+3); taken <- err }()
	}
	had := 0
	for range 4 {
		switch err := <-taken; {
		case err == nil:
			had++
		case !errors.Is(err, cell.Busy):
			t.Error(err)
		}
	}
	if had != 1 {
		t.Errorf("%d have it", had)
	}
	m.is(m.agreed(), "n2", m.epoch+4)
	m.let()
}
