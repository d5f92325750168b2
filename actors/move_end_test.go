package actors

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/internal/await"
)

// TestMoveEnds: what ends or alters a cell while it is moved has its effect on the one cell there is,
// wherever that is then; and what ends it has the move stop where it can.
func TestMoveEnds(t *testing.T) {
	for name, c := range map[string]struct {
		body Body
		stop bool // the move
		ends bool // the cell
	}{
		"kill":       {Kill{Reason: "test"}, true, true},
		"close":      {Close{}, true, true},
		"quarantine": {Quarantine{Reason: "test"}, true, false},
		"reload":     {Reload{}, false, false},
	} {
		for where, moves := range map[string]bool{"moved": true, "stays": false} {
			t.Run(name+" "+where, func(t *testing.T) {
				p := newPair(t, Options{})
				var here, there started
				p.spawn(t, here.plan())
				take, cells := stays, &here
				if moves {
					take, cells = func(_ context.Context, c cell.Cell, m Moving) (Moved, error) {
						return p.hand(soon(t), t, p.b, there.plan(), c, m) // it was agreed, whoever wants it to end
					}, &there
				}
				var asked func() Reply
				r := p.move(t, p.a, held(func(ctx context.Context) {
					asked = p.a.Begin(soon(t), Envelope{To: worker, Body: c.body})
					if c.stop {
						<-ctx.Done()
					}
				}, take))
				if r.Epoch != 2 {
					t.Errorf("%+v", r)
				}
				if r := asked(); r.Err != nil || r.Epoch != 2 {
					t.Errorf("%+v", r)
				}
				select {
				case <-cells.last().Done():
					if !c.ends {
						t.Error("it has ended")
					}
				default:
					if c.ends {
						t.Error("it goes on")
					}
				}
			})
		}
	}
}

// TestMoveKillLate: who does not wait for a move to be decided has the cell killed all the same.
func TestMoveKillLate(t *testing.T) {
	p := newPair(t, Options{})
	var here, there started
	p.spawn(t, here.plan())
	p.move(t, p.a, held(func(context.Context) {
		ctx, cancel := context.WithCancel(soon(t))
		killed := p.a.Begin(ctx, Envelope{To: worker, Body: Kill{}})
		<-here.last().Done()
		cancel()
		if r := killed(); cell.KindOf(r.Err) != cell.UnknownOutcome {
			t.Errorf("%+v", r)
		}
	}, func(_ context.Context, c cell.Cell, m Moving) (Moved, error) {
		return p.hand(soon(t), t, p.b, there.plan(), c, m)
	}))
	await.That(t, "it is killed there", func() bool { return there.last().gone() != nil })
}

// TestMoveKillEntry: the node ends what is left of a cell here, and not the cell.
func TestMoveKillEntry(t *testing.T) {
	p := newPair(t, Options{})
	var here, there started
	plan := here.plan()
	plan.Topics = []string{"news"}
	p.spawn(t, plan)
	e, _ := p.a.directory.(*joined).Local.Lookup(worker)
	release := make(chan struct{})
	var held1 func() Reply
	r := p.move(t, p.a, held(func(context.Context) {
		there.setUp = func(q *quick) { q.exec = func(context.Context, string) error { <-release; return nil } }
		held1 = p.a.Begin(soon(t), exec(worker, "x")) // it keeps the actor
	}, p.to(t, p.b, there.plan()).Take))
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	p.told.await(t, MovedAway)
	await.That(t, "the frozen cell is closed", func() bool { return here.last().gone() != nil })
	if n := p.a.Stats().Names; n != 1 || len(p.a.Topics(worker)) != 0 {
		t.Errorf("%d names; it hears %v here", n, p.a.Topics(worker))
	}
	p.a.KillEntry(worker, e, "fenced")
	if r := p.b.Ask(soon(t), Envelope{To: worker, Body: Inspect{}}); r.Err != nil {
		t.Error(r.Err)
	}
	close(release)
	if r := held1(); r.Err != nil {
		t.Error(r.Err)
	}
	await.That(t, "the place is given up", func() bool { return p.a.Stats().Names == 0 })
	if there.last().gone() != nil {
		t.Error("it is killed there")
	}
}

// TestMoveClose: a node that ends has a move end, and waits for it.
func TestMoveClose(t *testing.T) {
	var here started
	s := New(Options{})
	spawn(t, s, worker, here.plan())
	began, over := make(chan struct{}), false
	moved := s.Begin(context.Background(), Envelope{To: worker, Body: Move{Take: func(ctx context.Context, _ cell.Cell, _ Moving) (Moved, error) {
		close(began)
		<-ctx.Done()
		over = true
		return Moved{}, ctx.Err()
	}}})
	<-began
	if err := s.Close(soon(t)); err != nil || !over {
		t.Errorf("%v, it is over: %t", err, over)
	}
	if r := moved(); r.Err == nil {
		t.Error("it moved")
	}
}

// TestMoveRefused: what does not run does not move.
func TestMoveRefused(t *testing.T) {
	p := newPair(t, Options{Hold: time.Hour})
	var here, there started
	p.spawn(t, here.plan())
	p.a.Ask(soon(t), Envelope{To: worker, Body: Quarantine{}})
	if r := p.move(t, p.a, p.to(t, p.b, there.plan())); cell.KindOf(r.Err) != cell.Invalid {
		t.Errorf("quarantined: %+v", r)
	}
	here.last().Kill("crashed")
	p.told.await(t, Ended)
	if r := p.move(t, p.a, p.to(t, p.b, there.plan())); cell.KindOf(r.Err) != cell.CellGone {
		t.Errorf("ended: %+v", r)
	}
}

// TestMoveAfterReload: what alters the cell and came before is done before it is taken.
func TestMoveAfterReload(t *testing.T) {
	p := newPair(t, Options{})
	var here started
	release := make(chan struct{})
	here.setUp = func(q *quick) { q.reload = release }
	p.spawn(t, here.plan())
	reloaded := p.a.Begin(soon(t), Envelope{To: worker, Body: Reload{}})
	var taken atomic.Bool
	moved := p.a.Begin(soon(t), Envelope{To: worker, Body: held(func(context.Context) { taken.Store(true) }, stays)})
	if r := p.a.Ask(soon(t), Envelope{To: worker, Body: Inspect{}}); r.Err != nil || taken.Load() {
		t.Errorf("%+v, it is taken: %t", r, taken.Load())
	}
	await.That(t, "posts are held", func() bool { return !p.actor(worker).lanes[posts].idle() })
	if taken.Load() {
		t.Error("it is taken while it is altered")
	}
	close(release)
	if r := reloaded(); r.Err != nil || r.Epoch != 1 {
		t.Errorf("%+v", r)
	}
	if r := moved(); r.Epoch != 2 {
		t.Errorf("%+v", r)
	}
}

// actor of a cell of node a.
func (p *pair) actor(at Address) *cellActor {
	p.a.mu.Lock()
	defer p.a.mu.Unlock()
	for c := range p.a.all {
		if c.at == at {
			return c
		}
	}
	return nil
}
