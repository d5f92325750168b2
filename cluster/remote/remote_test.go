package remote

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/internal/await"
)

func at(name string) actors.Address { return actors.Address{Tenant: "acme", Name: name} }

func invoke(to, target string, raw []byte) actors.Envelope {
	return actors.Envelope{To: at(to), Body: actors.Call{Invocation: cell.Invocation{Target: target, Raw: raw}}}
}

func run(to, code string) actors.Envelope {
	return actors.Envelope{To: at(to), Body: actors.Exec{Source: cell.Source{Code: []byte(code)}}}
}

func post(to, text string) actors.Envelope {
	return actors.Envelope{To: at(to), Body: actors.Post{Value: cell.BytesValue([]byte(text))}}
}

// told is what a node tells about a cell of it, by another cell, so that nothing waits.
func told[T any](tb testing.TB, n *node, of, what string) (v T) {
	tb.Helper()
	_, on, _ := strings.Cut(of, "-on-")
	r := n.system.Ask(soon(tb), invoke("teller-on-"+on, what+" "+of, nil))
	if r.Err != nil {
		tb.Fatal(r.Err)
	}
	if err := r.Value.Decode(&v); err != nil {
		tb.Fatal(err)
	}
	return v
}

// TestAsk: what can be asked of a cell can be asked from another node, and is answered as there.
func TestAsk(t *testing.T) {
	a, _ := pair(t)
	for _, text := range []string{"one", "error", "two"} {
		if r := a.system.Ask(soon(t), post("echo-on-b", text)); r.Err != nil || r.Epoch != 1 {
			t.Fatalf("%+v", r)
		}
	}
	body := func(b actors.Body) actors.Envelope { return actors.Envelope{To: at("echo-on-b"), Body: b} }
	failure := &cell.Error{Kind: cell.GuestError, Message: "no \xff luck", Type: "ValueError", Traceback: "line 1", Denial: &cell.Denial{Cell: "x", Action: "open"}}
	for name, c := range map[string]struct {
		env  actors.Envelope
		want actors.Reply
	}{
		"exec":          {run("echo-on-b", "pass"), actors.Reply{Epoch: 1}},
		"error":         {run("echo-on-b", "fail"), actors.Reply{Epoch: 1, Err: failure}},
		"call":          {invoke("echo-on-b", "echo", []byte("\x00\xff")), actors.Reply{Epoch: 1, Value: cell.BytesValue([]byte("\x00\xff"))}},
		"call nothing":  {invoke("echo-on-b", "echo", []byte{}), actors.Reply{Epoch: 1, Value: cell.BytesValue(nil)}},
		"call JSON":     {body(actors.Call{Invocation: cell.Invocation{Target: "f", Args: json.RawMessage(`[1]`), Kwargs: json.RawMessage(`{}`)}}), actors.Reply{Epoch: 1, Value: cell.Value{Data: []byte(`{"args":[1],"kwargs":{}}`)}}},
		"inspect":       {body(actors.Inspect{}), actors.Reply{Epoch: 1, Report: cell.Report{ID: "quick", State: "idle", CPU: time.Second, Kernel: &cell.KernelUsage{Opens: 3}}}},
		"reload":        {body(actors.Reload{Revision: cell.Revision{Imports: []string{"x", "y"}}}), actors.Reply{Epoch: 1, Reloaded: cell.Reloaded{Layers: []cell.ReloadedLayer{{Name: "x,y", Live: true}}}}},
		"quarantine":    {body(actors.Quarantine{Reason: "that"}), actors.Reply{Epoch: 1, Err: cell.Errorf(cell.Invalid, "not for that")}},
		"no such cell":  {post("nobody-on-b", "x"), actors.Reply{Err: cell.Errorf(cell.CellGone, "there is no cell acme/nobody-on-b")}},
		"another epoch": {actors.Envelope{To: at("echo-on-b"), Epoch: 7, Body: actors.Exec{}}, actors.Reply{Epoch: 1, Err: cell.Errorf(cell.CellGone, "it was for incarnation 7 of cell acme/echo-on-b, which is at 1")}},
		"not UTF-8":     {actors.Envelope{To: at("echo-on-b"), Trace: "\xff", Body: actors.Exec{}}, actors.Reply{Err: cell.Errorf(cell.Invalid, "the trace is not UTF-8")}},
	} {
		t.Run(name, func(t *testing.T) {
			got := a.system.Ask(soon(t), c.env)
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("%+v, %+v", got, got.Err)
			}
		})
	}
	t.Run("recv", func(t *testing.T) {
		got := a.system.Ask(soon(t), body(actors.Recv{Max: 5, AtOnce: true}))
		want := []cell.Item{{Value: cell.BytesValue([]byte("one"))}, {Err: cell.Errorf(cell.MemoryExceeded, "too much")}, {Value: cell.BytesValue([]byte("two"))}}
		if got.Err != nil || !reflect.DeepEqual(got.Items, want) {
			t.Errorf("%+v", got)
		}
	})
	t.Run("close", func(t *testing.T) {
		if r := a.system.Ask(soon(t), body(actors.Close{})); r.Err != nil {
			t.Error(r.Err)
		}
		if r := a.system.Ask(soon(t), body(actors.Inspect{})); cell.KindOf(r.Err) != cell.CellGone {
			t.Errorf("closed: %+v", r)
		}
	})
}

