package launch

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/wire"
	"github.com/pyisolate/pyisolate/kernel/enforce"
)

// void is a connection that takes everything and says nothing.
type void struct{ wire.Conn }

func (void) Send(*wire.Msg) error                        { return nil }
func (void) SendWithin(context.Context, *wire.Msg) error { return nil }

// notes is a sink that keeps denials and holds requests until they are released.
type notes struct {
	released chan struct{}
	once     sync.Once
	value    cell.Value
	mu       sync.Mutex
	denials  []cell.Denial
}

func (*notes) Log(cell.LogRecord) {}
func (*notes) Metric(cell.Sample) {}
func (n *notes) Denied(d cell.Denial) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.denials = append(n.denials, d)
}
func (n *notes) Request(context.Context, cell.Request) (cell.Value, error) {
	<-n.released
	return n.value, nil
}

func (n *notes) release() { n.once.Do(func() { close(n.released) }) }

// impostor is a host that says what the test wants, with one cell.
func impostor(t testing.TB) (h *hostproc, c *handle, heard *notes) {
	t.Helper()
	l, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	heard = &notes{released: make(chan struct{}), value: cell.Null()}
	if c, err = l.reserve(cell.Spec{Tenant: "t", Limits: cell.Limits{}.WithDefaults(), Sink: heard}); err != nil {
		t.Fatal(err)
	}
	process := &process{cmd: exec.Command("sleep", "600"), stderr: new(lastWords)}
	process.conn = void{}
	if err := process.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		heard.release()
		_ = process.cmd.Process.Kill()
		_ = process.cmd.Wait()
		l.starter.close()
	})
	h = &hostproc{proc: process, alive: l.alive, changed: func(*hostproc) {}, turns: newTurns(void{}), cells: map[uint64]*handle{c.wireID: c}}
	c.host = h
	return h, c, heard
}

func request(id, op uint64, payload []byte) *wire.Msg {
	return wire.New(id, op, &wire.Control_Request{Request: &wire.Request{Capability: "clock", Action: "now"}}, payload)
}

// A host that speaks for a cell of another host is cut off; what it says of a cell
// that is gone is only late.
func TestHostSpeaksForItsOwnCellsOnly(t *testing.T) {
	h, c, _ := impostor(t)
	elsewhere, err := c.launcher.reserve(cell.Spec{Tenant: "other"})
	if err != nil {
		t.Fatal(err)
	}
	h.take(request(elsewhere.wireID+1000, 1, nil))
	if h.verdict != "" {
		t.Fatalf("a message for a cell that is gone: %s", h.verdict)
	}
	h.take(request(elsewhere.wireID, 1, nil))
	if err := h.proc.cmd.Wait(); err == nil {
		t.Error("the host ended by itself")
	}
	if !strings.Contains(h.epitaph(nil), "a cell that it does not have") {
		t.Errorf("the reason is %q", h.epitaph(nil))
	}
}

