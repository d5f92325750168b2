package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/internal/await"
)

// pair is two nodes and what they agree about where cells are.
type pair struct {
	a, b *System
	told events // of a
	rest events // of b

	mu    sync.Mutex
	owner map[Address]*System
}

// joined is the directory of one of them.
type joined struct {
	Local
	in   *pair
	self **System
	lags atomic.Bool // it does not know yet what was agreed
}

func (d *joined) Lookup(a Address) (Entry, bool) {
	d.in.mu.Lock()
	to := d.in.owner[a]
	d.in.mu.Unlock()
	if to != nil && to != *d.self && !d.lags.Load() {
		return Entry{Via: way{to}}, true
	}
	return d.Local.Lookup(a)
}

// way is to the cells of a node.
type way struct{ to *System }

func (w way) Ask(ctx context.Context, env Envelope) Reply { return w.to.Begin(ctx, env)() }

func newPair(tb testing.TB, o Options) *pair {
	tb.Helper()
	p := &pair{owner: map[Address]*System{}}
	o.Directory = &joined{in: p, self: &p.a}
	p.a, p.told = newSystem(tb, o)
	o.Directory = &joined{in: p, self: &p.b}
	p.b, p.rest = newSystem(tb, o)
	return p
}

func (p *pair) own(a Address, s *System) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.owner[a] = s
}

// spawn starts the cell on node a.
func (p *pair) spawn(tb testing.TB, plan Plan) {
	tb.Helper()
	p.own(worker, p.a)
	spawn(tb, p.a, worker, plan)
	p.told.await(tb, Started)
}

// to is a move to a node, where a cell goes on with what the other had.
func (p *pair) to(tb testing.TB, to *System, plan Plan) Move {
	return Move{Take: func(ctx context.Context, c cell.Cell, m Moving) (Moved, error) {
		return p.hand(ctx, tb, to, plan, c, m)
	}}
}

func (p *pair) hand(ctx context.Context, tb testing.TB, to *System, plan Plan, c cell.Cell, m Moving) (Moved, error) {
	data, err := m.Carried.MarshalBinary()
	if err != nil {
		return Moved{}, err
	}
	plan.Carried = new(Carried)
	if err := plan.Carried.UnmarshalBinary(data); err != nil {
		return Moved{}, err
	}
	plan.Next = func(_ context.Context, last uint64) (uint64, error) {
		p.own(worker, to)
		return max(last, m.Epoch) + 1, nil
	}
	start := plan.Start
	plan.Start = func(ctx context.Context, epoch uint64) (cell.Cell, error) {
		next, err := start(ctx, epoch)
		if err == nil {
			q := c.(*quick)
			next.(*quick).inbox, next.(*quick).ran = q.got(), q.did()
		}
		return next, err
	}
	if err := to.Spawn(ctx, worker, plan); err != nil {
		tb.Errorf("spawn it there: %v", err)
		return Moved{}, err
	}
	return Moved{Epoch: m.Epoch + 1, Via: way{to}, Node: "b"}, nil
}

func (q *quick) did() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.ran)
}

func (p *pair) move(tb testing.TB, from *System, m Move) Reply {
	tb.Helper()
	return from.Ask(soon(tb), Envelope{To: worker, Body: m})
}

// held runs do while both lines of the cell are held, and then take.
func held(do func(ctx context.Context), take func(context.Context, cell.Cell, Moving) (Moved, error)) Move {
	return Move{Take: func(ctx context.Context, c cell.Cell, m Moving) (Moved, error) {
		do(ctx)
		return take(ctx, c, m)
	}}
}

// stays is a Take of a cell that stays, in the next epoch.
func stays(_ context.Context, _ cell.Cell, m Moving) (Moved, error) {
	return Moved{Epoch: m.Epoch + 1}, errNoRoom
}

var errNoRoom = errors.New("there is no room")

func numbers(prefix string, n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprint(prefix, i))
	}
	return all
}

