package cpython_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/cpython"
	"github.com/pyisolate/pyisolate/cell/pydist"
	"github.com/pyisolate/pyisolate/cell/ring"
	kernel "github.com/pyisolate/pyisolate/kernel/policy"
)

var load = sync.OnceValues(func() (*cpython.Runtime, error) {
	d, err := pydist.Resolve(context.Background(), pydist.Options{Python: os.Getenv("PYISOLATE_PYTHON")})
	if err != nil {
		return nil, err
	}
	return cpython.Load(d.Lib, d.Home, d.Stdlib, cpython.Start(os.Getenv("PYISOLATE_START")))
})

// bare is a cell driven frame by frame, without a host around it.
type bare struct {
	tb     testing.TB
	region *ring.Region
	thread *cpython.Thread
	op     uint64
	frames chan ring.Frame
}

type policy struct {
	imports  string
	mem      int64
	children uint32
}

func start(tb testing.TB, p policy) *bare {
	tb.Helper()
	b := startUnclaimed(tb)
	b.claim(p)
	return b
}

func startUnclaimed(tb testing.TB) *bare {
	tb.Helper()
	rt, err := load()
	if err != nil {
		tb.Fatal(err)
	}
	region, err := ring.New(ring.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	th, err := rt.Start(region)
	if err != nil {
		tb.Fatal(err)
	}
	b := &bare{tb: tb, region: region, thread: th, frames: make(chan ring.Frame, 1024)}
	go func() {
		_ = region.Serve(func(f ring.Frame) error { b.frames <- f; return nil })
		close(b.frames)
	}()
	tb.Cleanup(b.stop)
	if f := b.next(); f.Kind != ring.OutReady {
		tb.Fatalf("first frame is %d: %q", f.Kind, f.Payload)
	}
	return b
}

func (b *bare) claim(p policy) {
	b.tb.Helper()
	b.rules(p)
	b.send(ring.InClaim, 0, lens(ring.PolicyShared))
	if f := b.next(); f.Kind != ring.OutResult {
		b.tb.Fatalf("claim: %q", f.Payload)
	}
}

// rules replaces those that the cell goes by.
func (b *bare) rules(p policy) {
	b.tb.Helper()
	text, err := ring.EncodeRules(kernel.Policy{}, strings.Split(p.imports, ","))
	if err == nil {
		err = b.region.SetRules(ring.Limits{Memory: p.mem, MessageBytes: 1 << 20, Children: p.children, Files: 64}, text)
	}
	if err != nil {
		b.tb.Fatal(err)
	}
}

func (b *bare) stop() {
	b.thread.Kill()
	select {
	case <-b.thread.Done():
		_ = b.region.Free()
	case <-time.After(10 * time.Second):
		b.tb.Error("the thread did not end")
	}
}

func (b *bare) send(k ring.Kind, f ring.Flags, parts ...[]byte) uint64 {
	b.tb.Helper()
	b.op++
	if err := b.region.Send(k, f, b.op, parts...); err != nil {
		b.tb.Fatal(err)
	}
	return b.op
}

func (b *bare) next() ring.Frame {
	b.tb.Helper()
	select {
	case f := <-b.frames:
		return f
	case <-time.After(20 * time.Second):
		b.tb.Fatal("no frame within 20 s")
		return ring.Frame{}
	}
}

func lens(n ...int) []byte {
	var out []byte
	for _, v := range n {
		out = binary.LittleEndian.AppendUint32(out, uint32(v))
	}
	return out
}

func (b *bare) exec(src string, f ring.Flags) {
	b.tb.Helper()
	const file = "<cell>"
	b.send(ring.InExec, f, lens(len(file), 0), []byte(file), []byte(src))
}

// run executes src and returns its posts and logs, a line each, and the error body.
func (b *bare) run(src string) (said []string, fault string) {
	b.tb.Helper()
	b.exec(src, 0)
	return b.finish()
}

func (b *bare) finish() (said []string, fault string) {
	b.tb.Helper()
	for {
		switch f := b.next(); f.Kind {
		case ring.OutPost:
			said = append(said, string(f.Payload))
		case ring.OutLog:
			said = append(said, "log:"+string(f.Payload[8:]))
		case ring.OutDenial:
			said = append(said, "denied:"+string(f.Payload[4:]))
		case ring.OutResult:
			return said, ""
		case ring.OutError:
			n := binary.LittleEndian.Uint32(f.Payload[1:])
			m := binary.LittleEndian.Uint32(f.Payload[5:])
			p := f.Payload[13:]
			return said, fmt.Sprintf("%s|%s|%s\n%s", cell.Kind(f.Payload[0]), p[:n], p[n:n+m], p[n+m:])
		default:
			b.tb.Fatalf("unexpected frame %d %q", f.Kind, f.Payload)
		}
	}
}

func TestHello(t *testing.T) {
	b := start(t, policy{imports: "math", mem: 64 << 20})
	said, fault := b.run("import math\npost(math.sqrt(2))\nprint('hi', 1)\npost({'a':[1,2.5,None,True,'x\\n\"é']})\npost(b'raw')")
	want := []string{"1.4142135623730951", "log:stdouthi 1", `{"a":[1,2.5,null,true,"x\n\"é"]}`, "raw"}
	if fault != "" || !slices.Equal(said, want) {
		t.Fatalf("said %q, want %q, fault %s", said, want, fault)
	}
}

// A cell without a policy has no gate yet.
func TestNothingRunsBeforeTheClaim(t *testing.T) {
	b := startUnclaimed(t)
	b.exec("import posix; post(1)", 0)
	if f := b.next(); f.Kind != ring.OutError || !strings.Contains(string(f.Payload), "before the claim") {
		t.Fatalf("an unclaimed cell answers kind %d: %q", f.Kind, f.Payload)
	}
	b.claim(policy{imports: "math", mem: 64 << 20})
	if said, fault := b.run("post(1)"); fault != "" || len(said) != 1 {
		t.Errorf("after the claim: %q %s", said, fault)
	}
}

func TestFaults(t *testing.T) {
	b := start(t, policy{imports: "math", mem: 64 << 20})
	for src, want := range map[string]string{
		"1/0":                      "GuestError|ZeroDivisionError|division by zero\nTraceback (most recent call last):\n  File \"<cell>\", line 1, in <module>\n    1/0\n",
		"import os":                "PolicyDenied|ImportDenied|import: os is not allowed",
		"post({'rows': [1, {2}]})": "GuestError|TypeError|value['rows'][1]: set is not JSON",
		"x = (":                    "GuestError|SyntaxError|'(' was never closed\n  File \"<cell>\", line 1\n    x = (\n        ^\n",
		"open('/etc/passwd')":      "PolicyDenied|PolicyDenied|fs: open /etc/passwd is not allowed",
		"x = 'a' * 10**9":          "MemoryExceeded|MemoryError|",
		"x = bytes(2**63 - 100)":   "MemoryExceeded|MemoryError|",
		"def f(): f()\nf()":        "GuestError|RecursionError|",
		"try:\n 1/0\nexcept Exception as e:\n raise KeyError(3) from e": "GuestError|KeyError|3\nTraceback",
	} {
		if _, fault := b.run(src); !strings.HasPrefix(fault, want) {
			t.Errorf("%s\n got %.300s\nwant %s", src, fault, want)
		}
	}
}

// What Go code does wrong is Go's to handle, also in a process that has cells.
func TestFaultsOfGoAreGos(t *testing.T) {
	if _, err := load(); err != nil {
		t.Fatal(err)
	}
	for range 100 { // on more than one of its threads
		var said any
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer func() { said = recover() }()
			var nowhere *policy
			nowhere.mem = 1
		}()
		<-done
		if err, ok := said.(runtime.Error); !ok || !strings.Contains(err.Error(), "nil pointer") {
			t.Fatalf("it is %v", said)
		}
	}
}

func TestInterrupt(t *testing.T) {
	for _, src := range []string{"while True: pass", "while True:\n  try:\n    while True: pass\n  except BaseException: pass",
		"recv()", "import time\ntime.sleep(1000)", "while True: post('x'*1000)", "class A:\n def __del__(s):\n  A()\n  while True:\n   try: pass\n   except BaseException: pass\nwhile 1:\n try: A()\n except BaseException: pass"} {
		b := start(t, policy{imports: "*", mem: 64 << 20})
		b.exec(src, 0)
		for b.region.Account().State != ring.Busy {
			runtime.Gosched()
		}
		t0 := time.Now()
		b.thread.Interrupt(b.op, cell.Timeout)
		for {
			f := b.next()
			if f.Kind == ring.OutError {
				t.Logf("%.30q: %v %s", src, time.Since(t0), f.Payload[13:])
				break
			}
		}
		if _, fault := b.run("post(1)"); fault != "" {
			t.Error(fault)
		}
	}
}
