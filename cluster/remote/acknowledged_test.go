package remote

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cluster/remote/internal/envelope"
	"github.com/pyisolate/pyisolate/internal/await"
)

// TestAtMostOnce: when the connection is lost on the way back, a plain envelope has an unknown
// outcome, and an acknowledged one is answered. Both are done once.
func TestAtMostOnce(t *testing.T) {
	a, _ := pair(t)
	for name, acknowledged := range map[string]bool{"plain": false, "acknowledged": true} {
		t.Run(name, func(t *testing.T) {
			to := map[bool]string{false: "echo-on-b", true: "other-on-b"}[acknowledged]
			env := run(to, "sleep")
			env.ID, env.Acknowledged = actors.NewID(), acknowledged
			waits := asking(t, a, env)
			await.That(t, "it runs", func() bool { return len(told[[]string](t, a, to, "ran")) == 1 })
			a.link(t, "b").cut(errTest)
			r := <-waits
			if acknowledged && (r.Err != nil || r.Epoch != 1) || !acknowledged && cell.KindOf(r.Err) != cell.UnknownOutcome {
				t.Errorf("%+v", r)
			}
			await.That(t, "the node is there again", func() bool { return a.system.Ask(soon(t), invoke(to, "echo", nil)).Err == nil })
			if got := told[[]string](t, a, to, "ran"); len(got) != 1 {
				t.Errorf("ran %v", got)
			}
		})
	}
}

// TestAnotherLife: what was for a node's former self is not done by the next, whether it comes again
// or was on its way.
func TestAnotherLife(t *testing.T) {
	a, b := pair(t)
	env := run("echo-on-b", "wait")
	env.ID, env.Acknowledged = actors.NewID(), true
	waits := asking(t, a, env)
	await.That(t, "it runs", func() bool { return len(told[[]string](t, a, "echo-on-b", "ran")) == 1 })
	former, err := a.link(t, "b").ready(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	b.kill()
	there(t, a.in, "b")
	if r := <-waits; cell.KindOf(r.Err) != cell.UnknownOutcome {
		t.Errorf("sent again: %+v", r)
	}
	m, err := toWire(run("echo-on-b", "pass"))
	if err != nil {
		t.Fatal(err)
	}
	m.Session, m.Call = former, a.remote.calls.Add(1)
	c := &call{done: make(chan outcome, 1)}
	await.That(t, "it is sent", func() bool {
		session, err := a.link(t, "b").ready(soon(t))
		return err == nil && a.link(t, "b").send(session, m, m.Call, c) == nil
	})
	if o := <-c.done; o.err != nil || kindFromWire(o.reply.GetError().GetKind()) != cell.CellGone {
		t.Errorf("on its way: %v", o)
	}
	if got := told[[]string](t, a, "echo-on-b", "ran"); len(got) != 0 {
		t.Errorf("ran %v", got)
	}
	if got := told[map[string]int](t, a, "echo-on-b", "dead"); got["stale session"] != 1 {
		t.Errorf("dead letters: %v", got)
	}
	// Nor does the answer to a former self reach anybody.
	a.remote.answers(asker{node: "b"}, &envelope.CellReply{Session: "former", Call: 1})
}

// TestAcknowledgedRunsOut: tries are bounded, and what was sent and never answered is unknown.
func TestAcknowledgedRunsOut(t *testing.T) {
	a, b := pair(t)
	waits := asking(t, a, func() actors.Envelope {
		env := run("echo-on-b", "wait")
		env.ID, env.Acknowledged = actors.NewID(), true
		return env
	}())
	await.That(t, "it runs", func() bool { return len(told[[]string](t, a, "echo-on-b", "ran")) == 1 })
	b.kill()
	if r := <-waits; cell.KindOf(r.Err) != cell.UnknownOutcome {
		t.Errorf("%+v", r)
	}
	for name, env := range map[string]actors.Envelope{
		"without id": {To: at("echo-on-b"), Acknowledged: true, Body: actors.Exec{}},
		"recv":       {To: at("echo-on-b"), Acknowledged: true, ID: actors.NewID(), Body: actors.Recv{}},
	} {
		if r := a.system.Ask(soon(t), env); cell.KindOf(r.Err) != cell.Invalid {
			t.Errorf("%s: %+v", name, r)
		}
	}
	never := post("echo-on-b", "x")
	never.ID, never.Acknowledged = actors.NewID(), true
	if r := a.system.Ask(soon(t), never); cell.KindOf(r.Err) != cell.Busy {
		t.Errorf("never sent: %+v", r)
	}
}

// TestSettled: after which answers an acknowledged envelope is not sent again.
func TestSettled(t *testing.T) {
	is := func(k cell.Kind) actors.Reply { return actors.Reply{Err: cell.Errorf(k, "test")} }
	first, again := attempt{}, attempt{session: "s"}
	unsent, unanswered, answered := fate{}, fate{session: "s"}, fate{session: "s", answered: true}
	for name, c := range map[string]struct {
		reply actors.Reply
		fate  fate
		then  attempt
		want  bool
	}{
		"done":                      {actors.Reply{}, answered, first, true},
		"refused":                   {is(cell.Busy), answered, first, true},
		"done, sent again":          {actors.Reply{}, answered, again, true},
		"failed, sent again":        {is(cell.GuestError), answered, again, true},
		"refused, sent again":       {is(cell.Busy), answered, again, false},
		"gone, sent again":          {is(cell.CellGone), answered, again, false},
		"late, sent again":          {is(cell.Timeout), answered, again, false},
		"not answered":              {is(cell.UnknownOutcome), unanswered, first, false},
		"not answered, sent again":  {is(cell.UnknownOutcome), unanswered, again, false},
		"no way":                    {is(cell.Busy), unsent, first, false},
		"no way, sent before":       {is(cell.Busy), unsent, again, false},
		"late":                      {is(cell.Timeout), unsent, first, true},
		"late, sent before":         {is(cell.Timeout), unsent, again, false},
		"another life, sent before": {is(cell.UnknownOutcome), unsent, again, true},
		"moved":                     {actors.Reply{Err: actors.Elsewhere(at("x"), "b")}, answered, first, true},
		"moved, sent again":         {actors.Reply{Err: actors.Elsewhere(at("x"), "b")}, answered, again, true},
		"not valid":                 {is(cell.Invalid), unsent, first, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := settled(c.reply, c.fate, c.then); got != c.want {
				t.Error(got)
			}
			r := unknown(c.reply, c.then, tries)
			if c.then.session != "" && cell.KindOf(r.Err) != cell.UnknownOutcome && !c.want {
				t.Errorf("when tries run out: %v", r.Err)
			}
		})
	}
}