// TestMoveOrder: what was begun before is done before; what is held goes on in the order in which it
// came, once, in either line, there as well as here.
func TestMoveOrder(t *testing.T) {
	for name, moves := range map[string]bool{"moved": true, "stays": false} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, Options{})
			var here, there started
			began, release := make(chan struct{}), make(chan struct{})
			here.setUp = func(q *quick) {
				q.exec = func(_ context.Context, code string) error {
					if code == "first" {
						close(began)
						<-release
					}
					return nil
				}
			}
			p.spawn(t, here.plan())
			waits := []func() Reply{p.a.Begin(soon(t), exec(worker, "first"))}
			<-began
			take := stays
			if moves {
				take = p.to(t, p.b, there.plan()).Take
			}
			moved := p.a.Begin(soon(t), Envelope{To: worker, Body: held(func(context.Context) {
				for i := range 50 {
					waits = append(waits, p.a.Begin(soon(t), exec(worker, fmt.Sprint("r", i))), p.a.Begin(soon(t), post(worker, fmt.Sprint("p", i))))
				}
			}, take)})
			close(release)
			r := moved()
			if r.Epoch != 2 || (r.Err == nil) != moves || !moves && !errors.Is(r.Err, errNoRoom) {
				t.Errorf("%+v", r)
			}
			for i, wait := range waits {
				if r := wait(); r.Err != nil || i > 0 && r.Epoch != 2 {
					t.Errorf("%d: %+v", i, r)
				}
			}
			last := here.last()
			if moves {
				last = there.last()
				if got := here.last().did(); len(got) != 1 || len(here.last().got()) != 0 {
					t.Errorf("ran here: %v", got)
				}
			}
			if want := append([]string{"first"}, numbers("r", 50)...); !slices.Equal(last.did(), want) {
				t.Errorf("ran %v", last.did())
			}
			if !slices.Equal(last.got(), numbers("p", 50)) {
				t.Errorf("inbox %v", last.got())
			}
		})
	}
}

// TestMoveWaits: a guest that runs may wait for what is posted, and so a move that waits for it holds
// up no post; it can be withdrawn.
func TestMoveWaits(t *testing.T) {
	p := newPair(t, Options{})
	var here, there started
	posted := make(chan struct{}, 9)
	here.setUp = func(q *quick) {
		q.exec = func(context.Context, string) error { <-posted; return nil }
		q.send = func(cell.Value) error { posted <- struct{}{}; return nil }
	}
	p.spawn(t, here.plan())
	waits := p.a.Begin(soon(t), exec(worker, "recv"))
	ctx, cancel := context.WithCancel(soon(t))
	withdrawn := p.a.Begin(ctx, Envelope{To: worker, Body: p.to(t, p.b, there.plan())})
	if r := p.move(t, p.a, p.to(t, p.b, there.plan())); cell.KindOf(r.Err) != cell.Busy {
		t.Errorf("a second move: %+v", r)
	}
	cancel()
	if r := withdrawn(); cell.KindOf(r.Err) != cell.Cancelled || r.Epoch != 1 {
		t.Errorf("withdrawn: %+v", r)
	}
	moved := p.a.Begin(soon(t), Envelope{To: worker, Body: p.to(t, p.b, there.plan())})
	if r := p.a.Ask(soon(t), post(worker, "go on")); r.Err != nil || r.Epoch != 1 {
		t.Errorf("%+v", r)
	}
	if r := waits(); r.Err != nil {
		t.Error(r.Err)
	}
	if r := moved(); r.Err != nil || len(there.cells) != 1 {
		t.Errorf("%+v", r)
	}
}

// TestMoveCarries: what was done before the move is not done again after it, topics are heard on, and
// an epoch from before still means the cell.
func TestMoveCarries(t *testing.T) {
	p := newPair(t, Options{})
	var here, there started
	plan := here.plan()
	plan.Topics = []string{"news"}
	plan.Life = "life"
	p.spawn(t, plan)
	env := Envelope{ID: NewID(), To: worker, Life: "life", Epoch: 1, Body: Call{cell.Invocation{Target: "f", Raw: []byte("x")}}}
	if r := p.a.Ask(soon(t), env); r.Err != nil {
		t.Fatal(r.Err)
	}
	if r := p.move(t, p.a, p.to(t, p.b, func() Plan { p := there.plan(); p.Life = "life"; return p }())); r.Err != nil {
		t.Fatal(r.Err)
	}
	for name, s := range map[string]*System{"here": p.a, "there": p.b} {
		if r := s.Ask(soon(t), env); r.Err != nil || r.Epoch != 1 || string(r.Value.Data) != "x" {
			t.Errorf("again, %s: %+v", name, r)
		}
	}
	if got := there.last().did(); !slices.Equal(got, []string{"f"}) {
		t.Errorf("ran %v", got)
	}
	env.ID = NewID()
	if r := p.a.Ask(soon(t), env); r.Err != nil || r.Epoch != 2 {
		t.Errorf("of the epoch before: %+v", r)
	}
	env.ID, env.Epoch = NewID(), 3
	if r := p.a.Ask(soon(t), env); cell.KindOf(r.Err) != cell.CellGone {
		t.Errorf("of an epoch that is not: %+v", r)
	}
	if e := p.told.await(t, MovedAway); e.Epoch != 2 || e.Reason != "b" {
		t.Errorf("%+v", e)
	}
	if got := p.b.Topics(worker); !slices.Equal(got, []string{"news"}) || len(p.a.Topics(worker)) != 0 {
		t.Errorf("it hears %v", got)
	}
	await.That(t, "the place is given up", func() bool { return p.a.Stats().Names == 0 })
	for len(p.told) > 0 {
		t.Errorf("told of a cell that is elsewhere: %+v", <-p.told)
	}
	await.That(t, "the frozen cell is closed", func() bool { return here.last().gone() != nil })
}

