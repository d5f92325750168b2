package remote

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cluster/remote/internal/envelope"
)

var errTest = errors.New("the test says so")

// asking is a question in the background.
func asking(tb testing.TB, n *node, env actors.Envelope) <-chan actors.Reply {
	ctx, done := soon(tb), make(chan actors.Reply, 1)
	go func() { done <- n.system.Ask(ctx, env) }()
	return done
}

// TestNodeDies: who waits knows at once that nothing is known, and who comes later that nothing
// was sent. When the node is there again, so is the way.
func TestNodeDies(t *testing.T) {
	a, b := pair(t)
	waits := asking(t, a, run("echo-on-b", "wait"))
	await(t, "it runs", func() bool { return len(told[[]string](t, a, "echo-on-b", "ran")) == 1 })
	begun := time.Now()
	b.kill()
	if r := <-waits; cell.KindOf(r.Err) != cell.UnknownOutcome {
		t.Errorf("while it ran: %+v", r)
	}
	for range 3 {
		if r := a.system.Ask(soon(t), post("echo-on-b", "x")); cell.KindOf(r.Err) != cell.Busy {
			t.Errorf("when it was gone: %+v", r)
		}
	}
	if d := time.Since(begun); d > time.Second {
		t.Errorf("it took %s", d)
	}
	there(t, a.in, "b")
	await(t, "it is there again", func() bool { return a.system.Ask(soon(t), post("echo-on-b", "again")).Err == nil })
	if got := told[[]string](t, a, "echo-on-b", "inbox"); !slices.Equal(got, []string{"again"}) {
		t.Error(got)
	}
}

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
			await(t, "it runs", func() bool { return len(told[[]string](t, a, to, "ran")) == 1 })
			a.link(t, "b").cut(errTest)
			r := <-waits
			if acknowledged && (r.Err != nil || r.Epoch != 1) || !acknowledged && cell.KindOf(r.Err) != cell.UnknownOutcome {
				t.Errorf("%+v", r)
			}
			await(t, "the node is there again", func() bool { return a.system.Ask(soon(t), invoke(to, "echo", nil)).Err == nil })
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
	await(t, "it runs", func() bool { return len(told[[]string](t, a, "echo-on-b", "ran")) == 1 })
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
	await(t, "it is sent", func() bool {
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
	await(t, "it runs", func() bool { return len(told[[]string](t, a, "echo-on-b", "ran")) == 1 })
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

// TestDialHangs: nobody waits for a node that does not answer longer than its own deadline, and
// nobody at all after it has failed.
func TestDialHangs(t *testing.T) {
	in := newCluster(t, "a")
	var dials atomic.Int32
	in.network = func(ctx context.Context, _ string) (net.Conn, error) {
		dials.Add(1)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	a := here(t, in, "a")
	env := post("echo-on-b", "x")
	env.Deadline = time.Now().Add(100 * time.Millisecond)
	begun := time.Now()
	if r := a.system.Ask(soon(t), env); cell.KindOf(r.Err) != cell.Busy {
		t.Errorf("%+v", r)
	}
	if d := time.Since(begun); d > time.Second {
		t.Errorf("it took %s", d)
	}
	if r := a.system.Ask(soon(t), post("echo-on-b", "x")); cell.KindOf(r.Err) != cell.Busy {
		t.Errorf("%+v", r)
	}
	if d := time.Since(begun); d > dialTime+time.Second {
		t.Errorf("it took %s", d)
	}
	if n := dials.Load(); n != 1 {
		t.Errorf("%d dials", n)
	}
}

// TestSilence: a node that accepts and says nothing is given up, and protoactor's sleep is nobody's.
func TestSilence(t *testing.T) {
	in := newCluster(t, "a")
	ends := make(chan net.Conn, 100)
	in.network = func(context.Context, string) (net.Conn, error) {
		own, other := net.Pipe()
		ends <- other
		go func() { _, _ = other.Read(make([]byte, 1<<10)) }()
		return own, nil
	}
	a := here(t, in, "a")
	begun := time.Now()
	for range 2 {
		if r := a.system.Ask(soon(t), post("echo-on-b", "x")); cell.KindOf(r.Err) != cell.Busy {
			t.Errorf("%+v", r)
		}
	}
	if d := time.Since(begun); d > dialTime+time.Second {
		t.Errorf("it took %s", d)
	}
	_ = (<-ends).Close()
}

// TestFull: a node that reads nothing costs bounded memory, and who asks it is told at once.
func TestFull(t *testing.T) {
	a, b := pair(t)
	if r := a.system.Ask(soon(t), post("echo-on-b", "x")); r.Err != nil {
		t.Fatal(r.Err)
	}
	if err := b.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var busy, done atomic.Int32
	var all sync.WaitGroup
	big := post("other-on-b", string(make([]byte, 1<<20)))
	for range 100 {
		all.Go(func() {
			switch r := a.system.Ask(soon(t), big); {
			case cell.KindOf(r.Err) == cell.Busy:
				busy.Add(1)
			case r.Err == nil:
				done.Add(1)
			default:
				t.Error(r.Err)
			}
		})
	}
	await(t, "many are told at once", func() bool { return busy.Load() > 40 })
	if s := a.remote.Stats(); s.Unsent > unsentBytes+2<<20 {
		t.Errorf("%+v", s)
	}
	if err := b.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	all.Wait()
	if busy.Load()+done.Load() != 100 || done.Load() < 20 {
		t.Errorf("%d are told, %d done", busy.Load(), done.Load())
	}
	if s := a.remote.Stats(); s.Unanswered != 0 || s.Unsent != 0 {
		t.Errorf("something is left: %+v", s)
	}
}

// TestOneWay: a node that cannot be sent answers does not wait for them.
func TestOneWay(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes the 10 s that an answer may wait")
	}
	a, _ := pair(t)
	if err := os.Remove(a.in.addressFile("a")); err != nil {
		t.Fatal(err)
	}
	if r := a.system.Ask(soon(t), post("echo-on-b", "x")); cell.KindOf(r.Err) != cell.UnknownOutcome {
		t.Errorf("%+v", r)
	}
}

// TestDisconnect: of a node that is known to be dead nothing is expected.
func TestDisconnect(t *testing.T) {
	a, b := pair(t)
	waits := asking(t, a, run("echo-on-b", "wait"))
	await(t, "it runs", func() bool { return len(told[[]string](t, a, "echo-on-b", "ran")) == 1 })
	// What b asked for goes on until then.
	if err := b.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.cmd.Process.Signal(syscall.SIGCONT) }()
	a.remote.Disconnect("b")
	if r := <-waits; cell.KindOf(r.Err) != cell.UnknownOutcome {
		t.Errorf("%+v", r)
	}
	await(t, "nothing is left of it", func() bool { return a.remote.Stats() == Stats{} })
}

// TestRevoked: a node whose certificate is not good any more is asked nothing, and answered nothing.
func TestRevoked(t *testing.T) {
	a, _ := pair(t)
	if r := a.system.Ask(soon(t), post("echo-on-b", "x")); r.Err != nil {
		t.Fatal(r.Err)
	}
	waits := asking(t, a, run("echo-on-b", "wait"))
	await(t, "it runs", func() bool { return len(told[[]string](t, a, "echo-on-b", "ran")) == 1 })
	a.in.revoke(t, "b")
	if r := <-waits; cell.KindOf(r.Err) != cell.UnknownOutcome {
		t.Errorf("while it ran: %+v", r)
	}
	if r := a.system.Ask(soon(t), post("echo-on-b", "x")); cell.KindOf(r.Err) != cell.Busy {
		t.Errorf("afterwards: %+v", r)
	}
	await(t, "it has no connection", func() bool { s := a.remote.Stats(); return s.Links == 0 && s.Visitors == 0 })
}
