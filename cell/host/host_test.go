package host_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/host"
	"github.com/pyisolate/pyisolate/cell/host/hosttest"
	"github.com/pyisolate/pyisolate/cell/wire"
	"github.com/pyisolate/pyisolate/cell/wire/wiretest"
)

func TestMain(m *testing.M) {
	switch os.Args[0] {
	case "fake-zygote":
		os.Exit(fakeZygote())
	case "fake-child":
		os.Exit(fakeChild())
	case "fake-fresh":
		os.Exit(fakeFresh())
	case "fake-tracer":
		os.Exit(fakeTracer())
	}
	goleak.VerifyTestMain(m)
}

// node is the other end of a served host: it sends and collects.
type node struct {
	t    testing.TB
	conn wire.Conn
	exec *hosttest.Executor
	seen []*wire.Msg // received and not asked for
	err  chan error
}

const (
	// patient is a grace for guests that are to obey, on a machine that is busy with others.
	patient = 20 * time.Second
	// killGrace and retireGrace are for those that do not.
	killGrace   = 500 * time.Millisecond
	retireGrace = 400 * time.Millisecond
)

func serve(t testing.TB, pool uint32) *node {
	t.Helper()
	return serveWith(t, pool, patient, patient)
}

func serveWith(t testing.TB, pool uint32, kill, retire time.Duration) *node {
	t.Helper()
	ours, theirs := wiretest.Pair(t)
	n := &node{t: t, conn: ours, exec: new(hosttest.Executor), err: make(chan error, 1)}
	go func() {
		n.err <- host.Serve(theirs, host.Options{
			Threads: func(host.Dist) (host.Executor, error) { return n.exec, nil }})
	}()
	t.Cleanup(func() {
		_ = n.conn.Close()
		if err := <-n.err; err != nil {
			t.Logf("the host ended with %v", err)
		}
		if live := n.exec.Live.Load(); live != 0 {
			t.Errorf("%d workers are left", live)
		}
	})
	n.send(0, 0, &wire.Control_Hello{Hello: &wire.Hello{Backend: string(cell.SubInterpreter), Pool: pool,
		KillGraceNs: int64(kill), RetireGraceNs: int64(retire)}}, "")
	n.await("ready", func(m *wire.Msg) bool { return m.GetReady() != nil })
	return n
}

func (n *node) send(id, op uint64, body wire.Body, payload string) {
	n.t.Helper()
	if err := n.conn.Send(wire.New(id, op, body, []byte(payload))); err != nil {
		n.t.Fatal(err)
	}
}

// await returns the first message, seen or to come, that ok accepts.
func (n *node) await(what string, ok func(*wire.Msg) bool) *wire.Msg {
	n.t.Helper()
	for i, m := range n.seen {
		if ok(m) {
			n.seen = append(n.seen[:i], n.seen[i+1:]...)
			return m
		}
	}
	for {
		m, err := n.conn.Recv()
		if err != nil {
			n.t.Fatalf("waiting for %s: %v", what, err)
		}
		if ok(m) {
			return m
		}
		n.seen = append(n.seen, m)
	}
}

func (n *node) claim(id uint64, l cell.Limits) {
	n.t.Helper()
	n.send(id, 1, &wire.Control_Claim{Claim: &wire.Claim{Id: fmt.Sprint("c", id), Limits: wire.FromLimits(l.WithDefaults())}}, "")
	m := n.await("claimed", func(m *wire.Msg) bool { return m.Cell == id && m.Op == 1 })
	if m.GetClaimed() == nil {
		n.t.Fatalf("claim answered with %v", m.Control)
	}
}

func (n *node) runs(id, op uint64, deadline time.Duration, source string) {
	n.t.Helper()
	m := wire.New(id, op, &wire.Control_Exec{Exec: &wire.Exec{File: "f.py"}}, []byte(source))
	m.DeadlineNs = int64(deadline)
	if err := n.conn.Send(m); err != nil {
		n.t.Fatal(err)
	}
}

// outcome is the answer to an operation: nil, or the error.
func (n *node) outcome(id, op uint64) error {
	n.t.Helper()
	m := n.await(fmt.Sprintf("answer to %d", op), func(m *wire.Msg) bool {
		return m.Cell == id && m.Op == op && (m.GetResult() != nil || m.GetFailed() != nil)
	})
	if f := m.GetFailed(); f != nil {
		return wire.ToError(f.Error)
	}
	return nil
}