// TestMoveStays: the incarnation goes on in its new epoch, its end is seen, and the next is not it.
func TestMoveStays(t *testing.T) {
	p := newPair(t, Options{})
	var here started
	p.spawn(t, restarted(&here))
	p.move(t, p.a, Move{Take: stays})
	for epoch, kind := range map[uint64]cell.Kind{1: cell.KindUnknown, 2: cell.KindUnknown, 3: cell.CellGone} {
		env := exec(worker, "")
		env.Epoch = epoch
		if r := p.a.Ask(soon(t), env); r.Epoch != 2 || cell.KindOf(r.Err) != kind {
			t.Errorf("epoch %d: %+v", epoch, r)
		}
	}
	p.move(t, p.a, held(func(context.Context) {
		here.last().Kill("crashed")
		p.actor(worker).tell(&over{here.last()}) // who watches it may be later
	}, stays))
	if e := p.told.await(t, Restarting); e.Epoch != 3 {
		t.Errorf("%+v", e)
	}
	if e := p.told.await(t, Started); e.Epoch != 4 {
		t.Errorf("%+v", e)
	}
	env := exec(worker, "")
	env.Epoch = 3
	if r := p.a.Ask(soon(t), env); cell.KindOf(r.Err) != cell.CellGone {
		t.Errorf("for the one before: %+v", r)
	}
}

// TestMoveBreaksOff: where Take panics it is not known where the cell is, and so it does not run here.
func TestMoveBreaksOff(t *testing.T) {
	p := newPair(t, Options{})
	var here started
	p.spawn(t, here.plan())
	if r := p.move(t, p.a, Move{Take: func(context.Context, cell.Cell, Moving) (Moved, error) { panic("broken") }}); r.Err == nil {
		t.Error("no error")
	}
	if e := p.told.await(t, Ended); e.Epoch != 1 {
		t.Errorf("%+v", e)
	}
}

// TestMoveReceivers: who waits for what the guest posts is told that it is elsewhere.
func TestMoveReceivers(t *testing.T) {
	p := newPair(t, Options{})
	var here, there started
	p.spawn(t, here.plan())
	waits := p.a.Begin(soon(t), Envelope{To: worker, Body: Recv{}})
	if r := p.move(t, p.a, p.to(t, p.b, there.plan())); r.Err != nil {
		t.Fatal(r.Err)
	}
	if r := waits(); !errors.Is(r.Err, ErrMoved) || cell.KindOf(r.Err) != cell.CellGone {
		t.Errorf("%+v", r)
	}
	there.last().outbox = []cell.Item{{Value: cell.BytesValue([]byte("x"))}}
	if r := p.a.Ask(soon(t), Envelope{To: worker, Body: Recv{}}); r.Err != nil || len(r.Items) != 1 {
		t.Errorf("there: %+v", r)
	}
}

// TestMoveCredit: what is held takes credit.
func TestMoveCredit(t *testing.T) {
	p := newPair(t, Options{})
	var here started
	plan := here.plan()
	plan.Credit.Count = 4
	p.spawn(t, plan)
	var waits []func() Reply
	p.move(t, p.a, held(func(context.Context) {
		for range 4 {
			waits = append(waits, p.a.Begin(soon(t), post(worker, "x")))
		}
		if r := p.a.Ask(soon(t), exec(worker, "")); cell.KindOf(r.Err) != cell.Busy {
			t.Errorf("%+v", r)
		}
	}, stays))
	for _, wait := range waits {
		if r := wait(); r.Err != nil {
			t.Error(r.Err)
		}
	}
}