// TestFlapping: while connections are lost both ways again and again, nothing is done twice, nothing
// that was answered is missing, and what one sender sent is in its order.
func TestFlapping(t *testing.T) {
	a, _ := pair(t)
	stop := make(chan struct{})
	var cutter, senders sync.WaitGroup
	cutter.Go(func() {
		for both := false; ; both = !both {
			select {
			case <-stop:
				return
			case <-time.After(60 * time.Millisecond):
			}
			a.link(t, "b").cut(errTest)
			if both {
				a.remote.door.cut("b")
			}
		}
	})
	var answered sync.Map
	var failed atomic.Int32
	for sender := range 8 {
		senders.Go(func() {
			for i := range 150 / await.Slow {
				text := fmt.Sprintf("%d %03d", sender, i)
				env := post("echo-on-b", text)
				env.ID, env.Acknowledged = actors.NewID(), true
				switch r := a.system.Ask(soon(t), env); cell.KindOf(r.Err) {
				case cell.UnknownOutcome, cell.Busy:
					failed.Add(1)
				default:
					if r.Err != nil {
						t.Error(r.Err)
					}
					answered.Store(text, true)
				}
			}
		})
	}
	senders.Wait()
	close(stop)
	cutter.Wait()
	await.That(t, "the node is there again", func() bool { return a.system.Ask(soon(t), invoke("teller-on-b", "echo", nil)).Err == nil })
	got := told[[]string](t, a, "echo-on-b", "inbox")
	sorted := slices.SortedStableFunc(slices.Values(got), func(x, y string) int { return int(x[0]) - int(y[0]) })
	if !slices.IsSorted(sorted) {
		t.Error("they are not in order")
	}
	if n := len(slices.Compact(sorted)); n != len(got) {
		t.Errorf("%d of %d were done twice", len(got)-n, len(got))
	}
	answered.Range(func(text, _ any) bool {
		if !slices.Contains(got, text.(string)) {
			t.Errorf("%s was answered, and is not there", text)
		}
		return true
	})
	t.Logf("%d are there, of %d the outcome is not known", len(got), failed.Load())
}