// TestBothWays: guests of two nodes send each other messages.
func TestBothWays(t *testing.T) {
	a, _ := pair(t)
	if r := a.system.Ask(soon(t), invoke("echo-on-b", "send echo-on-a", []byte("from b"))); r.Err != nil {
		t.Fatal(r.Err)
	}
	if got := told[[]string](t, a, "echo-on-a", "inbox"); !slices.Equal(got, []string{"from b"}) {
		t.Error(got)
	}
	// What b is asked for a cell that it believes elsewhere it does not pass on.
	if r := a.remote.Ask(soon(t), "b", post("echo-on-a", "around")); cell.KindOf(r.Err) != cell.CellGone {
		t.Errorf("passed on: %+v", r)
	}
}

// TestOrder: what each of many senders sends arrives in its order, whatever its size.
func TestOrder(t *testing.T) {
	a, _ := pair(t)
	var all sync.WaitGroup
	for sender := range 8 {
		all.Go(func() {
			for i := range 100 {
				text := fmt.Sprintf("%d %03d%s", sender, i, strings.Repeat(" ", i%7*10))
				if r := a.system.Ask(soon(t), post("echo-on-b", text)); r.Err != nil {
					t.Error(r.Err)
					return
				}
			}
		})
	}
	all.Wait()
	of := map[byte][]string{}
	for _, text := range told[[]string](t, a, "echo-on-b", "inbox") {
		of[text[0]] = append(of[text[0]], strings.TrimSpace(text))
	}
	for sender, texts := range of {
		if len(texts) != 100 || !slices.IsSorted(texts) {
			t.Errorf("%c: %v", sender, texts)
		}
	}
	if len(of) != 8 {
		t.Errorf("%d senders", len(of))
	}
}

// large is how long 64 MiB have, there and back, under the race detector on a busy machine.
const large = 3 * time.Minute

// TestLarge: more than a batch, and more than a window, goes through.
func TestLarge(t *testing.T) {
	a, _ := pair(t)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			raw := make([]byte, 3<<20)
			raw[0], raw[len(raw)-1] = byte(i), byte(i)
			r := a.system.Ask(within(t, large), invoke("echo-on-b", "echo", raw))
			if r.Err != nil || !slices.Equal(r.Value.Data, raw) {
				t.Errorf("%d bytes, %v", len(r.Value.Data), r.Err)
			}
		})
	}
	all.Wait()
	raw := make([]byte, cell.MaxMessageBytes)
	if r := a.remote.Ask(within(t, large), "b", invoke("other-on-b", "echo", raw)); r.Err != nil || len(r.Value.Data) != len(raw) {
		t.Errorf("the largest: %d bytes, %v", len(r.Value.Data), r.Err)
	}
	await.That(t, "all is sent", func() bool { return a.remote.Stats().Unsent == 0 })
}

// TestInterrupt: a deadline holds there, and who goes away here interrupts there.
func TestInterrupt(t *testing.T) {
	a, _ := pair(t)
	if r := a.system.Ask(soon(t), invoke("teller-on-b", "echo", nil)); r.Err != nil { // the way is open
		t.Fatal(r.Err)
	}
	late := run("echo-on-b", "wait")
	late.Deadline = time.Now().Add(2 * time.Second) // a busy machine takes a while to get there
	begun := time.Now()
	if r := a.system.Ask(soon(t), late); cell.KindOf(r.Err) != cell.Timeout || r.Epoch != 1 {
		t.Errorf("deadline: %+v", r)
	}
	ctx, cancel := context.WithCancel(soon(t))
	cancelled := make(chan actors.Reply, 1)
	go func() { cancelled <- a.system.Ask(ctx, run("echo-on-b", "wait")) }()
	await.That(t, "it runs", func() bool { return len(told[[]string](t, a, "echo-on-b", "ran")) == 2 })
	cancel()
	if r := <-cancelled; cell.KindOf(r.Err) != cell.Timeout || r.Epoch != 1 {
		t.Errorf("cancelled: %+v", r)
	}
	if d := time.Since(begun); d > 15*time.Second { // soon is later
		t.Errorf("it took %s", d)
	}
	late.Deadline = time.Now().Add(-time.Second)
	if r := a.system.Ask(soon(t), late); cell.KindOf(r.Err) != cell.Timeout || r.Epoch != 0 {
		t.Errorf("past: %+v", r)
	}
	if got := told[[]string](t, a, "echo-on-b", "ran"); len(got) != 2 {
		t.Errorf("ran %v", got)
	}
}
