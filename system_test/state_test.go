package systemtest

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
)

// stateOf takes a cell's state out, and leaves it frozen.
func stateOf(tb testing.TB, c cell.Cell) ([]byte, cell.Snapshot) {
	tb.Helper()
	var b bytes.Buffer
	s, err := c.Snapshot(soon(tb), func(chunk []byte) error {
		if len(chunk) > cell.MaxChunk {
			tb.Errorf("a chunk of %d bytes", len(chunk))
		}
		b.Write(chunk)
		return nil
	})
	if err != nil {
		tb.Fatalf("snapshot: %v\n%s", err, traceback(err))
	}
	if s.Size != int64(b.Len()) {
		tb.Errorf("snapshot says %d bytes, and wrote %d", s.Size, b.Len())
	}
	return b.Bytes(), s
}

// movedTo closes a cell and has its state go on in another one like it.
func movedTo(tb testing.TB, l *launch.Launcher, c cell.Cell) cell.Cell {
	tb.Helper()
	state, _ := stateOf(tb, c)
	if err := c.Close(context.WithoutCancel(soon(tb))); err != nil {
		tb.Fatal(err)
	}
	next := spawn(tb, l, c.Spec())
	if err := next.Restore(soon(tb), bytes.NewReader(state)); err != nil {
		tb.Fatalf("restore: %v\n%s", err, traceback(err))
	}
	return next
}

func TestStateGoesOn(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b})
		posts(t, c, "n = 0\ndef count():\n    global n\n    n += 1\n    return n\ncount()")
		c = movedTo(t, l, c)
		v, err := c.Call(soon(t), cell.Invocation{Target: "count"})
		if err != nil || string(v.Data) != "2" {
			t.Fatalf("count() = %s, %v\n%s", v.Data, err, traceback(err))
		}
	})
}

// Each file of testdata/state is a program of one kind of things, and behind a mark what must hold when its state has
// moved, twice.
func TestStateCarries(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		for _, file := range programs(t, "state") {
			t.Run(filepath.Base(file), func(t *testing.T) {
				before, after, ok := strings.Cut(readText(t, file), "# --- after ---\n")
				if !ok {
					t.Fatal("it has no mark")
				}
				c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"*"}})
				posts(t, c, before)
				c = movedTo(t, l, c)
				c = movedTo(t, l, c)
				posts(t, c, after)
			})
		}
	})
}

var golden = flag.Bool("golden", false, "write states as they are now, where there are none")

// States that earlier builds took out of the programs of testdata/state go on in this one.
func TestStateOfEarlierBuilds(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		for _, file := range programs(t, "state") {
			name := filepath.Base(file)
			t.Run(name, func(t *testing.T) {
				before, after, _ := strings.Cut(readText(t, file), "# --- after ---\n")
				kept := filepath.Join("testdata/golden", strings.TrimSuffix(name, ".py")+".1.state")
				c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"*"}})
				if _, err := os.Stat(kept); *golden && errors.Is(err, fs.ErrNotExist) {
					posts(t, c, before)
					state, _ := stateOf(t, c)
					if err := os.WriteFile(kept, state, 0o644); err != nil {
						t.Fatal(err)
					}
					return
				}
				f, err := os.Open(kept)
				if err != nil {
					t.Fatalf("%v: write it with -golden, by a build whose states this one has to take", err)
				}
				defer func() { _ = f.Close() }()
				if err := c.Restore(soon(t), f); err != nil {
					t.Fatalf("restore: %v\n%s", err, traceback(err))
				}
				c = movedTo(t, l, c) // which is the second time
				posts(t, c, after)
			})
		}
	})
}

// Names and keys that many rows have are in a state once, whichever way its rows are written; and what instances are is not
// remembered one by one, for which a state has two marks for each.
func TestStateOfPlainDataIsSmall(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		for name, tc := range map[string]struct {
			program     string
			bytes       int
			least, most int64 // objects
		}{
			"rows":      {"rows = [{'a key that is rather long': i, 'and another': ['once', 'again', i]} for i in range(10_000)]", 10_000 * 40, 20_000, 40_000},
			"instances": {"class P:\n    def __init__(self):\n        self.i = 7\nps = [P() for i in range(10_000)]", 10_000 * 12, 20_000, 21_000},
		} {
			c := spawn(t, l, cell.Spec{Backend: b})
			posts(t, c, tc.program)
			state, snapshot := stateOf(t, c)
			if len(state) > tc.bytes {
				t.Errorf("%s: the state has %d bytes, want at most %d", name, len(state), tc.bytes)
			}
			if snapshot.Objects < tc.least || snapshot.Objects > tc.most {
				t.Errorf("%s: it says that it has %d objects, want %d to %d", name, snapshot.Objects, tc.least, tc.most)
			}
		}
	})
}

