package systemtest

import (
	"context"
	"encoding/json"
	"errors"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
)

// recorder is a sink that keeps everything, and answers requests with answer.
type recorder struct {
	mu      sync.Mutex
	logs    []cell.LogRecord
	samples []cell.Sample
	denials []cell.Denial
	answer  func(cell.Request) (cell.Value, error)
}

func (r *recorder) Log(l cell.LogRecord) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.logs = append(r.logs, l)
}

func (r *recorder) Metric(s cell.Sample) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.samples = append(r.samples, s)
}

func (r *recorder) Denied(d cell.Denial) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.denials = append(r.denials, d)
}

func (r *recorder) Request(_ context.Context, q cell.Request) (cell.Value, error) {
	r.mu.Lock()
	answer := r.answer
	r.mu.Unlock()
	if answer == nil {
		return cell.Value{}, cell.Errorf(cell.PolicyDenied, "capability %q is not granted", q.Capability)
	}
	return answer(q)
}

func (r *recorder) answerWith(answer func(cell.Request) (cell.Value, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

func TestSevenOperations(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		rec := &recorder{}
		c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"math"}, Sink: rec})

		if got := posts(t, c, "import math\npost(math.sqrt(2))\npost({'a': [1, None, True, 'é']})"); !slices.Equal(got,
			[]string{"1.4142135623730951", `{"a":[1,null,true,"é"]}`}) {
			t.Errorf("posted %q", got)
		}
		if err := c.Exec(soon(t), source("def scale(x, by=1): return [v * by for v in x]")); err != nil {
			t.Fatal(err)
		}
		v, err := c.Call(soon(t), cell.Invocation{Target: "scale", Args: []byte(`[[1,2.5]]`), Kwargs: []byte(`{"by":2}`)})
		if err != nil || string(v.Data) != "[2,5.0]" {
			t.Errorf("call answered %s, %v", v.Data, err)
		}
		v, err = c.Call(soon(t), cell.Invocation{Target: "math.hypot", Args: []byte(`[3,4]`)})
		if err != nil || string(v.Data) != "5.0" {
			t.Errorf("call of a module's function answered %s, %v", v.Data, err)
		}
		if err := c.Send(soon(t), cell.BytesValue([]byte("in\x00"))); err != nil {
			t.Fatal(err)
		}
		if got := posts(t, c, "post(recv()[::-1].hex())"); got[0] != `"006e69"` {
			t.Errorf("recv in the guest gave %s", got)
		}
		posts(t, c, "log('warning', 'disk', free=3)\nprint('one', 2)\nmetric('rows', 4.5, {'t': 'x'})")
		want := []cell.LogRecord{{Level: "warning", Message: "disk", Fields: json.RawMessage(`{"free":3}`)}, {Level: "stdout", Message: "one 2"}}
		rec.mu.Lock()
		if d := cmp.Diff(want, rec.logs); d != "" {
			t.Errorf("logs (-want +got):\n%s", d)
		}
		if d := cmp.Diff([]cell.Sample{{Name: "rows", Value: 4.5, Tags: map[string]string{"t": "x"}}}, rec.samples); d != "" {
			t.Errorf("metrics (-want +got):\n%s", d)
		}
		rec.mu.Unlock()
	})
}

// Names that the host would not take are the guest's error, and not its end.
func TestNamesHaveABound(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b, Limits: cell.Limits{MessageBytes: 64 << 10}})
		got := posts(t, c, `for f in (lambda n: metric(n, 1), lambda n: log(n, "m"), lambda n: request(n, "a"), lambda n: request("c", n)):
    for n in ("é" * 513, "x" * (2 << 20)):
        try: f(n)
        except ValueError as e: post(str(e))
metric("é" * 512, 1)`)
		want := []string{`"a metric's name has 1024 bytes at most, not 1026"`, `"a metric's name has 1024 bytes at most, not 2097152"`,
			`"a log level has 1024 bytes at most, not 1026"`, `"a log level has 1024 bytes at most, not 2097152"`,
			`"a capability has 1024 bytes at most, not 1026"`, `"a capability has 1024 bytes at most, not 2097152"`,
			`"an action has 1024 bytes at most, not 1026"`, `"an action has 1024 bytes at most, not 2097152"`}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("posts (-want +got):\n%s", d)
		}
		alive(t, c)
	})
}

