package systemtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/cell/state"
)

func send(tb testing.TB, c cell.Cell, json string) {
	tb.Helper()
	if err := c.Send(soon(tb), cell.Value{Data: []byte(json)}); err != nil {
		tb.Fatal(err)
	}
}

// taken is the next item, of an exec that failed its kind.
func taken(tb testing.TB, c cell.Cell) string {
	tb.Helper()
	i, err := c.Recv(soon(tb))
	if err != nil {
		tb.Fatal(err)
	}
	if i.Err != nil {
		return i.Err.Kind.String()
	}
	return i.Value.String()
}

// Between Snapshot and Thaw nothing happens, and afterwards all that had to wait.
func TestFrozen(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b, Limits: cell.Limits{Wall: 2 * time.Second}})
		if err := c.Exec(soon(t), source("n = 1\npost('before')")); err != nil {
			t.Fatal(err)
		}
		_, s := stateOf(t, c)
		if s.Outbox != 1 || s.Python != "cpython-314" || s.Objects == 0 || s.Counters.Posts != 1 {
			t.Errorf("snapshot: %+v", s)
		}
		if _, err := c.Snapshot(soon(t), nil); !errors.Is(err, cell.Invalid) {
			t.Errorf("a second snapshot: %v", err)
		}
		if err := c.Send(soon(t), cell.Null()); !errors.Is(err, cell.Busy) {
			t.Errorf("send: %v", err)
		}
		ran := make(chan error, 1)
		go func() { ran <- c.Exec(soon(t), source("n += 1\npost(n)")) }()
		short, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond) // longer than the wall limit
		defer cancel()
		if i, err := c.Recv(short); !errors.Is(err, cell.Timeout) {
			t.Errorf("recv: %v, %v", i, err)
		}
		select {
		case err := <-ran:
			t.Fatalf("an exec ran in a frozen cell: %v", err)
		default:
		}
		if r, err := c.Inspect(soon(t)); err != nil || r.State != cell.Running {
			t.Errorf("inspect: %+v, %v", r, err)
		}
		for range 2 { // a second thaw does nothing
			if err := c.Thaw(soon(t)); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-ran; err != nil {
			t.Fatalf("the exec that had to wait: %v", err)
		}
		if got := taken(t, c) + taken(t, c); got != `"before"2` {
			t.Errorf("received %s", got)
		}
	})
}

// What was on its way is carried, in order, and is nobody else's any more.
func TestStateCarriesMessages(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b})
		for i := range 3 {
			send(t, c, fmt.Sprint(i))
		}
		_ = c.Send(soon(t), cell.BytesValue([]byte("raw")))
		if err := c.Exec(soon(t), source("post(recv())\npost(b'out')\npost([1])")); err != nil {
			t.Fatal(err)
		}
		if err := c.Exec(soon(t), source("1/0")); !errors.Is(err, cell.GuestError) {
			t.Fatal(err)
		}
		if got := taken(t, c); got != "0" {
			t.Errorf("received %s", got)
		}
		stream, s := stateOf(t, c)
		if s.Inbox != 3 || s.Outbox != 3 {
			t.Errorf("snapshot: %+v", s)
		}
		c.Kill("moved")
		if i, err := c.Recv(soon(t)); !errors.Is(err, cell.CellGone) {
			t.Errorf("the old cell still gives %v, %v", i, err)
		}
		next := spawn(t, l, cell.Spec{Backend: b})
		if err := next.Restore(soon(t), bytes.NewReader(stream)); err != nil {
			t.Fatal(err)
		}
		if err := next.Exec(soon(t), source("post(recv()); post(recv()); post(recv())\ntry: recv(0)\nexcept Exception: post('end')")); err != nil {
			t.Fatal(err)
		}
		var got []string
		for range 7 {
			got = append(got, taken(t, next))
		}
		if want := `out [1] GuestError 1 2 raw "end"`; strings.Join(got, " ") != want {
			t.Errorf("received %s, want %s", got, want)
		}
		if r, _ := next.Inspect(soon(t)); r.Posts != s.Counters.Posts+4 {
			t.Errorf("%d posts are counted, %d before", r.Posts, s.Counters.Posts)
		}
	})
}

// Limits go on where they were.
func TestStateCarriesWhatWasUsed(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b, Limits: cell.Limits{Output: 3000}})
		posts(t, c, "print('x' * 2000)")
		c = movedTo(t, l, c)
		if err := c.Exec(soon(t), source("print('x' * 2000)")); !errors.Is(err, cell.OutputExceeded) {
			t.Errorf("after the move there is output for more: %v", err)
		}
	})
}