func (n *node) ended(id uint64) *wire.Ended {
	n.t.Helper()
	return n.await("end", func(m *wire.Msg) bool { return m.Cell == id && m.GetEnded() != nil }).GetEnded()
}

func (n *node) report(id uint64) cell.Report {
	n.t.Helper()
	n.send(id, 9000, &wire.Control_Inspect{Inspect: &wire.Inspect{}}, "")
	return wire.ToReport(n.await("report", func(m *wire.Msg) bool { return m.GetReport() != nil }).GetReport())
}

func TestExecPostsThenAnswers(t *testing.T) {
	n := serve(t, 1)
	n.claim(5, cell.Limits{})
	n.runs(5, 2, 0, "post 1\npost {\"a\":2}\nlog hello")
	for _, want := range []string{"1", `{"a":2}`} {
		m := n.await("post", func(m *wire.Msg) bool { return m.GetPost() != nil })
		if string(m.Payload) != want {
			t.Errorf("post is %s, want %s", m.Payload, want)
		}
	}
	m := n.await("log", func(m *wire.Msg) bool { return m.GetLog() != nil })
	if m.GetLog().Level != "info" || string(m.Payload) != "hello" {
		t.Errorf("log is %v %q", m.GetLog(), m.Payload)
	}
	if err := n.outcome(5, 2); err != nil {
		t.Error(err)
	}
	if r := n.report(5); r.Posts != 2 || r.Logs != 1 || r.State != cell.Running || r.Busy {
		t.Errorf("report %+v", r)
	}
}

func TestExecFailure(t *testing.T) {
	n := serve(t, 0)
	n.claim(1, cell.Limits{})
	n.runs(1, 2, 0, "raise no")
	err := n.outcome(1, 2)
	var e *cell.Error
	if !errors.As(err, &e) || e.Kind != cell.GuestError || e.Type != "ValueError" || e.Message != "no" || e.Traceback != "tb" {
		t.Errorf("got %+v", err)
	}
}

func TestCallCarriesArgumentsAndRaw(t *testing.T) {
	n := serve(t, 1)
	n.claim(1, cell.Limits{})
	n.send(1, 2, &wire.Control_Call{Call: &wire.Call{Target: "echo", ArgsLen: 3}}, `[1]{"k":2}`)
	m := n.await("result", func(m *wire.Msg) bool { return m.Op == 2 })
	if string(m.Payload) != "[1]" || m.GetResult().GetType() != uint32(cell.JSON) {
		t.Errorf("got %v %q", m.Control, m.Payload)
	}
	n.send(1, 3, &wire.Control_Call{Call: &wire.Call{Target: "echo", Raw: true}}, "\x00\xff")
	m = n.await("result", func(m *wire.Msg) bool { return m.Op == 3 })
	if string(m.Payload) != "\x00\xff" || m.GetResult().GetType() != uint32(cell.Bytes) {
		t.Errorf("got %v %q", m.Control, m.Payload)
	}
	n.send(1, 4, &wire.Control_Call{Call: &wire.Call{Target: "echo", ArgsLen: 99}}, "[1]")
	if err := n.outcome(1, 4); !errors.Is(err, cell.Invalid) {
		t.Errorf("lengths beyond the payload: %v", err)
	}
}

func TestInterrupts(t *testing.T) {
	for name, c := range map[string]struct {
		limits   cell.Limits
		deadline time.Duration
		source   string
		cancel   bool
		want     cell.Kind
	}{
		"deadline":       {deadline: 30 * time.Millisecond, source: "spin", want: cell.Timeout},
		"wall limit":     {limits: cell.Limits{Wall: 30 * time.Millisecond}, source: "spin", want: cell.Timeout},
		"cpu in total":   {limits: cell.Limits{CPU: 30 * time.Millisecond}, source: "spin", want: cell.CPUExceeded},
		"cpu per window": {limits: cell.Limits{CPUWindow: time.Hour, CPUPerWindow: 20 * time.Millisecond}, source: "spin", want: cell.CPUExceeded},
		"output":         {limits: cell.Limits{Output: 100}, source: "flood 1000\nspin", want: cell.OutputExceeded},
		"cancelled":      {source: "post 1\nspin", cancel: true, want: cell.Cancelled},
	} {
		t.Run(name, func(t *testing.T) {
			n := serve(t, 1)
			n.claim(1, c.limits)
			n.runs(1, 2, c.deadline, c.source)
			if c.cancel {
				n.await("post", func(m *wire.Msg) bool { return m.GetPost() != nil })
				n.send(1, 2, &wire.Control_Interrupt{Interrupt: &wire.Interrupt{Kind: uint32(cell.Cancelled)}}, "")
			}
			if err := n.outcome(1, 2); !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %s", err, c.want)
			}
			n.runs(1, 3, 0, "")
			err := n.outcome(1, 3)
			spent := c.limits.CPU > 0 || c.limits.CPUWindow > 0 || c.limits.Output > 0
			if spent != errors.Is(err, c.want) {
				t.Errorf("afterwards the cell answers %v", err)
			}
		})
	}
}

