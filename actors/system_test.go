package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyisolate/pyisolate/cell"
)

func TestAsk(t *testing.T) {
	s, _ := newSystem(t, Options{})
	var cells started
	spawn(t, s, worker, cells.plan())
	r := s.Ask(soon(t), Envelope{To: worker, Body: Call{cell.Invocation{Target: "f", Raw: []byte("x")}}})
	if r.Err != nil || string(r.Value.Data) != "x" || r.Epoch != 1 {
		t.Errorf("%+v", r)
	}
	if r := s.Ask(soon(t), Envelope{To: worker, Body: Inspect{}}); r.Err != nil || r.Report.ID == "" {
		t.Errorf("%+v", r)
	}
	if r := s.Ask(soon(t), exec(Address{"acme", "nobody"}, "")); cell.KindOf(r.Err) != cell.CellGone {
		t.Errorf("%+v", r)
	}
	if r := s.Ask(soon(t), exec(Address{"other", "worker"}, "")); cell.KindOf(r.Err) != cell.CellGone {
		t.Errorf("another tenant's: %+v", r)
	}
	if n := s.DeadLetters()["no such cell"]; n != 2 {
		t.Errorf("%d dead letters", n)
	}
}

func TestNames(t *testing.T) {
	s, told := newSystem(t, Options{})
	var cells started
	spawn(t, s, worker, cells.plan())
	if err := s.Spawn(soon(t), worker, cells.plan()); cell.KindOf(err) != cell.Invalid {
		t.Errorf("a name that is taken: %v", err)
	}
	spawn(t, s, Address{"other", "worker"}, cells.plan())
	if got := s.List("acme"); !slices.Equal(got, []Address{worker}) {
		t.Errorf("%v", got)
	}
	if r := s.Ask(soon(t), Envelope{To: worker, Body: Close{}}); r.Err != nil {
		t.Fatal(r.Err)
	}
	told.await(t, Ended)
	spawn(t, s, worker, cells.plan()) // at once
	s.Ask(soon(t), Envelope{To: worker, Body: Kill{"test"}})
	told.await(t, Ended)
	if r := s.Ask(soon(t), exec(worker, "")); cell.KindOf(r.Err) != cell.CellGone {
		t.Errorf("what was killed runs: %+v", r)
	}
	spawn(t, s, worker, cells.plan()) // what has ended gives up its name
	for _, a := range []Address{{"", "x"}, {"x", ""}, {"a b", "x"}, {"x", "../x"}} {
		if err := s.Spawn(soon(t), a, cells.plan()); cell.KindOf(err) != cell.Invalid {
			t.Errorf("%v: %v", a, err)
		}
	}
}

func TestFailedStart(t *testing.T) {
	s, _ := newSystem(t, Options{})
	cells := started{fail: errors.New("no room")}
	if err := s.Spawn(soon(t), worker, cells.plan()); err == nil || err.Error() != "no room" {
		t.Errorf("%v", err)
	}
	cells.refuse(nil)
	spawn(t, s, worker, cells.plan())
}

// TestOrder: of each sender all comes in the order in which it was sent, and once.
func TestOrder(t *testing.T) {
	s, _ := newSystem(t, Options{})
	var cells started
	spawn(t, s, worker, cells.plan())
	const senders, each = 8, 100
	var sending sync.WaitGroup
	for sender := range senders {
		sending.Go(func() {
			for i := range each {
				if r := s.Ask(soon(t), post(worker, fmt.Sprintf("%d %03d", sender, i))); r.Err != nil {
					t.Error(r.Err)
				}
			}
		})
	}
	sending.Wait()
	got := cells.last().got()
	slices.SortStableFunc(got, func(a, b string) int { return int(a[0]) - int(b[0]) })
	if !slices.IsSorted(got) || len(slices.Compact(got)) != senders*each {
		t.Errorf("%d messages: %.200v", len(got), got)
	}
}

// TestSubmitOrder: so it is when the sender does not wait.
func TestSubmitOrder(t *testing.T) {
	s, _ := newSystem(t, Options{})
	var cells started
	spawn(t, s, worker, cells.plan())
	var last *request
	var at Entry
	for i := range 500 {
		var err error
		if last, at, err = s.submit(soon(t), post(worker, fmt.Sprintf("%03d", i))); err != nil {
			t.Fatal(err)
		}
	}
	last.wait(s, at)
	if got := cells.last().got(); len(got) != 500 || !slices.IsSorted(got) {
		t.Errorf("%v", got)
	}
}