func TestSnapshotThatNobodyTakes(t *testing.T) {
	everyBackend(t, func(t *testing.T, _ *launch.Launcher, b cell.Backend) {
		l := newLauncher(t, launch.Config{KillGrace: patient})
		c := spawn(t, l, cell.Spec{Backend: b, Limits: cell.Limits{Memory: 256 << 20}})
		posts(t, c, "blob = [bytes(1 << 20) for i in range(30)]")
		full := errors.New("disk full")
		for _, after := range []int{0, 3, 50} {
			chunks := 0
			_, err := c.Snapshot(soon(t), func([]byte) error {
				if chunks++; chunks > after {
					return full
				}
				return nil
			})
			if !errors.Is(err, full) {
				t.Errorf("after %d chunks: %v", after, err)
			}
			alive(t, c)
		}
		ctx, cancel := context.WithCancel(t.Context())
		_, err := c.Snapshot(ctx, func([]byte) error { cancel(); return nil })
		if !errors.Is(err, cell.Cancelled) {
			t.Errorf("cancelled: %v", err)
		}
		alive(t, c)
	})
}

// A taker that waits makes its cell wait, and no other; the host holds a few chunks.
func TestSnapshotWaitsForItsTaker(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c, other := spawn(t, l, cell.Spec{Backend: b, Limits: cell.Limits{Memory: 256 << 20}}), spawn(t, l, cell.Spec{Backend: b})
		posts(t, c, "blob = bytes(60 << 20)")
		done := false
		s, err := c.Snapshot(soon(t), func([]byte) error {
			if !done {
				done = true
				for range 20 {
					alive(t, other)
				}
			}
			return nil
		})
		if err != nil || s.Size < 60<<20 {
			t.Errorf("%+v, %v", s, err)
		}
	})
}

func TestRestoreNeedsAFreshCell(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b})
		posts(t, c, "n = 1")
		stream, _ := stateOf(t, c)
		if err := c.Restore(soon(t), bytes.NewReader(stream)); !errors.Is(err, cell.Invalid) {
			t.Errorf("into the frozen cell itself: %v", err)
		}
		used := spawn(t, l, cell.Spec{Backend: b})
		posts(t, used, "n = 2")
		r := bytes.NewReader(stream)
		if err := used.Restore(soon(t), r); !errors.Is(err, cell.Invalid) || r.Len() != len(stream) {
			t.Errorf("into a used cell: %v, %d bytes left of %d", err, r.Len(), len(stream))
		}
		alive(t, used)
		sent := spawn(t, l, cell.Spec{Backend: b})
		send(t, sent, "1")
		if err := sent.Restore(soon(t), bytes.NewReader(stream)); !errors.Is(err, cell.Invalid) {
			t.Errorf("into a cell with an inbox: %v", err)
		}
		alive(t, sent)
	})
}

// The state is made by the new cell's policy and limits.
func TestRestoreByTheNewPolicy(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"*"}})
		posts(t, c, "import sqlite3, json\nrow = sqlite3.Row\nbig = [0] * 3_000_000")
		send(t, c, `"`+strings.Repeat("x", 5000)+`"`)
		stream, _ := stateOf(t, c)
		for name, tc := range map[string]struct {
			spec cell.Spec
			kind cell.Kind
			text string
		}{
			"import":  {cell.Spec{Imports: []string{"json"}}, cell.PolicyDenied, "sqlite3"},
			"loaded":  {cell.Spec{Imports: []string{"sqlite3"}}, cell.PolicyDenied, "json"}, // which the interpreter has for itself
			"memory":  {cell.Spec{Imports: []string{"*"}, Limits: cell.Limits{Memory: 8 << 20}}, cell.MemoryExceeded, ""},
			"message": {cell.Spec{Imports: []string{"*"}, Limits: cell.Limits{MessageBytes: 4096}}, cell.Invalid, "inbox"},
		} {
			t.Run(name, func(t *testing.T) {
				tc.spec.Backend = b
				next := spawn(t, l, tc.spec)
				err := next.Restore(soon(t), bytes.NewReader(stream))
				if !errors.Is(err, tc.kind) || !strings.Contains(err.Error(), tc.text) {
					t.Errorf("%v, want %s with %q", err, tc.kind, tc.text)
				}
				ended(t, next)
			})
		}
		if err := c.Thaw(soon(t)); err != nil {
			t.Fatal(err)
		}
		alive(t, c)
	})
}

// ended fails the test unless the cell ends, and says why.
func ended(tb testing.TB, c cell.Cell) {
	tb.Helper()
	select {
	case <-c.Done():
	case <-soon(tb).Done():
		tb.Fatal("the cell lives on")
	}
	if err := c.Err(); !errors.Is(err, cell.CellGone) || !strings.Contains(err.Error(), "could not be restored") {
		tb.Errorf("the cell ended by %v", err)
	}
	if _, err := c.Call(soon(tb), cell.Invocation{Target: "abs", Args: []byte("[1]")}); !errors.Is(err, cell.CellGone) {
		tb.Errorf("a call of it: %v", err)
	}
}