func TestRequest(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		rec := &recorder{}
		c := spawn(t, l, cell.Spec{Backend: b, Sink: rec})
		err := c.Exec(soon(t), source("request('clock', 'now')"))
		if !errors.Is(err, cell.PolicyDenied) {
			t.Errorf("an ungranted request ends with %v, want PolicyDenied", err)
		}
		if got := posts(t, c, "import pyisolate_guest as g\ntry: request('x','y',{})\nexcept g.PolicyDenied as e: post(str(e))"); !strings.Contains(got[0], `\"x\" is not granted`) {
			t.Errorf("the guest sees %s", got)
		}
		rec.answerWith(func(q cell.Request) (cell.Value, error) {
			return cell.JSONValue(map[string]any{"capability": q.Capability, "action": q.Action, "payload": json.RawMessage(q.Payload.Data)})
		})
		if got := posts(t, c, "post(request('echo', 'get', {'n': 1}))"); got[0] != `{"action":"get","capability":"echo","payload":{"n":1}}` {
			t.Errorf("request answered %s", got)
		}
	})
}

// Every number must come back as the text it went in.
func TestValuesCrossExactly(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b})
		if err := c.Exec(soon(t), source("def same(x): return x")); err != nil {
			t.Fatal(err)
		}
		big := new(big.Int).Exp(big.NewInt(7), big.NewInt(900), nil).String()
		for _, text := range []string{"null", "true", "0", "-1", "9007199254740993", big, "-" + big, "0.1", "1e+300", "5e-324", "[]", "{}",
			`"\\u0000\"\n"`, `"😀"`, `[[[[[[1]]]]]]`, `{"":{"a b":[]}}`} {
			v, err := c.Call(soon(t), cell.Invocation{Target: "same", Args: []byte("[" + text + "]")})
			if err != nil || string(v.Data) != text {
				t.Errorf("%s came back as %s, %v", text, v.Data, err)
			}
		}
		raw := []byte{0, 255, 10, 0}
		v, err := c.Call(soon(t), cell.Invocation{Target: "same", Raw: raw})
		if err != nil || v.Type != cell.Bytes || string(v.Data) != string(raw) {
			t.Errorf("bytes came back as %v %q, %v", v.Type, v.Data, err)
		}
		for _, bad := range []string{"[NaN]", "[01]", "[1,]", `["\ud800"]`, "[1]x", "[", strings.Repeat("[", 5000)} {
			if _, err := c.Call(soon(t), cell.Invocation{Target: "same", Args: []byte(bad)}); err == nil {
				t.Errorf("%.20s was taken for JSON", bad)
			}
		}
	})
}

// An argument that the guest has no room for leaves nothing behind.
func TestArgumentsBeyondMemory(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"gc"}, Limits: cell.Limits{Memory: 24 << 20, MessageBytes: 16 << 20}})
		posts(t, c, "import gc\nkept = bytearray(16 << 20)\ndef f(x): pass\ndef single():\n  gc.collect()\n  return sum(type(o) is tuple and len(o) == 1 for o in gc.get_objects())\nsingle()\nbefore = single()")
		for range 20 {
			if _, err := c.Call(soon(t), cell.Invocation{Target: "f", Raw: make([]byte, 12<<20)}); !errors.Is(err, cell.MemoryExceeded) {
				t.Fatalf("the call ends with %v", err)
			}
		}
		if got := posts(t, c, "post(single() - before < 10)"); !slices.Equal(got, []string{"true"}) {
			t.Error("each call leaves a tuple")
		}
	})
}

func TestWhatCannotCrossNamesItsPath(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b})
		for expr, want := range map[string]string{
			"{'rows': [1, 2, 3, {4}]}": "value['rows'][3]: set is not JSON",
			"float('nan')":             "value: NaN is not JSON",
			"[1e999]":                  "value[0]: infinity is not JSON",
			"{1: 2}":                   "value: dict keys must be str",
			"'\\ud800'":                "value: str holds a lone surrogate",
			"[b'x']":                   "value[0]: bytes is not JSON inside a value; send bytes alone",
			"lambda: 0":                "value: function is not JSON",
		} {
			err := c.Exec(soon(t), source("post(%s)", expr))
			var e *cell.Error
			if !errors.As(err, &e) || e.Kind != cell.GuestError || e.Message != want {
				t.Errorf("post(%s) ends with %v, want %q", expr, err, want)
			}
		}
		if err := c.Exec(soon(t), source("x = []\nx.append(x)\npost(x)")); !errors.Is(err, cell.GuestError) {
			t.Errorf("posting a cycle ends with %v", err)
		}
		alive(t, c)
	})
}