// TestTwice: an envelope that comes again is not done again, and is answered as before.
func TestTwice(t *testing.T) {
	s, _ := newSystem(t, Options{})
	runs, release := make(chan struct{}, 3), make(chan struct{})
	cells := started{setUp: func(q *quick) {
		q.exec = func(context.Context, string) error {
			runs <- struct{}{}
			<-release
			return cell.Errorf(cell.GuestError, "as it went")
		}
	}}
	spawn(t, s, worker, cells.plan())
	env := exec(worker, "")
	env.ID = NewID()
	replies := make(chan Reply, 3)
	for range 2 {
		go func() { replies <- s.Ask(soon(t), env) }()
	}
	<-runs
	close(release)
	for range 2 {
		if r := <-replies; cell.KindOf(r.Err) != cell.GuestError {
			t.Errorf("%+v", r)
		}
	}
	if r := s.Ask(soon(t), env); cell.KindOf(r.Err) != cell.GuestError {
		t.Errorf("later: %+v", r)
	}
	if n := cells.last().running(); n != 1 {
		t.Errorf("it ran %d times", n)
	}
}

// TestTwiceNeverBegun: what was not begun is not remembered as done, neither for who waited for
// its answer nor for who asks later.
func TestTwiceNeverBegun(t *testing.T) {
	s, _ := newSystem(t, Options{})
	begun, release := make(chan struct{}), make(chan struct{})
	cells := started{setUp: func(q *quick) {
		q.exec = func(_ context.Context, code string) error {
			if code == "first" {
				close(begun)
				<-release
			}
			return nil
		}
	}}
	spawn(t, s, worker, cells.plan())
	submit := func(ctx context.Context, env Envelope) *request {
		t.Helper()
		r, _, err := s.submit(ctx, env)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	submit(soon(t), exec(worker, "first"))
	<-begun
	env, waited := exec(worker, "later"), exec(worker, "waited")
	env.ID, waited.ID = NewID(), NewID()
	ctx, cancel := context.WithCancel(soon(t))
	withdrawn := []*request{submit(ctx, env), submit(ctx, waited)}
	again := submit(soon(t), waited)
	s.Ask(soon(t), Envelope{To: worker, Body: Inspect{}}) // then all of them are in their line
	cancel()
	close(release)
	for _, r := range withdrawn {
		if got := <-r.replied; cell.KindOf(got.Err) != cell.Cancelled {
			t.Errorf("withdrawn: %+v", got)
		}
	}
	if got := <-again.replied; got.Err != nil {
		t.Errorf("who waited: %v", got.Err)
	}
	if got := s.Ask(soon(t), env); got.Err != nil {
		t.Errorf("who asks later: %v", got.Err)
	}
	if n := cells.last().running(); n != 3 {
		t.Errorf("%d ran", n)
	}
}

// TestTwiceNoRoom: that there was no room once is not the answer for ever.
func TestTwiceNoRoom(t *testing.T) {
	s, _ := newSystem(t, Options{})
	var full atomic.Bool
	full.Store(true)
	cells := started{setUp: func(q *quick) {
		q.send = func(cell.Value) error {
			if full.Load() {
				return cell.Errorf(cell.Busy, "the inbox is full")
			}
			return nil
		}
	}}
	spawn(t, s, worker, cells.plan())
	env := post(worker, "x")
	env.ID = NewID()
	if r := s.Ask(soon(t), env); cell.KindOf(r.Err) != cell.Busy {
		t.Errorf("%+v", r)
	}
	full.Store(false)
	for range 2 {
		if r := s.Ask(soon(t), env); r.Err != nil {
			t.Error(r.Err)
		}
	}
	if got := cells.last().got(); len(got) != 1 {
		t.Errorf("%v", got)
	}
}

// TestTwiceAfterwards: what was done is answered so in every state of the cell.
func TestTwiceAfterwards(t *testing.T) {
	s, told := newSystem(t, Options{})
	var cells started
	p := restarted(&cells)
	p.Restart.First, p.Restart.Most = time.Hour, time.Hour
	spawn(t, s, worker, p)
	env := exec(worker, "")
	env.ID, env.Epoch = NewID(), 1
	repeated := func(state string) {
		t.Helper()
		if r := s.Ask(soon(t), env); r.Err != nil || r.Epoch != 1 {
			t.Errorf("%s: %+v", state, r)
		}
	}
	repeated("the first time")
	cells.last().Kill("crashed")
	told.await(t, Restarting)
	repeated("restarting")
	if r := s.Ask(soon(t), Envelope{To: worker, Body: Quarantine{"odd"}}); r.Err != nil {
		t.Fatal(r.Err)
	}
	told.await(t, Quarantined)
	repeated("quarantined")
	s.Ask(soon(t), Envelope{To: worker, Body: Kill{"enough"}})
	told.await(t, Ended)
	repeated("ended")
}

func (q *quick) running() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.ran)
}

