package remote

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/internal/await"
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
	await.That(t, "it runs", func() bool { return len(told[[]string](t, a, "echo-on-b", "ran")) == 1 })
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
	if d := time.Since(begun); d > 15*time.Second { // soon is later
		t.Errorf("it took %s", d)
	}
	there(t, a.in, "b")
	await.That(t, "it is there again", func() bool { return a.system.Ask(soon(t), post("echo-on-b", "again")).Err == nil })
	if got := told[[]string](t, a, "echo-on-b", "inbox"); !slices.Equal(got, []string{"again"}) {
		t.Error(got)
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
	if d := time.Since(begun); d > dialTime-time.Second {
		t.Errorf("it took %s", d)
	}
	if r := a.system.Ask(soon(t), post("echo-on-b", "x")); cell.KindOf(r.Err) != cell.Busy {
		t.Errorf("%+v", r)
	}
	if d := time.Since(begun); d > dialTime+3*time.Second {
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
	if d := time.Since(begun); d > dialTime+3*time.Second {
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
	thaw := b.freeze(t)
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
	await.That(t, "many are told at once", func() bool { return busy.Load() > 40 })
	if s := a.remote.Stats(); s.Unsent > unsentBytes+2<<20 {
		t.Errorf("%+v", s)
	}
	thaw()
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
	begun := time.Now()
	if r := a.system.Ask(soon(t), post("echo-on-b", "x")); cell.KindOf(r.Err) != cell.UnknownOutcome {
		t.Errorf("%+v", r)
	}
	if d := time.Since(begun); d > replyTime+8*time.Second { // soon is later
		t.Errorf("it took %s", d)
	}
}

// TestDeadlineAlone: what nobody waits for any more ends at its deadline.
func TestDeadlineAlone(t *testing.T) {
	a, _ := pair(t)
	if r := a.system.Ask(soon(t), invoke("teller-on-b", "echo", nil)); r.Err != nil { // the way is open
		t.Fatal(r.Err)
	}
	env := run("echo-on-b", "wait")
	env.Deadline = time.Now().Add(3 * time.Second) // by then it runs, also on a busy machine
	waits := asking(t, a, env)
	await.That(t, "it runs", func() bool { return len(told[[]string](t, a, "echo-on-b", "ran")) == 1 })
	a.link(t, "b").cut(errTest)
	<-waits
	await.That(t, "the node is there again", func() bool { return a.system.Ask(soon(t), invoke("teller-on-b", "echo", nil)).Err == nil })
	// Its own question is the one that is left.
	await.That(t, "it ends", func() bool { return told[Stats](t, a, "echo-on-b", "stats").Answering == 1 })
	if r := a.system.Ask(soon(t), run("echo-on-b", "pass")); r.Err != nil {
		t.Error(r.Err)
	}
}

// TestFrozen: a node that is there and does nothing is found out, without anybody else's word.
func TestFrozen(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes the 15 s that silence may last")
	}
	a, b := pair(t)
	if r := a.system.Ask(soon(t), post("echo-on-b", "x")); r.Err != nil {
		t.Fatal(r.Err)
	}
	b.freeze(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	begun := time.Now()
	if r := a.system.Ask(ctx, post("echo-on-b", "y")); cell.KindOf(r.Err) != cell.UnknownOutcome {
		t.Errorf("%+v", r)
	}
	if d := time.Since(begun); d > aliveAfter+aliveWithin+20*time.Second {
		t.Errorf("it took %s", d)
	}
}

// TestDisconnect: of a node that is known to be dead nothing is expected.
func TestDisconnect(t *testing.T) {
	a, b := pair(t)
	waits := asking(t, a, run("echo-on-b", "wait"))
	await.That(t, "it runs", func() bool { return len(told[[]string](t, a, "echo-on-b", "ran")) == 1 })
	b.freeze(t)
	a.remote.Disconnect("b")
	if r := <-waits; cell.KindOf(r.Err) != cell.UnknownOutcome {
		t.Errorf("%+v", r)
	}
	await.That(t, "nothing is left of it", func() bool { return a.remote.Stats() == Stats{} })
}

// TestRevoked: a node whose certificate is not good any more is asked nothing, and answered nothing.
func TestRevoked(t *testing.T) {
	a, _ := pair(t)
	if r := a.system.Ask(soon(t), post("echo-on-b", "x")); r.Err != nil {
		t.Fatal(r.Err)
	}
	waits := asking(t, a, run("echo-on-b", "wait"))
	await.That(t, "it runs", func() bool { return len(told[[]string](t, a, "echo-on-b", "ran")) == 1 })
	a.in.revoke(t, "b")
	if r := <-waits; cell.KindOf(r.Err) != cell.UnknownOutcome {
		t.Errorf("while it ran: %+v", r)
	}
	if r := a.system.Ask(soon(t), post("echo-on-b", "x")); cell.KindOf(r.Err) != cell.Busy {
		t.Errorf("afterwards: %+v", r)
	}
	await.That(t, "it has no connection", func() bool { s := a.remote.Stats(); return s.Links == 0 && s.Visitors == 0 })
}

// TestAskerRestarts: what a node asked for ends when it begins another life.
func TestAskerRestarts(t *testing.T) {
	a, b := pair(t)
	ctx, cancel := context.WithCancel(context.Background()) // no deadline ends it
	defer cancel()
	go a.system.Ask(ctx, invoke("echo-on-b", "run echo-on-a", []byte("wait")))
	await.That(t, "it runs", func() bool { return len(told[[]string](t, a, "echo-on-a", "ran")) == 1 })
	b.kill()
	there(t, a.in, "b")
	await.That(t, "it has said so", func() bool {
		return a.system.Ask(soon(t), invoke("teller-on-b", "send other-on-a", nil)).Err == nil
	})
	await.That(t, "it ends", func() bool { return a.remote.Stats().Answering == 0 })
}
