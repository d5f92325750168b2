package fabric

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/api/fault"
	"github.com/pyisolate/pyisolate/api/server"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cluster/directory"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/policystore"
)

// move is a cell of n1 that goes to n2, in a world of three.
type move struct {
	*world
	t      *testing.T
	n1, n2 *node
	guest  *guest
	epoch  uint64
	let    func() // go of n1's hand
}

func newMove(t *testing.T) *move {
	w := newWorld(t, 3)
	m := &move{world: w, t: t, n1: w.nodes["n1"], n2: w.nodes["n2"]}
	g, err := m.n1.spawn(soon(t), web, "r1")
	must(t, err)
	m.guest, m.epoch, m.let = g, g.epoch, m.n1.Hand(web)
	return m
}

func (m *move) begin() {
	m.t.Helper()
	session, ok := m.n1.Seat("n2")
	if !ok {
		m.t.Fatal("n2 has no session")
	}
	for range 2 { // again it is no error
		must(m.t, m.n1.BeginMove(soon(m.t), web, m.epoch, "m1", "n2", session))
	}
}

func (m *move) freeze() {
	m.t.Helper()
	for range 2 {
		must(m.t, m.n1.Freeze(soon(m.t), web, m.epoch, "c1", []string{"n1", "n2"}))
	}
}

func (m *move) activate() {
	m.t.Helper()
	for range 2 {
		p, err := m.n2.Activate(soon(m.t), web, m.epoch)
		must(m.t, err)
		m.is(p, "n2", m.epoch+1)
	}
}

func (m *move) is(p server.Place, node string, epoch uint64) {
	m.t.Helper()
	if p.Node != node || p.Epoch != epoch || (p.Phase == server.Suspended) != (node == "") {
		m.t.Fatalf("it is %+v; want node %q in epoch %d", p, node, epoch)
	}
}

// agreed is what is agreed by now.
func (m *move) agreed() server.Place {
	m.t.Helper()
	n3 := m.nodes["n3"]
	n3.fresh(m.t)
	p, _ := n3.Find(web)
	return p
}

func (m *move) lives(lives bool) {
	m.t.Helper()
	select {
	case <-m.guest.done:
		if lives {
			m.t.Error("the guest at n1 was ended")
		}
	default:
		if !lives {
			await.That(m.t, "the guest at n1 is ended", func() bool { return closed(m.guest.done) })
		}
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestACellMoves(t *testing.T) {
	m := newMove(t)
	m.begin()
	if p := m.agreed(); p.Phase != server.Preparing || p.Target != "n2" || p.Migration != "m1" || p.Node != "n1" {
		t.Errorf("begun, it is %+v", p)
	}
	m.freeze()
	if p := m.agreed(); p.Phase != server.Frozen || p.Checkpoint != "c1" || len(p.Copies) != 2 {
		t.Errorf("frozen, it is %+v", p)
	}
	m.activate()
	p, err := m.n1.Decided(soon(t), web, m.epoch)
	must(t, err)
	m.is(p, "n2", m.epoch+1)
	m.lives(true) // until the mover ends it
	p, err = m.n1.AbortMove(soon(t), web, m.epoch)
	must(t, err)
	m.is(p, "n2", m.epoch+1)
	must(t, m.n1.DropCopy(soon(t), web, m.epoch+1, "c1"))
	must(t, m.n1.DropCopy(soon(t), web, m.epoch+1, "c1"))
	// The end of the actor at the source gives nothing back.
	m.n1.system.Close(soon(t)) //nolint:errcheck // is looked at by what comes
	m.let()
	m.is(m.agreed(), "n2", m.epoch+1)
	if p := m.agreed(); len(p.Copies) != 1 || p.Copies[0] != "n2" {
		t.Errorf("copies are with %q", p.Copies)
	}
	if len(m.n2.inherited) > 0 {
		t.Error("what was asked for is said to be inherited")
	}
}

func TestAMoveIsAborted(t *testing.T) {
	for name, by := range map[string]func(*move) *node{
		"by the source": func(m *move) *node { return m.n1 },
		"by the target": func(m *move) *node { return m.n2 },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMove(t)
			for range 2 {
				m.begin()
				m.freeze()
				p, err := by(m).AbortMove(soon(t), web, m.epoch)
				must(t, err)
				m.is(p, "n1", m.epoch+1)
				p, err = m.n1.Decided(soon(t), web, m.epoch)
				must(t, err)
				m.is(p, "n1", m.epoch+1)
				if _, err := m.n2.Activate(soon(t), web, m.epoch); !errors.Is(err, policystore.ErrConflict) {
					t.Errorf("it is activated nevertheless: %v", err)
				}
				m.epoch++
			}
			m.let()
			m.lives(true)
			// The source has it in the epoch of now: as any cell of its.
			next, err := m.n1.Restart(soon(t), web, m.epoch)
			if err != nil || next != m.epoch+1 {
				t.Errorf("its next incarnation has epoch %d, %v", next, err)
			}
		})
	}
}