// TestCredit: who has none is answered at once, and has it again later.
func TestCredit(t *testing.T) {
	s, _ := newSystem(t, Options{})
	release := make(chan struct{})
	cells := started{setUp: func(q *quick) {
		q.send = func(cell.Value) error { <-release; return nil }
	}}
	p := cells.plan()
	p.Credit = Credit{Count: 3, Bytes: 100, Looks: 1}
	spawn(t, s, worker, p)
	var all []*request
	submit := func(text string) error {
		r, _, err := s.submit(soon(t), post(worker, text))
		if err == nil {
			all = append(all, r)
		}
		return err
	}
	if err := errors.Join(submit("a"), submit(string(make([]byte, 99)))); err != nil {
		t.Fatal(err)
	}
	if err := submit("c"); cell.KindOf(err) != cell.Busy {
		t.Errorf("101 bytes of 100: %v", err)
	}
	if err := submit(""); err != nil {
		t.Fatal(err)
	}
	if err := submit(""); cell.KindOf(err) != cell.Busy {
		t.Errorf("4 of 3: %v", err)
	}
	if r := s.Ask(soon(t), Envelope{To: worker, Body: Inspect{}}); r.Err != nil {
		t.Errorf("what waits for nobody: %v", r.Err)
	}
	close(release)
	for _, r := range all {
		if got := <-r.replied; got.Err != nil {
			t.Error(got.Err)
		}
	}
	if r := s.Ask(soon(t), post(worker, string(make([]byte, 1000)))); r.Err != nil {
		t.Errorf("one alone: %v", r.Err)
	}
}

// TestDeadlines: what is late is not begun, and what runs is interrupted.
func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // nothing is late but what waits
		s, _ := newSystem(t, Options{})
		cells := started{setUp: func(q *quick) {
			q.exec = func(ctx context.Context, _ string) error {
				<-ctx.Done()
				return cell.Errorf(cell.Timeout, "interrupted")
			}
		}}
		spawn(t, s, worker, cells.plan())
		first, second := exec(worker, "first"), exec(worker, "second")
		first.Deadline = time.Now().Add(40 * time.Millisecond)
		second.Deadline = time.Now().Add(20 * time.Millisecond)
		var all []*request
		for _, env := range []Envelope{first, second} {
			r, _, err := s.submit(soon(t), env)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, r)
		}
		for _, r := range all {
			if got := <-r.replied; cell.KindOf(got.Err) != cell.Timeout {
				t.Errorf("%+v", got)
			}
		}
		if n := cells.last().running(); n != 1 {
			t.Errorf("%d ran", n)
		}
		ctx, cancel := context.WithCancel(soon(t))
		cancel()
		if r := s.Ask(ctx, exec(worker, "third")); cell.KindOf(r.Err) != cell.Cancelled {
			t.Errorf("%+v", r)
		}
	})
}