func TestFailureIsAlsoAnItem(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b})
		_ = c.Exec(soon(t), cell.Source{File: "prog.py", Code: []byte("post(1)\ndef f(): raise KeyError('k')\nf()")})
		if first, err := c.Recv(soon(t)); err != nil || string(first.Value.Data) != "1" {
			t.Fatalf("first item %v, %v", first, err)
		}
		item, err := c.Recv(soon(t))
		if err != nil || item.Err == nil || item.Err.Type != "KeyError" {
			t.Fatalf("second item %+v, %v", item, err)
		}
		for _, part := range []string{`File "prog.py", line 3, in <module>`, `File "prog.py", line 2, in f`, "raise KeyError('k')"} {
			if !strings.Contains(item.Err.Traceback, part) {
				t.Errorf("the traceback lacks %q:\n%s", part, item.Err.Traceback)
			}
		}
	})
}

func TestDeadlinesAndCancelling(t *testing.T) {
	everyBackend(t, func(t *testing.T, _ *launch.Launcher, b cell.Backend) {
		l := newLauncher(t, launch.Config{KillGrace: patient})
		c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"time"}})
		for _, src := range []string{"while True: pass", "recv()", "import time\ntime.sleep(60)",
			"while True:\n try:\n  while True: pass\n except BaseException: pass"} {
			ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
			if err := c.Exec(ctx, source("%s", src)); !errors.Is(err, cell.Timeout) {
				t.Errorf("%.20q past its deadline: %v", src, err)
			}
			cancel()
			alive(t, c)
		}
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(20*time.Millisecond, cancel)
		if err := c.Exec(ctx, source("while True: pass")); !errors.Is(err, cell.Cancelled) {
			t.Errorf("cancelled: %v", err)
		}
		alive(t, c)
	})
}

func TestBackpressure(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b, Limits: cell.Limits{QueueItems: 16}})
		other := spawn(t, l, cell.Spec{Backend: b})
		done := make(chan error, 1)
		go func() { done <- c.Exec(soon(t), source("for i in range(2000): post(i)")) }()
		alive(t, other) // while the first waits for room
		for i := range 2000 {
			item, err := c.Recv(soon(t))
			if err != nil || string(item.Value.Data) != big.NewInt(int64(i)).String() {
				t.Fatalf("item %d is %s, %v", i, item.Value.Data, err)
			}
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		for range 16 {
			if err := c.Send(soon(t), cell.Null()); err != nil {
				t.Fatal(err)
			}
		}
		var busy bool
		for range 64 {
			if busy = errors.Is(c.Send(soon(t), cell.Null()), cell.Busy); busy {
				break
			}
		}
		if !busy {
			t.Error("an inbox of 16 took 80 items")
		}
	})
}

func TestQuarantineInspectKillClose(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b, Name: "q-" + string(b)})
		posts(t, c, "x = [1]")
		if err := c.Quarantine(soon(t), "looks odd"); err != nil {
			t.Fatal(err)
		}
		if err := c.Exec(soon(t), source("1")); !errors.Is(err, cell.CellGone) || !strings.Contains(err.Error(), "looks odd") {
			t.Errorf("exec in quarantine: %v", err)
		}
		r, err := c.Inspect(soon(t))
		if err != nil || r.State != cell.Quarantined || r.CPU <= 0 {
			t.Errorf("inspect: %+v, %v", r, err)
		}
		for range 3 {
			if err := c.Close(soon(t)); err != nil {
				t.Errorf("close: %v", err)
			}
		}
		if c.Err() != nil {
			t.Errorf("a closed cell ended with %v", c.Err())
		}
		k := spawn(t, l, cell.Spec{Backend: b, Name: "q-" + string(b)}) // the name is free again
		running := make(chan error, 1)
		go func() { running <- k.Exec(soon(t), source("while True: pass")) }()
		k.Kill("no longer wanted")
		if err := <-running; !errors.Is(err, cell.CellGone) || !strings.Contains(err.Error(), "no longer wanted") {
			t.Errorf("exec in a killed cell: %v", err)
		}
		<-k.Done()
	})
}