// Pieces of a state that are small come to the guest several at a time, each as what it is.
func TestStateOfManyFunctions(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b})
		posts(t, c, manyFunctions)
		c = movedTo(t, l, c)
		posts(t, c, "for i in range(400):\n    assert globals()[f'f{i}'](1) == (1 + i, 'x' * (i * i % 5000)), i")
	})
}

// What needs nothing of the library is taken out, and put in, without it: importing that is most of the time that a
// small state takes, and the guest's memory. A guest has a name for a module no sooner than it has imported it.
func TestStateImportsNothing(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"sys", "pickle"}})
		posts(t, c, "import sys\nkept = [list(range(1000))]\ndef f(x):\n    return x + 1\nclass A:\n    b = 1\nbefore = sorted(sys.modules)")
		const same = "assert sorted(sys.modules) == before, sorted(set(sys.modules) ^ set(before))\n"
		if _, err := c.Snapshot(soon(t), func([]byte) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if err := c.Thaw(soon(t)); err != nil {
			t.Fatal(err)
		}
		posts(t, c, same)
		c = movedTo(t, l, c)
		posts(t, c, same)
		posts(t, c, "import pickle\nassert pickle.loads(pickle.dumps([1, {2}, 3j, sys.intern], 0)) == [1, {2}, 3j, sys.intern]")
	})
}

// What makes the pickler of states is behind the gate, as any import is.
func TestPicklerIsNotTheGuests(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b})
		const try = "import pyisolate_guest\ntry:\n    pyisolate_guest._c.pickle(%s)\nexcept ImportError:\n    pass\nelse:\n    raise AssertionError('a guest has a module that it may not import')"
		for _, lent := range []string{"{}", "{'copyreg': 1}", "3"} {
			posts(t, c, fmt.Sprintf(try, lent))
		}
		stateOf(t, c)
	})
}

// A module is what the guest may import: with what was in its package, and under the name that its policy knows.
func TestStateCarriesModules(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		for name, tc := range map[string]struct{ imports, then, before, after string }{
			"package":        {"urllib", "urllib", "import urllib.parse", "assert urllib.parse.quote('a b') == 'a%20b'"},
			"deep package":   {"xml", "xml", "import xml.dom.minidom", "assert xml.dom.minidom.parseString('<a/>').documentElement.tagName == 'a'"},
			"narrower":       {"urllib", "urllib.parse", "import urllib.parse, urllib.error", "urllib.parse.quote('a')\nassert not hasattr(urllib, 'error')"},
			"by way of":      {"os", "os", "from os import path", "assert path.join('a', 'b') == 'a/b'\nimport os\nassert os.path is path"},
			"under its name": {"posixpath", "posixpath", "import posixpath", "assert posixpath.join('a', 'b') == 'a/b'"},
		} {
			t.Run(name, func(t *testing.T) {
				c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{tc.imports}})
				posts(t, c, tc.before)
				stream, _ := stateOf(t, c)
				next := spawn(t, l, cell.Spec{Backend: b, Imports: []string{tc.then}})
				if err := next.Restore(soon(t), bytes.NewReader(stream)); err != nil {
					t.Fatalf("restore: %v\n%s", err, traceback(err))
				}
				posts(t, next, tc.after)
			})
		}
	})
}

// What the library has from a module that no guest may import goes by the name that it has in one that they may.
func TestStateNamesWhatGuestsMayImport(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"threading", "socket"}})
		posts(t, c, "from threading import Lock, local, ExceptHookArgs, excepthook, get_ident\nfrom socket import SocketType\nclass L(local): pass")
		c = movedTo(t, l, c)
		posts(t, c, "import threading, socket\nassert Lock is threading.Lock and L.__base__ is local is threading.local\n"+
			"assert ExceptHookArgs is threading.ExceptHookArgs and excepthook is threading.excepthook\nassert SocketType is socket.SocketType and get_ident()")
	})
}

func programs(tb testing.TB, folder string) []string {
	tb.Helper()
	files, err := filepath.Glob("testdata/" + folder + "/*.py")
	if err != nil || len(files) == 0 {
		tb.Fatalf("no programs in %s: %v", folder, err)
	}
	return files
}

func readText(tb testing.TB, file string) string {
	tb.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

// Programs that live on: what each of their steps returns is the same whether they are moved
// after it or not.
func TestStateOfLivingPrograms(t *testing.T) {
	text, err := filepath.Abs("testdata/living/text.txt")
	if err != nil {
		t.Fatal(err)
	}
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		for _, file := range programs(t, "living") {
			t.Run(filepath.Base(file), func(t *testing.T) {
				start := func() cell.Cell {
					c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"*"}, Policy: fileRules(readAt(text))})
					posts(t, c, fmt.Sprintf("SOURCE = %q\n%s", text, readText(t, file)))
					return c
				}
				stays, moves := start(), start()
				for i := range 40 {
					want, got := step(t, stays, i), step(t, moves, i)
					if want != got {
						t.Fatalf("step %d after %d moves returns\n%s, and without\n%s", i, i/3, got, want)
					}
					if i%3 == 0 {
						moves = movedTo(t, l, moves)
					}
				}
			})
		}
	})
}

