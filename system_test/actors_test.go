package systemtest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/broker/capability/builtin"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/effect"
	"github.com/pyisolate/pyisolate/cell/launch"
)

// cast is actors of real cells, which may send to each other.
type cast struct {
	*actors.System
	broker   *capability.Broker
	launcher *launch.Launcher
	events   chan actors.Event

	mu   sync.Mutex
	last cell.Cell // that was started
}

func (c *cast) awaitEpoch(t *testing.T, n uint64) {
	t.Helper()
	for ctx := soon(t); ; {
		select {
		case e := <-c.events:
			if e.Kind == actors.Started && e.Epoch == n {
				return
			}
		case <-ctx.Done():
			t.Fatalf("incarnation %d is not started", n)
		}
	}
}

func newCast(t *testing.T) *cast {
	t.Helper()
	c := &cast{launcher: newLauncher(t, launch.Config{}), broker: capability.New(capability.Config{}), events: make(chan actors.Event, 1000)}
	c.System = actors.New(actors.Options{Events: func(e actors.Event) { c.events <- e }})
	if err := builtin.Register(c.broker, builtin.Config{Sender: c.Sender()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(soon(t)); err != nil {
			t.Error(err)
		}
		if err := c.broker.Close(soon(t)); err != nil {
			t.Error(err)
		}
	})
	return c
}

// plays adds a cell that is restarted, runs a program at each start, and has grants.
func (c *cast) plays(t *testing.T, name string, b cell.Backend, program string, grants ...string) actors.Address {
	t.Helper()
	at := actors.Address{Tenant: "acme", Name: name}
	parsed, err := capability.ParseGrants(grants)
	if err != nil {
		t.Fatal(err)
	}
	start := func(ctx context.Context, _ uint64) (cell.Cell, error) {
		session, err := c.broker.Open(capability.Identity{Tenant: at.Tenant, Cell: at.Name}, capability.Policy{Grants: parsed})
		if err != nil {
			return nil, err
		}
		guest, err := c.launcher.Spawn(ctx, cell.Spec{Tenant: at.Tenant, Name: at.Name, Backend: b, Imports: []string{"os"},
			Sink: &recorder{answer: func(q cell.Request) (cell.Value, error) { return effect.Serve(context.Background(), session, q) }}})
		if err != nil {
			session.Close()
			return nil, err
		}
		c.mu.Lock()
		c.last = guest
		c.mu.Unlock()
		go func() {
			<-guest.Done()
			session.Close()
		}()
		return guest, guest.Exec(ctx, source("%s", program))
	}
	if err := c.Spawn(soon(t), at, actors.Plan{Start: start, Restart: actors.Restart{When: actors.OnFailure, First: time.Millisecond}}); err != nil {
		t.Fatal(err)
	}
	return at
}

func (c *cast) tell(t *testing.T, a actors.Address, program string) {
	t.Helper()
	if r := c.Ask(soon(t), actors.Envelope{To: a, Body: actors.Exec{Source: source("%s", program)}}); r.Err != nil {
		t.Fatalf("%s: %v", a, r.Err)
	}
}

func (c *cast) hears(t *testing.T, a actors.Address) string {
	t.Helper()
	r := c.Ask(soon(t), actors.Envelope{To: a, Body: actors.Recv{}})
	if r.Err != nil || len(r.Items) != 1 || r.Items[0].Err != nil {
		t.Fatalf("%s: %v %v", a, r.Err, r.Items)
	}
	return string(r.Items[0].Value.Data)
}

// TestGuestsTalk: guests on both backends send to each other by name, in order, and publish.
func TestGuestsTalk(t *testing.T) {
	c := newCast(t)
	ping := c.plays(t, "ping", cell.SubInterpreter, "", `send={"names":["pong"],"topics":["news"]}`)
	pong := c.plays(t, "pong", cell.Process, `request("send", "subscribe", {"topic": "news"})`, `send={"names":["ping"],"hear":["news"]}`)
	c.tell(t, ping, `for i in range(100): request("send", "send", {"to": "pong", "value": {"n": i}})`)
	c.tell(t, pong, `
for i in range(100):
    request("send", "send", {"to": "ping", "value": recv()["n"] * 2})
`)
	c.tell(t, ping, `post([recv() for i in range(100)])`)
	var want []string
	for i := range 100 {
		want = append(want, fmt.Sprint(2*i))
	}
	if got := strings.ReplaceAll(c.hears(t, ping), " ", ""); got != "["+strings.Join(want, ",")+"]" {
		t.Error(got)
	}
	c.tell(t, ping, `post(request("send", "publish", {"topic": "news", "value": "extra"}))`)
	if got := strings.ReplaceAll(c.hears(t, ping), " ", ""); got != `{"delivered":1,"refused":0}` {
		t.Error(got)
	}
	c.tell(t, pong, `post(recv())`)
	if got := c.hears(t, pong); got != `"extra"` {
		t.Error(got)
	}
	r := c.Ask(soon(t), actors.Envelope{To: ping, Body: actors.Exec{Source: source(`request("send", "send", {"to": "nobody", "value": 1})`)}})
	if cell.KindOf(r.Err) != cell.PolicyDenied {
		t.Errorf("who is not granted: %v", r.Err)
	}
}

// TestActorAfterACrash: a cell whose process crashes is there again, and what it was sent
// before is not sent again.
func TestActorAfterACrash(t *testing.T) {
	c := newCast(t)
	at := c.plays(t, "worker", cell.Process, `started = True`)
	c.tell(t, at, `post(started)`)
	c.hears(t, at)
	c.mu.Lock()
	guest := c.last
	c.mu.Unlock()
	running := make(chan actors.Reply, 1)
	go func() {
		running <- c.Ask(soon(t), actors.Envelope{To: at, Body: actors.Exec{Source: source("while True: pass")}})
	}()
	segfaultRunningCell(t, waitBusy(t, guest))
	r := <-running
	if cell.KindOf(r.Err) != cell.CellGone {
		t.Errorf("%v", r.Err)
	}
	c.awaitEpoch(t, 2)
	r = c.Ask(soon(t), actors.Envelope{To: at, Epoch: 1, Body: actors.Exec{Source: source("post(1)")}})
	if cell.KindOf(r.Err) != cell.CellGone {
		t.Errorf("what was for the first: %v", r.Err)
	}
	c.tell(t, at, `post(started)`)
	if got := c.hears(t, at); got != "true" {
		t.Error(got)
	}
}