// What a host may send is bounded by what the node has given it credit for, not by
// what it claims. One that sends more is cut off, and the node has not kept it.
func TestHostFloods(t *testing.T) {
	post := func(id uint64, n int) *wire.Msg {
		return wire.New(id, 0, &wire.Control_Post{Post: &wire.Post{}}, make([]byte, n))
	}
	for name, f := range map[string]struct {
		message func(id, n uint64) *wire.Msg
		honest  int // so many are in order
		verdict string
	}{
		"small posts": {func(id, _ uint64) *wire.Msg { return post(id, 0) },
			(wire.PostBytes + wire.Overdraft(cell.Limits{}.WithDefaults())) / wire.PostCost, "more posts"},
		"large posts": {func(id, _ uint64) *wire.Msg { return post(id, 1<<20-wire.PostCost) }, 9, "more posts"},
		"requests":    {func(id, n uint64) *wire.Msg { return request(id, n, nil) }, 2 * wire.MaxRequests, "more requests"},
		"large logs": {func(id, n uint64) *wire.Msg {
			return wire.New(id, 0, &wire.Control_Log{Log: &wire.Log{}}, make([]byte, 2<<20+min(n, 1)))
		}, 1, "a record that is larger"},
		"large requests": {func(id, n uint64) *wire.Msg { return request(id, n, make([]byte, 1<<20)) }, 32,
			"more requests"},
	} {
		t.Run(name, func(t *testing.T) {
			h, c, _ := impostor(t)
			for n := range f.honest {
				h.take(f.message(c.wireID, uint64(n)))
			}
			if h.verdict != "" {
				t.Fatalf("an honest host is cut off: %s", h.verdict)
			}
			for n := 0; n < 1000 && h.verdict == ""; n++ {
				h.take(f.message(c.wireID, uint64(f.honest+n)))
			}
			if !strings.Contains(h.verdict, f.verdict) {
				t.Errorf("the verdict is %q", h.verdict)
			}
			if kept := len(c.outbox.items); kept > f.honest {
				t.Errorf("%d posts are kept, %d had credit", kept, f.honest)
			}
		})
	}
}

// stalled is a connection whose far end does not read until the test does.
type stalled struct {
	void
	waiting atomic.Int32
	sent    chan *wire.Msg
}

func (s *stalled) Send(m *wire.Msg) error {
	s.waiting.Add(1)
	s.sent <- m
	return nil
}

// A host that asks and does not take the answers has the node hold so many bytes of
// them, and no more.
func TestHostTakesNoAnswers(t *testing.T) {
	h, c, heard := impostor(t)
	far := &stalled{sent: make(chan *wire.Msg)}
	h.proc.conn = far
	heard.value = cell.BytesValue(make([]byte, 1<<20))
	const asked, most = 100, 32
	for n := range uint64(asked) {
		h.take(request(c.wireID, n, nil))
	}
	heard.release()
	for far.waiting.Load() < asked {
		runtime.Gosched()
	}
	whole, busy := 0, 0
	for range asked {
		m := <-far.sent
		switch e := m.GetAnswer().GetError(); {
		case e == nil && len(m.Payload) == 1<<20:
			whole++
		case cell.Kind(e.GetKind()) == cell.Busy:
			busy++
		}
	}
	if whole != most || busy != asked-most || h.verdict != "" {
		t.Errorf("%d answers and %d that are busy, want %d of %d (%s)", whole, busy, most, asked, h.verdict)
	}
}

// Answers on their way are not the host's doing: it may go on asking.
func TestHostAsksWhileAnswersWait(t *testing.T) {
	h, c, heard := impostor(t)
	far := &stalled{sent: make(chan *wire.Msg)}
	h.proc.conn = far
	heard.value = cell.BytesValue(make([]byte, 1<<20))
	const asked = 32
	for n := range uint64(asked) {
		h.take(request(c.wireID, n, nil))
	}
	heard.release()
	for far.waiting.Load() < asked {
		runtime.Gosched()
	}
	h.take(request(c.wireID, asked, make([]byte, 16<<20)))
	n := asked + 1
	if h.verdict != "" {
		t.Errorf("an honest host is cut off: %s", h.verdict)
		n = asked
	}
	for range n {
		<-far.sent
	}
}