// TestTopics: each cell that hears a topic gets what is published, and no other.
func TestTopics(t *testing.T) {
	s, _ := newSystem(t, Options{})
	var one, two, other started
	p := one.plan()
	p.Topics = []string{"news"}
	spawn(t, s, Address{"acme", "one"}, p)
	spawn(t, s, Address{"acme", "two"}, two.plan())
	p = other.plan()
	p.Topics = []string{"news"}
	spawn(t, s, Address{"other", "one"}, p)
	if err := s.Subscribe(Address{"acme", "two"}, "news"); err != nil {
		t.Fatal(err)
	}
	publish := func(text string) Published {
		t.Helper()
		got, err := s.Publish(soon(t), "acme", "news", "test", cell.BytesValue([]byte(text)))
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := publish("a"); got.Delivered != 2 {
		t.Errorf("%+v", got)
	}
	s.Unsubscribe(Address{"acme", "one"}, "news")
	two.last().send = func(cell.Value) error { return cell.Errorf(cell.Busy, "full") }
	if got := publish("b"); got.Delivered != 0 || len(got.Refused) != 1 || cell.KindOf(got.Refused[0].Err) != cell.Busy {
		t.Errorf("%+v", got)
	}
	if r := s.Ask(soon(t), Envelope{To: Address{"acme", "two"}, Body: Close{}}); r.Err != nil {
		t.Fatal(r.Err)
	}
	if got := publish("c"); got.Delivered != 0 || len(got.Refused) != 0 {
		t.Errorf("a cell that has left hears: %+v", got)
	}
	if got := one.last().got(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("%v", got)
	}
	if got := other.last().got(); len(got) != 0 {
		t.Errorf("another tenant's cell heard %v", got)
	}
	if _, err := s.Publish(soon(t), "acme", "a b", "test", cell.Null()); cell.KindOf(err) != cell.Invalid {
		t.Errorf("%v", err)
	}
	if err := s.Subscribe(Address{"acme", "nobody"}, "news"); cell.KindOf(err) != cell.CellGone {
		t.Errorf("%v", err)
	}
}

// TestEndsAlways: whatever waits for a cell, it can be ended.
func TestEndsAlways(t *testing.T) {
	s, told := newSystem(t, Options{})
	var cells started
	p := cells.plan()
	p.Credit = Credit{Count: 1, Waits: 1, Looks: 1}
	spawn(t, s, worker, p)
	release := make(chan struct{})
	cells.last().send = func(cell.Value) error { <-release; return nil }
	defer close(release)
	var all []*request
	for _, b := range []Body{Post{cell.Null()}, Recv{}} {
		r, _, err := s.submit(soon(t), Envelope{To: worker, Body: b})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
		if _, _, err := s.submit(soon(t), Envelope{To: worker, Body: b}); cell.KindOf(err) != cell.Busy {
			t.Errorf("one too many: %v", err)
		}
	}
	if r := s.Ask(soon(t), Envelope{To: worker, Body: Inspect{}}); r.Err != nil {
		t.Errorf("inspect: %v", r.Err)
	}
	at, _ := s.directory.Lookup(worker)
	if err := at.gate.enter(Inspect{}); err != nil {
		t.Fatal(err)
	}
	if r := s.Ask(soon(t), Envelope{To: worker, Body: Reload{}}); r.Err != nil {
		t.Errorf("reload while somebody looks: %v", r.Err)
	}
	at.gate.leave(Inspect{})
	if r := s.Ask(soon(t), Envelope{To: worker, Body: Kill{"enough"}}); r.Err != nil {
		t.Errorf("kill: %v", r.Err)
	}
	told.await(t, Ended)
	if got := <-all[1].replied; cell.KindOf(got.Err) != cell.CellGone {
		t.Errorf("%+v", got)
	}
}

// TestReceive: what is there is taken at once, up to so many items and bytes.
func TestReceive(t *testing.T) {
	large := string(make([]byte, recvBytes))
	for _, c := range []struct {
		name string
		take Recv
		has  []string
		want int
	}{
		{"one", Recv{}, []string{"a", "b"}, 1},
		{"some", Recv{Max: 3}, []string{"a", "b", "c", "d"}, 3},
		{"all", Recv{Max: 10}, []string{"a", "b"}, 2},
		{"large", Recv{Max: 10}, []string{large, "a"}, 1},
		{"none, at once", Recv{Max: 10, AtOnce: true}, nil, 0},
		{"some, at once", Recv{Max: 10, AtOnce: true}, []string{"a"}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := newQuick("c")
			for _, text := range c.has {
				q.outbox = append(q.outbox, cell.Item{Value: cell.BytesValue([]byte(text))})
			}
			items, err := receive(soon(t), q, c.take)
			if err != nil || len(items) != c.want || len(q.outbox) != len(c.has)-c.want {
				t.Errorf("%d items, %v; %d are left", len(items), err, len(q.outbox))
			}
		})
	}
}

// TestForget: a cell that has ended gives its name back when it is told to, and no other.
func TestForget(t *testing.T) {
	s, told := newSystem(t, Options{})
	var cells started
	spawn(t, s, worker, cells.plan())
	if s.Forget(worker) != nil || s.Forget(Address{"acme", "nobody"}) != nil {
		t.Error("a cell that runs is forgotten, or one that is none")
	}
	s.Ask(soon(t), Envelope{To: worker, Body: Kill{"test"}})
	told.await(t, Ended)
	if gone := s.Forget(worker); gone == nil {
		t.Error("it is not forgotten")
	} else {
		<-gone
	}
	told.await(t, Left)
	if len(s.List("")) != 0 {
		t.Errorf("%v", s.List(""))
	}
}

// TestPanics: a fault in what starts or does something is an error of that cell.
func TestPanics(t *testing.T) {
	s, _ := newSystem(t, Options{})
	plan := Plan{Start: func(context.Context, uint64) (cell.Cell, error) { panic("start") }}
	for range 2 { // the name is free again
		if err := s.Spawn(soon(t), worker, plan); err == nil || !strings.Contains(err.Error(), "panic: start") {
			t.Errorf("%v", err)
		}
	}
	cells := started{setUp: func(q *quick) { q.exec = func(context.Context, string) error { panic("exec") } }}
	spawn(t, s, worker, cells.plan())
	if r := s.Ask(soon(t), exec(worker, "")); r.Err == nil || !strings.Contains(r.Err.Error(), "panic: exec") {
		t.Errorf("%+v", r)
	}
}