// rewritten is a stream whose records f has changed, with sums that belong to them.
func rewritten(tb testing.TB, stream []byte, f func(i int, r *state.Record)) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := state.NewWriter(func(p []byte) error { b.Write(p); return nil })
	r, err := state.NewReader(bytes.NewReader(stream))
	for i := 0; err == nil; i++ {
		var rec state.Record
		if rec, err = r.Next(); err != nil {
			break
		}
		f(i, &rec)
		if rec.Kind == state.End {
			_, err = w.End(rec.Snapshot)
		} else {
			err = w.State(rec.Kind, rec.Payload)
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// A stream that was damaged, or forged with sums that fit, ends the cell that it was for. What
// it does there is the cell's matter, and no other's.
func TestRestoreOfForgedStreams(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"*"}})
		if err := c.Exec(soon(t), cell.Source{File: "<frozem>", Code: []byte("import collections\ndef f(x): return x\nd = collections.deque([f])")}); err != nil {
			t.Fatal(err)
		}
		stream, _ := stateOf(t, c)
		last := 0
		rewritten(t, stream, func(i int, r *state.Record) {
			if r.Kind == state.Data {
				last = i
			}
		})
		other := spawn(t, l, cell.Spec{Tenant: "other"})
		data := func(change func(p []byte) []byte) []byte {
			return rewritten(t, stream, func(_ int, r *state.Record) {
				if r.Kind == state.Data {
					r.Payload = change(r.Payload)
				}
			})
		}
		for name, tc := range map[string]struct {
			stream []byte
			text   string
		}{
			"cut":          {stream[:len(stream)-9], "ends too early"},
			"flipped":      {append(append(bytes.Clone(stream[:50]), stream[50]^1), stream[51:]...), "sum is wrong"},
			"not a state":  {[]byte("hello, this is something else"), "not a cell's state"},
			"other Python": {data(func(p []byte) []byte { return bytes.Replace(p, []byte("cpython-314"), []byte("cpython-313"), 1) }), "needs cpython-313, this cell runs cpython-314"},
			"other format": {data(func(p []byte) []byte { return bytes.Replace(p, []byte("state 1"), []byte("state 9"), 1) }), "another version"},
			"half pickle":  {data(func(p []byte) []byte { return p[:len(p)-20] }), ""},
			"longer": {rewritten(t, stream, func(i int, r *state.Record) {
				if i == last {
					r.Payload = append(r.Payload, "N."...)
				}
			}), "behind its end"},
			"no code": {rewritten(t, stream, func(_ int, r *state.Record) {
				if r.Kind == state.Code {
					r.Payload = []byte("N")
				}
			}), "no code where it should"},
			"library's code": {rewritten(t, stream, func(_ int, r *state.Record) {
				r.Payload = bytes.ReplaceAll(r.Payload, []byte("<frozem>"), []byte("<frozen>"))
			}), "no code where it should"},
		} {
			t.Run(name, func(t *testing.T) {
				next := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"*"}})
				err := next.Restore(soon(t), bytes.NewReader(tc.stream))
				if err == nil || !strings.Contains(err.Error(), tc.text) {
					t.Fatalf("%v, want %q\n%s", err, tc.text, traceback(err))
				}
				ended(t, next)
			})
		}
		alive(t, other)
	})
}

// Random damage with sums that fit: whatever becomes of the cell, and of its tenant's host, the
// node gets an answer and other tenants notice nothing.
func TestRestoreOfRandomDamage(t *testing.T) {
	l := newLauncher(t, launch.Config{})
	c := spawn(t, l, cell.Spec{Backend: cell.Process, Imports: []string{"*"}})
	posts(t, c, "import collections\ndef f(x): return x\nclass C:\n    def __init__(self): self.x = [1, 'a', {2: b'3'}]\ncs = [C() for i in range(9)]\nd = collections.Counter('abc')")
	stream, _ := stateOf(t, c)
	other := spawn(t, l, cell.Spec{Tenant: "other"})
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 60 {
		bad := rewritten(t, stream, func(_ int, rec *state.Record) {
			if rec.Kind == state.Data && r.IntN(2) == 0 {
				for range 1 + r.IntN(3) {
					rec.Payload[r.IntN(len(rec.Payload))] = byte(r.Uint32())
				}
			}
		})
		next := spawn(t, l, cell.Spec{Backend: cell.Process, Imports: []string{"*"}})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		_ = next.Restore(ctx, bytes.NewReader(bad)) // now and then it is harmless
		cancel()
		_ = next.Close(soon(t))
	}
	alive(t, other)
}