// The word that a move begins may come after the one that it is over.
func TestAMoveThatBeginsLate(t *testing.T) {
	m := newMove(t)
	p, err := m.n1.AbortMove(soon(t), web, m.epoch)
	must(t, err)
	m.is(p, "n1", m.epoch+1)
	session, _ := m.n1.Seat("n2")
	if err := m.n1.BeginMove(soon(t), web, m.epoch, "m1", "n2", session); !errors.Is(err, policystore.ErrConflict) {
		t.Errorf("it begins nevertheless: %v", err)
	}
	m.let()
	m.lives(true)
	if next, err := m.n1.Restart(soon(t), web, m.epoch+1); err != nil || next != m.epoch+2 {
		t.Errorf("its next incarnation has epoch %d, %v", next, err)
	}
}

// The word that a move begins may come while it is given up: at the end the source has it, in the next epoch.
func TestAMoveThatBeginsWhileItIsGivenUp(t *testing.T) {
	m := newMove(t)
	session, _ := m.n1.Seat("n2")
	for i := range 100 {
		begun := make(chan error, 1)
		go func() { begun <- m.n1.BeginMove(soon(t), web, m.epoch, "m"+strconv.Itoa(i), "n2", session) }()
		p, err := m.n1.AbortMove(soon(t), web, m.epoch)
		must(t, err)
		if err := <-begun; err != nil && !errors.Is(err, policystore.ErrConflict) {
			t.Fatal(err)
		}
		if m.is(p, "n1", m.epoch+1); p.Phase != server.Active {
			t.Fatalf("after %d it is %+v", i, p)
		}
		m.epoch++
	}
	m.let()
	m.lives(true)
}

// What a mover does not see to is done when it lets go, and not before.
func TestWhatIsLeftToTheMoverIsDoneAfterIt(t *testing.T) {
	m := newMove(t)
	again := m.n1.Hand(web)
	m.begin()
	m.freeze()
	m.activate()
	m.n1.fresh(t)
	m.let()
	m.let()
	m.lives(true)
	again()
	m.lives(false)
	m.is(m.agreed(), "n2", m.epoch+1)
}

func TestTheTargetOfAMoveDies(t *testing.T) {
	m := newMove(t)
	m.begin()
	m.freeze()
	m.n2.Leave()
	must(t, m.n2.cluster.Lease().Release(soon(t)))
	p, err := m.n1.Decided(soon(t), web, m.epoch)
	must(t, err)
	m.is(p, "n1", m.epoch+1)
	m.let()
	m.lives(true)
	if len(m.n1.inherited) > 0 {
		t.Error("its own cell is said to be inherited")
	}
}

func TestTheSourceOfAMoveDies(t *testing.T) {
	m := newMove(t)
	m.begin()
	m.freeze()
	m.n1.Leave()
	must(t, m.n1.cluster.Lease().Release(soon(t)))
	m.lives(false) // the end of the lease waits for no mover
	p := m.inherits(m.n2)
	m.is(p, "n2", m.epoch+1)
	// By then the target may have asked for it by itself.
	p, err := m.n2.Activate(soon(t), web, m.epoch)
	must(t, err)
	m.is(p, "n2", m.epoch+1)
	if _, err := m.n1.Decided(soon(t), web, m.epoch+1); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("without a lease the source hears %v", err)
	}
	// Nobody has the name while the cell is on its way.
	for _, n := range []*node{m.n2, m.nodes["n3"]} {
		if _, err := n.spawn(soon(t), web, ""); !errors.Is(err, cell.Invalid) {
			t.Errorf("at %s another has its name: %v", n.name, err)
		}
	}
	m.is(m.agreed(), "n2", m.epoch+1)
	// It cannot run it, and nobody else has a checkpoint and a session.
	p, err = m.n2.Yield(soon(t), web, m.epoch+1)
	must(t, err)
	m.is(p, "", m.epoch+2)
	p, err = m.n2.Adopt(soon(t), web, m.epoch+2)
	must(t, err)
	m.is(p, "n2", m.epoch+3)
}