func TestNextWindowBeginsAnew(t *testing.T) {
	n := serve(t, 1)
	n.claim(1, cell.Limits{CPUWindow: 60 * time.Millisecond, CPUPerWindow: 20 * time.Millisecond})
	n.runs(1, 2, 0, "spin")
	if err := n.outcome(1, 2); !errors.Is(err, cell.CPUExceeded) {
		t.Fatal(err)
	}
	for op := uint64(3); ; op++ {
		n.runs(1, op, 0, "")
		if err := n.outcome(1, op); err == nil {
			return
		} else if !errors.Is(err, cell.CPUExceeded) {
			t.Fatal(err)
		}
	}
}

// interrupted is an operation that computes, and is interrupted when it does.
func (n *node) interrupted(id, op uint64, source string) {
	n.t.Helper()
	n.runs(id, op, 0, source)
	for n.report(id).CPU == 0 {
	}
	n.send(id, op, &wire.Control_Interrupt{Interrupt: &wire.Interrupt{Kind: uint32(cell.Timeout)}}, "")
}

func TestDeafCellIsKilled(t *testing.T) {
	n := serveWith(t, 1, killGrace, patient)
	n.claim(1, cell.Limits{})
	n.interrupted(1, 2, "deaf")
	n.runs(1, 3, 0, "post 1")
	if err := n.outcome(1, 2); !errors.Is(err, cell.Timeout) {
		t.Errorf("the operation: %v", err)
	}
	if err := n.outcome(1, 3); !errors.Is(err, cell.CellGone) {
		t.Errorf("the next: %v", err)
	}
	if e := n.ended(1); e.State != string(cell.Killed) || !strings.Contains(e.Reason, "did not stop") {
		t.Errorf("ended %v", e)
	}
}

// retiring is a host with a cell 1 that is wedged, and a cell 2.
func retiring(t *testing.T, retire time.Duration) *node {
	t.Helper()
	n := serveWith(t, 1, killGrace, retire)
	n.claim(1, cell.Limits{})
	n.claim(2, cell.Limits{})
	n.interrupted(1, 2, "wedge")
	n.await("retiring", func(m *wire.Msg) bool { return m.GetRetiring() != nil })
	n.ended(1)
	return n
}

func (n *node) retired() {
	n.t.Helper()
	if err := <-n.err; err == nil || !strings.Contains(err.Error(), "retired") {
		n.t.Errorf("Serve returned %v", err)
	}
	n.err <- nil // for the clean-up
}

func TestWedgedCellRetiresTheHost(t *testing.T) {
	n := retiring(t, patient)
	n.runs(2, 2, 0, "post 7")
	if err := n.outcome(2, 2); err != nil {
		t.Errorf("the other cell: %v", err)
	}
	n.send(3, 1, &wire.Control_Claim{Claim: &wire.Claim{}}, "")
	if err := n.outcome(3, 1); !errors.Is(err, cell.Busy) {
		t.Errorf("a claim of a retiring host: %v", err)
	}
	n.send(2, 0, &wire.Control_Close{Close: &wire.Close{}}, "")
	if e := n.ended(2); e.State != string(cell.Closed) {
		t.Errorf("the other cell: %v", e)
	}
	n.retired() // nobody is waited for any more
}

func TestRetiringHostEndsAfterItsGrace(t *testing.T) {
	n := retiring(t, retireGrace)
	if e := n.ended(2); e.State != string(cell.Killed) {
		t.Errorf("the other cell: %v", e)
	}
	n.retired()
}