func step(tb testing.TB, c cell.Cell, i int) string {
	tb.Helper()
	v, err := c.Call(soon(tb), cell.Invocation{Target: "step", Args: fmt.Appendf(nil, "[%d]", i)})
	if err != nil {
		tb.Fatalf("step %d: %v\n%s", i, err, traceback(err))
	}
	return v.String()
}

// Whatever a graph of objects is made of, it is the same in the next cell: shape, values and
// which objects are one.
func TestStateOfGeneratedGraphs(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		seed := rand.Uint32()
		program := readText(t, "testdata/graphs/graph.py")
		for i := range uint32(24) {
			c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"*"}, Limits: cell.Limits{MessageBytes: 16 << 20}})
			grow := fmt.Sprintf("graph = grow(%d, %d)", seed+i, 20<<(i/4))
			if i%2 == 1 {
				grow = fmt.Sprintf("tree, links = grow_plain(%d, %d)", seed+i, 200<<(i/4))
			}
			posts(t, c, program+"\n"+grow)
			want := shape(t, c)
			t.Logf("%d objects", len(want))
			c = movedTo(t, l, c)
			if d := cmp.Diff(want, shape(t, c)); d != "" {
				t.Errorf("seed %d: %s", seed+i, d)
			}
			if err := c.Close(soon(t)); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func shape(tb testing.TB, c cell.Cell) (lines []string) {
	tb.Helper()
	v, err := c.Call(soon(tb), cell.Invocation{Target: "shape"})
	if err == nil {
		err = v.Decode(&lines)
	}
	if err != nil {
		tb.Fatalf("shape: %v\n%s", err, traceback(err))
	}
	return lines
}

// A state is no backend's, and what must differ between cells does.
func TestStateChangesBackend(t *testing.T) {
	l := newLauncher(t, launch.Config{})
	backends := []cell.Backend{cell.SubInterpreter, cell.Process, cell.SubInterpreter}
	c := spawn(t, l, cell.Spec{Backend: backends[0], Imports: []string{"*"}})
	posts(t, c, "import random, uuid\nrandom.seed(1)\nown = random.Random(1)\ndef draw(): return [random.random(), own.random()]\nn = 0")
	for _, next := range backends[1:] {
		stream, _ := stateOf(t, c)
		moved := spawn(t, l, cell.Spec{Backend: next, Imports: []string{"*"}})
		if err := moved.Restore(soon(t), bytes.NewReader(stream)); err != nil {
			t.Fatal(err)
		}
		if err := c.Thaw(soon(t)); err != nil {
			t.Fatal(err)
		}
		const draw = "for x in draw(): post(x)\npost(str(uuid.uuid4()))"
		here, there := posts(t, c, draw), posts(t, moved, draw)
		if here[0] == there[0] || here[2] == there[2] {
			t.Errorf("both cells draw %s and %s by the shared generator", here[0], here[2])
		}
		if here[1] != there[1] {
			t.Errorf("a generator of its own goes on with %s, and here with %s", there[1], here[1])
		}
		c = moved
	}
}

// A state that goes from cell to cell is nowhere whole in between.
func TestStateIsStreamed(t *testing.T) {
	const size = 200 << 20
	l := newLauncher(t, launch.Config{})
	spec := cell.Spec{Backend: cell.Process, Limits: cell.Limits{Memory: 2 * size}}
	c := spawn(t, l, spec)
	posts(t, c, fmt.Sprintf("blob = [bytes(1 << 20) for i in range(%d)]", size>>20))
	next := spawn(t, l, spec)
	pids := []int{os.Getpid(), report(t, c).HostPID}
	before := []int{peak(t, pids[0]), peak(t, pids[1])}
	r, w := io.Pipe()
	go func() {
		_, err := c.Snapshot(soon(t), func(p []byte) error { _, err := w.Write(p); return err })
		_ = w.CloseWithError(err)
	}()
	if err := next.Restore(soon(t), r); err != nil {
		t.Fatal(err)
	}
	for i, pid := range pids {
		if grown := peak(t, pid) - before[i]; grown > size/4 {
			t.Errorf("process %d grew by %d MiB for a state of %d MiB", i, grown>>20, size>>20)
		}
	}
	if got := posts(t, next, "post(sum(map(len, blob)))"); got[0] != fmt.Sprint(size) {
		t.Errorf("%s bytes have arrived", got)
	}
}

// peak is the most that a process has had resident, in bytes.
func peak(tb testing.TB, pid int) int {
	tb.Helper()
	var kib int
	for line := range strings.Lines(readText(tb, fmt.Sprintf("/proc/%d/status", pid))) {
		if n, err := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 && err == nil {
			return kib << 10
		}
	}
	tb.Fatalf("process %d has no VmHWM", pid)
	return 0
}