// A cell whose only node ends its session is suspended, and goes on there with the next one.
func TestASuspendedCellGoesOnWhereItsCheckpointIs(t *testing.T) {
	m := newMove(t)
	m.begin()
	m.freeze()
	m.activate()
	must(t, m.n1.DropCopy(soon(t), web, m.epoch+1, "c1"))
	seat, err := m.n2.seat()
	must(t, err)
	_, err = m.n1.cluster.Group().Propose(soon(t), directory.Command{Op: directory.End, Seat: seat})
	must(t, err)
	p := m.inherits(m.n2)
	m.is(p, "n2", m.epoch+3)
	if p.Session == seat.Session {
		t.Error("it is in the session that was over")
	}
	// Who hears once more that it is suspended does not take it up again.
	m.n2.resume(directory.Record{Cell: cellOf(web), Epoch: m.epoch + 2, Phase: directory.Suspended, Checkpoint: "c1", Copies: []string{"n2"}}, true)
	select {
	case again := <-m.n2.inherited:
		t.Errorf("it is told of twice: %+v", again)
	case <-time.After(200 * time.Millisecond):
	}
}

// Anybody discards a cell that no node has, in the epoch that he knows, and nobody another.
func TestOnlyWhatNobodyHasIsDiscarded(t *testing.T) {
	m := newMove(t)
	n3 := m.nodes["n3"]
	if err := n3.Discard(soon(t), web, m.epoch); !errors.Is(err, policystore.ErrConflict) {
		t.Errorf("a cell that n1 has: %v", err)
	}
	seat, err := m.n1.seat()
	must(t, err)
	_, err = m.n1.cluster.Group().Propose(soon(t), directory.Command{Op: directory.End, Seat: seat}) // and it has no copies
	must(t, err)
	p := m.agreed()
	m.is(p, "", m.epoch+1)
	if err := n3.Discard(soon(t), web, m.epoch); !errors.Is(err, policystore.ErrConflict) {
		t.Errorf("in an epoch that is over: %v", err)
	}
	for range 2 {
		must(t, n3.Discard(soon(t), web, p.Epoch))
	}
	n3.fresh(t)
	if p, known := n3.Find(web); known {
		t.Errorf("it is still %+v", p)
	}
}

func (m *move) inherits(n *node) (p server.Place) {
	m.t.Helper()
	select {
	case p = <-n.inherited:
	case <-soon(m.t).Done():
		m.t.Fatalf("%s is not told that it has the cell", n.name)
	}
	return p
}

func TestCopiesThatAreNeededStay(t *testing.T) {
	m := newMove(t)
	m.begin()
	m.freeze()
	for _, n := range []*node{m.n1, m.n2} {
		if err := n.DropCopy(soon(t), web, m.epoch, "c1"); !errors.Is(err, cell.Busy) {
			t.Errorf("%s drops its copy of a frozen cell: %v", n.name, err)
		}
	}
	m.activate()
	must(t, m.n1.DropCopy(soon(t), web, m.epoch+1, "other")) // which does not count
	if err := m.n1.DropCopy(soon(t), web, m.epoch, "c1"); !errors.Is(err, policystore.ErrConflict) {
		t.Errorf("a copy is dropped in an epoch that is over: %v", err)
	}
	must(t, m.n1.DropCopy(soon(t), web, m.epoch+1, "c1"))
	if err := m.n2.DropCopy(soon(t), web, m.epoch+1, "c1"); !errors.Is(err, cell.Busy) {
		t.Errorf("the last copy is dropped: %v", err)
	}
	must(t, m.nodes["n3"].DropCopy(soon(t), web, m.epoch+1, "c1")) // it has none
	m.let()
}