func TestHowCellsEnd(t *testing.T) {
	for name, c := range map[string]struct {
		source string
		body   wire.Body
		state  cell.State
		reason string
	}{
		"crash":     {source: "post 1\nexit killed by signal 11 (SIGSEGV)", state: cell.Crashed, reason: "SIGSEGV"},
		"violation": {source: "post 1\nlie\nspin", state: cell.Crashed, reason: "protocol"},
		"killed":    {source: "post 1\nspin", body: &wire.Control_Kill{Kill: &wire.Kill{Reason: "enough"}}, state: cell.Killed, reason: "enough"},
		"closed":    {source: "post 1\nspin", body: &wire.Control_Close{Close: &wire.Close{}}, state: cell.Closed},
	} {
		t.Run(name, func(t *testing.T) {
			n := serve(t, 1)
			n.claim(1, cell.Limits{})
			n.runs(1, 2, 0, c.source)
			n.await("post", func(m *wire.Msg) bool { return m.GetPost() != nil })
			if c.body != nil {
				n.send(1, 0, c.body, "")
			}
			if err := n.outcome(1, 2); !errors.Is(err, cell.CellGone) {
				t.Errorf("the operation: %v", err)
			}
			e := n.ended(1)
			if e.State != string(c.state) || !strings.Contains(e.Reason, c.reason) {
				t.Errorf("ended %v", e)
			}
			n.runs(1, 3, 0, "")
			if err := n.outcome(1, 3); !errors.Is(err, cell.CellGone) {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

func TestQuarantine(t *testing.T) {
	n := serve(t, 1)
	n.claim(1, cell.Limits{})
	n.runs(1, 2, 0, "post 1\nspin")
	n.await("post", func(m *wire.Msg) bool { return m.GetPost() != nil })
	n.runs(1, 3, 0, "")
	n.send(1, 0, &wire.Control_Quarantine{Quarantine: &wire.Quarantine{Reason: "odd"}}, "")
	for op := uint64(2); op < 4; op++ {
		if err := n.outcome(1, op); !errors.Is(err, cell.CellGone) || !strings.Contains(err.Error(), "quarantined: odd") {
			t.Errorf("operation %d: %v", op, err)
		}
	}
	if r := n.report(1); r.State != cell.Quarantined || r.Reason != "odd" {
		t.Errorf("report %+v", r)
	}
}

func TestBackpressureIsTheCellsOwn(t *testing.T) {
	n := serve(t, 2)
	n.claim(1, cell.Limits{QueueItems: 4})
	n.claim(2, cell.Limits{})
	n.runs(1, 2, 0, "flood 20000")
	for range 4 {
		n.await("post", func(m *wire.Msg) bool { return m.Cell == 1 && m.GetPost() != nil })
	}
	n.runs(2, 2, 0, "post 1")
	if err := n.outcome(2, 2); err != nil {
		t.Fatal(err)
	}
	if r := n.report(1); r.Posts != 4 || !r.Busy {
		t.Errorf("without credit the cell posted on: %+v", r)
	}
	for range 2500 {
		n.send(1, 0, &wire.Control_Credit{Credit: &wire.Credit{Items: 4, Bytes: 1000}}, "")
		for range 4 {
			n.await("post", func(m *wire.Msg) bool { return m.Cell == 1 && m.GetPost() != nil })
		}
	}
	n.send(1, 2, &wire.Control_Interrupt{Interrupt: &wire.Interrupt{Kind: uint32(cell.Timeout)}}, "")
	if err := n.outcome(1, 2); !errors.Is(err, cell.Timeout) {
		t.Errorf("a guest blocked in post, interrupted: %v", err)
	}
	n.runs(1, 3, 0, "")
	if err := n.outcome(1, 3); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestInbox(t *testing.T) {
	n := serve(t, 1)
	n.claim(1, cell.Limits{QueueItems: 2})
	value := func(op uint64, v string) error {
		n.send(1, op, &wire.Control_Send{Send: &wire.Send{}}, v)
		return n.outcome(1, op)
	}
	if err := errors.Join(value(10, "1"), value(11, "2")); err != nil {
		t.Fatal(err)
	}
	if err := value(12, "3"); !errors.Is(err, cell.Busy) {
		t.Errorf("into a full inbox: %v", err)
	}
	n.runs(1, 2, 0, "recv 0\nrecv -1\nrecv 0\nrecv 0.01\npost 9\nrecv -1")
	for _, want := range []string{"1", "2", "null", "null", "9"} {
		if m := n.await("post", func(m *wire.Msg) bool { return m.GetPost() != nil }); string(m.Payload) != want {
			t.Errorf("received %s, want %s", m.Payload, want)
		}
		n.send(1, 0, &wire.Control_Credit{Credit: &wire.Credit{Items: 1, Bytes: 100}}, "")
	}
	if err := value(13, "4"); err != nil {
		t.Fatal(err)
	}
	if m := n.await("post", func(m *wire.Msg) bool { return m.GetPost() != nil }); string(m.Payload) != "4" {
		t.Errorf("a waiting guest received %s", m.Payload)
	}
}

func TestRequestIsAnswered(t *testing.T) {
	n := serve(t, 1)
	n.claim(1, cell.Limits{})
	n.runs(1, 2, 0, "request fs read\nrequest net open")
	m := n.await("request", func(m *wire.Msg) bool { return m.GetRequest() != nil })
	if r := m.GetRequest(); r.Capability != "fs" || r.Action != "read" || r.During != 2 || string(m.Payload) != "null" {
		t.Errorf("request %v %q", r, m.Payload)
	}
	n.send(1, m.Op, &wire.Control_Answer{Answer: &wire.Answer{}}, `"data"`)
	if p := n.await("post", func(m *wire.Msg) bool { return m.GetPost() != nil }); string(p.Payload) != `"data"` {
		t.Errorf("answer %s", p.Payload)
	}
	m = n.await("request", func(m *wire.Msg) bool { return m.GetRequest() != nil })
	n.send(1, m.Op, &wire.Control_Answer{Answer: &wire.Answer{Error: wire.FromError(cell.PolicyDenied)}}, "")
	if err := n.outcome(1, 2); !errors.Is(err, cell.PolicyDenied) {
		t.Errorf("a denied request: %v", err)
	}
}

func TestPoolRefillsAndSurvivesFailedStarts(t *testing.T) {
	n := serve(t, 2)
	full := func(m *wire.Msg) bool { return m.GetPoolState().GetReady() == 2 }
	n.await("full pool", full)
	n.exec.FailStarts.Store(1)
	n.claim(1, cell.Limits{})
	n.await("failed start", func(m *wire.Msg) bool { return m.GetPoolState().GetError() != "" })
	n.await("full pool", full)
	n.runs(1, 2, 0, "")
	if err := n.outcome(1, 2); err != nil {
		t.Error(err)
	}
}

func TestTooManyOperationsAreBusy(t *testing.T) {
	n := serve(t, 1)
	n.claim(1, cell.Limits{})
	n.runs(1, 2, 0, "post 1\nspin")
	n.await("post", func(m *wire.Msg) bool { return m.GetPost() != nil })
	for op := uint64(3); op < 300; op++ {
		n.runs(1, op, 0, "")
	}
	if err := n.outcome(1, 299); !errors.Is(err, cell.Busy) {
		t.Errorf("operation after hundreds: %v", err)
	}
}

func TestManyCellsAtOnce(t *testing.T) {
	n := serve(t, 4)
	const cells, each = 8, 50
	go func() {
		var wg sync.WaitGroup
		for c := range uint64(cells) {
			wg.Go(func() {
				for i := range uint64(each) {
					id := 1 + c*each + i
					n.send(id, 1, &wire.Control_Claim{Claim: &wire.Claim{}}, "")
				}
			})
		}
		wg.Wait()
	}()
	// Beside the reading: a node that waits for room while nobody reads may wait for ever.
	var replies sync.WaitGroup
	defer replies.Wait()
	for range cells * each {
		m := n.await("claimed", func(m *wire.Msg) bool { return m.GetClaimed() != nil })
		replies.Go(func() {
			exec := wire.New(m.Cell, 2, &wire.Control_Exec{Exec: &wire.Exec{File: "f.py"}}, []byte("post 1"))
			end := wire.New(m.Cell, 0, &wire.Control_Close{Close: &wire.Close{}}, nil)
			if err := errors.Join(n.conn.Send(exec), n.conn.Send(end)); err != nil {
				t.Error(err)
			}
		})
	}
	for range cells * each {
		n.await("end", func(m *wire.Msg) bool { return m.GetEnded().GetState() == string(cell.Closed) })
	}
}