// What is received may be sent again, for ever.
func TestReceivedPostsAreCredit(t *testing.T) {
	h, c, _ := impostor(t)
	for range 100 {
		h.take(wire.New(c.wireID, 0, &wire.Control_Post{Post: &wire.Post{}}, make([]byte, 1<<20)))
		if _, err := c.Recv(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if h.verdict != "" {
		t.Errorf("cut off after 100 MiB that were received: %s", h.verdict)
	}
}

// Evidence names the cell that the node knows it to be of, and when it heard of it; and it is not
// the kernel's or the broker's because a host says so.
func TestHostForgesEvidence(t *testing.T) {
	h, c, heard := impostor(t)
	began := time.Now()
	forged := wire.FromDenial(&cell.Denial{Cell: "innocent", Capability: "fs", Action: "open /x", Kernel: "denied", Broker: "no", At: time.Unix(1, 0)})
	h.take(wire.New(c.wireID, 0, &wire.Control_Denial{Denial: forged}, nil))
	if len(heard.denials) != 1 {
		t.Fatalf("denials are %+v", heard.denials)
	}
	got := heard.denials[0]
	if got.At.Before(began) {
		t.Errorf("it is said to be of %s", got.At)
	}
	got.At = time.Time{}
	if want := (cell.Denial{Cell: c.id, Capability: "fs", Action: "open /x"}); got != want {
		t.Errorf("evidence %+v, want %+v", got, want)
	}
}

// A host that has said to have a cell ready and then refuses to give it ends the cell. Busy
// is what it says when it retires: trying again is of use, as refused_test.go has it.
func TestHostBreaksItsWord(t *testing.T) {
	h, c, _ := impostor(t)
	h.take(wire.New(0, 0, &wire.Control_PoolState{PoolState: &wire.PoolState{Ready: 1 << 30}}, nil))
	if n := h.readyNow(2); n != 2 {
		t.Errorf("the host lies, and %d cells are ready", n)
	}
	h.take(wire.New(0, 0, &wire.Control_PoolState{PoolState: &wire.PoolState{Ready: 1}}, nil))
	if !h.takeReady() || h.takeReady() {
		t.Fatal("the host said that one cell is ready")
	}
	if err := c.claimReady(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	h.take(wire.NewFailed(c.wireID, 1, cell.Errorf(cell.CellGone, "no")))
	if err := c.Exec(t.Context(), cell.Source{}); !errors.Is(err, cell.CellGone) || !strings.Contains(err.Error(), "refused the claim") {
		t.Errorf("the cell's operations end with %v", err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// A cell that was killed before its claim was refused is given back all the same.
func TestKilledBeforeTheClaimIsRefused(t *testing.T) {
	h, c, _ := impostor(t)
	if err := c.claimReady(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	c.Kill("no more")
	h.take(wire.NewFailed(c.wireID, 1, cell.Errorf(cell.Busy, "no")))
	if err := c.Close(t.Context()); err != nil || len(h.cells) > 0 {
		t.Errorf("close: %v; the host still has %d cells", err, len(h.cells))
	}
}

// A cell ends once, whatever says that it has: its host, and that its host is dead.
func TestCellEndsOnce(t *testing.T) {
	h, c, _ := impostor(t)
	ended := wire.New(c.wireID, 0, &wire.Control_Ended{Ended: &wire.Ended{State: string(cell.Closed), Report: &wire.Report{Posts: 1}}}, nil)
	c.receive(ended) // by who has found the cell before it was forgotten
	c.end(cell.Crashed, "host process died", nil)
	c.receive(ended)
	if c.last.State != cell.Closed || c.last.Posts != 1 || len(h.cells) > 0 {
		t.Errorf("%+v; the host has %d cells", c.last, len(h.cells))
	}
}

// A host that says that it retires, and stays, is killed. It has one successor, however often it
// says so.
func TestHostDoesNotRetire(t *testing.T) {
	h, c, _ := impostor(t)
	told := 0
	h.changed, h.toLeave = func(*hostproc) { told++ }, 50*time.Millisecond
	for range 3 {
		h.take(wire.New(0, 0, &wire.Control_Retiring{Retiring: &wire.Retiring{}}, nil))
		h.take(wire.New(c.wireID, 0, &wire.Control_Ended{Ended: &wire.Ended{State: string(cell.Closed)}}, nil))
	}
	if told != 1 {
		t.Fatalf("its retirement is a change %d times", told)
	}
	if err := h.proc.cmd.Wait(); err == nil { // it lasts for ten minutes by itself
		t.Error("the host ended by itself")
	}
	if words := h.epitaph(nil); !strings.Contains(words, "did not retire in time") {
		t.Errorf("the reason is %q", words)
	}
}

// FuzzHostMessages has a host say anything at all about its cell, while an operation
// of that cell is under way.
func FuzzHostMessages(f *testing.F) {
	seed := func(op uint64, body wire.Body) {
		data, err := proto.Marshal(&wire.Control{Op: op, Body: body})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, data, []byte("payload"))
	}
	seed(1, &wire.Control_Result{Result: &wire.Result{Type: 9}})
	seed(1, &wire.Control_Failed{Failed: &wire.Failed{}})
	seed(1, &wire.Control_Report{})
	seed(0, &wire.Control_Post{Post: &wire.Post{Type: 1 << 31}})
	seed(0, &wire.Control_Log{Log: &wire.Log{MessageLen: 1 << 31}})
	seed(0, &wire.Control_Metric{Metric: &wire.Metric{NameLen: 1 << 31}})
	seed(0, &wire.Control_Denial{Denial: &wire.Denial{}})
	seed(0, &wire.Control_Ended{Ended: &wire.Ended{State: "?"}})
	seed(0, &wire.Control_Retiring{})
	seed(2, &wire.Control_Failed{Failed: &wire.Failed{}})
	seed(2, &wire.Control_Claimed{})
	seed(7, &wire.Control_Request{Request: &wire.Request{During: 1, Type: 77}})
	h, c, _ := impostor(f)
	c.spec.Sink = nil
	f.Fuzz(func(t *testing.T, first, second, payload []byte) {
		fresh := newHandle(c.launcher, c.spec, c.wireID, c.id)
		fresh.host, h.cells = h, map[uint64]*handle{c.wireID: fresh}
		p := &pending{answer: make(chan *wire.Msg, 1), ctx: t.Context()}
		if _, err := fresh.register(p); err != nil {
			t.Fatal(err)
		}
		if err := fresh.claimReady(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		for _, data := range [][]byte{first, second} {
			m := &wire.Msg{Control: new(wire.Control), Payload: payload}
			if proto.Unmarshal(data, m.Control) != nil {
				return
			}
			m.Cell = c.wireID
			h.take(m)
		}
		select {
		case m := <-p.answer:
			if m != nil && m.Op != 1 {
				t.Fatalf("operation 1 is answered by %v", m.Control)
			}
		default:
		}
	})
}

// A host that announces workers it does not have, or another's, gets no seats for them; one
// that announces without end is cut off.
func TestHostAnnouncesFalseWorkers(t *testing.T) {
	h, c, _ := impostor(t)
	h.backend, h.pid = cell.Process, h.proc.cmd.Process.Pid
	kernel := enforce.New(enforce.Options{})
	defer func() {
		if err := kernel.Close(); err != nil {
			t.Error(err)
		}
	}()
	h.seats = &seats{enforcer: kernel, leave: func() {}, said: make(chan *wire.Msg, maxSaid)}
	for name, m := range map[string]*wire.Started{
		"this process": {Worker: 1, Task: uint32(os.Getpid())}, "nobody": {Worker: 2, Task: 1 << 22}, "zero": {Worker: 3}, "init": {Worker: 4, Task: 1},
	} {
		if err := h.seat(0, m); err == nil {
			t.Errorf("%s has a seat", name)
		}
		if err := h.seat(c.wireID, m); err == nil || c.seat != nil {
			t.Errorf("%s has the cell's seat", name)
		}
	}
	announced := wire.New(0, 0, &wire.Control_Started{Started: &wire.Started{Worker: 1}}, nil)
	for range maxSaid {
		h.take(announced)
	}
	if h.verdict != "" {
		t.Fatalf("cut off early: %s", h.verdict)
	}
	h.take(announced)
	if !strings.Contains(h.verdict, "workers") {
		t.Errorf("not cut off: %q", h.verdict)
	}
}