func TestMovesThatCannotBe(t *testing.T) {
	m := newMove(t)
	defer m.let()
	session, _ := m.n1.Seat("n2")
	own, _ := m.n1.Seat("n1")
	none := actors.Address{Tenant: "default", Name: "none"}
	for _, c := range []struct {
		name string
		do   func(context.Context) error
		is   error
	}{
		{"in another epoch", func(ctx context.Context) error { return m.n1.BeginMove(ctx, web, m.epoch+1, "m", "n2", session) }, policystore.ErrConflict},
		{"to where it is", func(ctx context.Context) error { return m.n1.BeginMove(ctx, web, m.epoch, "m", "n1", own) }, cell.Invalid},
		{"to a session that is over", func(ctx context.Context) error { return m.n1.BeginMove(ctx, web, m.epoch, "m", "n2", session+99) }, fault.ErrUnavailable},
		{"of no cell", func(ctx context.Context) error { return m.n1.BeginMove(ctx, none, 1, "m", "n2", session) }, cell.CellGone},
		{"frozen before it began", func(ctx context.Context) error { return m.n1.Freeze(ctx, web, m.epoch, "c", []string{"n1", "n2"}) }, policystore.ErrConflict},
		{"given up by the target before it began", func(ctx context.Context) error { _, err := m.n2.AbortMove(ctx, web, m.epoch); return err }, nil},
		{"adopted alive", func(ctx context.Context) error { _, err := m.n1.Adopt(ctx, web, m.epoch); return err }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.do(soon(t)); err == nil || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%v", err)
			}
		})
	}
	m.begin()
	if err := m.n1.Freeze(soon(t), web, m.epoch, "c1", []string{"n1", "n3"}); !errors.Is(err, cell.Invalid) {
		t.Errorf("frozen without a copy at the target: %v", err)
	}
	m.freeze()
	if _, err := m.nodes["n3"].Activate(soon(t), web, m.epoch); err == nil {
		t.Error("another takes it")
	}
	if _, ok := m.n1.Seat("n9"); ok {
		t.Error("a node that is not has a session")
	}
	if p := m.agreed(); p.Phase != server.Frozen || p.Epoch != m.epoch {
		t.Errorf("after all it is %+v", p)
	}
}

// Who waits for a decision hears when there cannot be one.
func TestNoDecision(t *testing.T) {
	m := newMove(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := m.n1.Decided(ctx, web, m.epoch); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nothing is decided, and it says %v", err)
	}
	g := m.n1.cluster.Group()
	await.That(t, "another leads", func() bool { // once one has caught up
		if g.Leader() == "n1" {
			_ = g.Raft().LeadershipTransfer().Error()
		}
		return g.Leader() != "n1" && g.Leader() != ""
	})
	heard := make(chan error, 1)
	go func() { _, err := m.n1.Decided(soon(t), web, m.epoch); heard <- err }()
	m.n1.cluster.Control().Close() //nolint:errcheck // it hears no more of its lease
	if err := <-heard; !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("cut off, it says %v", err)
	}
}

func BenchmarkMove(b *testing.B) {
	w := newWorld(b, 3)
	at, to := w.nodes["n1"], w.nodes["n2"]
	p, err := at.Claim(soon(b), web, "", "", 0)
	must(b, err)
	for b.Loop() {
		let := at.Hand(web)
		session, _ := at.Seat(to.name)
		must(b, at.BeginMove(soon(b), web, p.Epoch, "m", to.name, session))
		must(b, at.Freeze(soon(b), web, p.Epoch, "c", []string{at.name, to.name}))
		next, err := to.Activate(soon(b), web, p.Epoch)
		must(b, err)
		_, err = at.Decided(soon(b), web, p.Epoch)
		must(b, err)
		let()
		p, at, to = next, to, at
	}
}

// A copy that was dropped after a save whose answer was lost, or before one that did not know of it, does not count again.
func TestASaveDoesNotBringBackADroppedCopy(t *testing.T) {
	m := newMove(t)
	m.begin()
	m.freeze()
	m.activate()
	n2, both := m.n2, []string{"n1", "n2"}
	n2.fresh(t)
	moved, _ := n2.record(web)
	must(t, n2.Save(soon(t), web, m.epoch+1, "c2", both))
	must(t, m.n1.DropCopy(soon(t), web, m.epoch+1, "c2"))
	if err := n2.saveOver(soon(t), moved, web, m.epoch+1, "c2", both); err != nil {
		t.Errorf("asked again, a save that was made: %v", err)
	}
	if p := m.agreed(); p.Checkpoint != "c2" || len(p.Copies) != 1 {
		t.Errorf("the answer was lost, and it is %+v", p)
	}

	must(t, n2.Save(soon(t), web, m.epoch+1, "c3", both))
	n2.fresh(t)
	counted, _ := n2.record(web)
	must(t, m.n1.DropCopy(soon(t), web, m.epoch+1, "c3"))
	if err := n2.saveOver(soon(t), counted, web, m.epoch+1, "c3", both); !errors.Is(err, policystore.ErrConflict) {
		t.Errorf("a save with a copy that was dropped meanwhile: %v", err)
	}
	if p := m.agreed(); p.Checkpoint != "c3" || len(p.Copies) != 1 {
		t.Errorf("it is %+v", p)
	}
	// What was dropped of the checkpoint before says nothing of this one.
	must(t, n2.saveOver(soon(t), counted, web, m.epoch+1, "c4", both))
	m.let()
}
