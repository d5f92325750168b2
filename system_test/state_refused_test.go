package systemtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
)

// discard takes a snapshot that is to fail, and returns why it does.
func discard(tb testing.TB, c cell.Cell) error {
	tb.Helper()
	_, err := c.Snapshot(soon(tb), func([]byte) error { return nil })
	if err == nil {
		tb.Error("a snapshot was taken")
		if err := c.Thaw(soon(tb)); err != nil {
			tb.Fatal(err)
		}
	}
	return err
}

// What no state can carry is named by its place, and the cell goes on.
func TestStateRefusesByPlace(t *testing.T) {
	const classes = "class C: pass\ndef gen(): yield\n"
	cases := []struct{ name, source, want string }{
		{"generator", "g = gen()", "globals['g']: generator"},
		{"socket", "import socket\nconn = socket.socket.__new__(socket.socket)", "globals['conn']: socket"},
		{"lock", "import threading\nx = {'a': [threading.Lock()]}", "globals['x']['a'][0]: lock"},
		{"file", "import io\nf = C()\nf.text = io.TextIOWrapper(io.BytesIO())", "globals['f'].text: TextIOWrapper"},
		{"iterator of itertools", "import itertools\nx = itertools.count()", "globals['x']: count"},
		{"closure", "class H: pass\nx = C(); x.items = [0, 1, 2, H()]\ndef make(f):\n    return lambda: f\nx.items[3].handler = make(gen())",
			"globals['x'].items[3].handler.<closure 'f'>: generator"},
		{"default", "def f(a, b=gen()): pass", "globals['f'].<default 'b'>: generator"},
		{"class attribute", "class D: g = [gen()]", "globals['D'].g[0]: generator"},
		{"attribute of the class of an instance", "def make():\n    class D: g = gen()\n    return D()\nd = make()", "globals['d'].__class__.g: generator"},
		{"slot", "class D: __slots__ = ('s',)\nd = D(); d.s = gen()", "globals['d'].s: generator"},
		{"hidden slot", "class D: __slots__ = ('s',)\nclass E(D): s = 1\ne = E(); D.s.__set__(e, gen())", "globals['e'].s: generator"},
		{"key", "x = {gen(): 1}", "globals['x'].<key>: generator"},
		{"set", "x = {1, gen()}", "globals['x'].<member>: generator"},
		{"partial", "import functools\nx = functools.partial(print, gen())", "globals['x'].args[0]: generator"},
		{"bound method", "c = C(); c.g = gen()\nC.m = lambda self: 0\nx = [c.m]\ndel c", "globals['x'][0].__self__.g: generator"},
		{"exception", "e = ValueError(gen())", "globals['e'].args[0]: generator"},
		{"derived from the library's", "import datetime\nclass D(datetime.date): pass\nx = D(2020, 1, 1)\nx.g = gen()", "globals['x'].g: generator"},
		{"proxy with a callback", "import weakref\nf = C()\nx = weakref.proxy(f, print)", "globals['x']: ProxyType"},
		{"derived from what C code makes", "import struct\nclass D(struct.Struct): pass\nx = [D('<I')]", "globals['x'][0]: D"},
		{"deque", "import collections\nx = collections.deque([1, gen()])", "globals['x'][1]: generator"},
		{"property", "class D:\n    p = property(gen().send)", "globals['D'].p.fget.__self__: generator"},
		{"coroutine", "async def a(): pass\nx = a()", "globals['x']: coroutine"},
		{"frame", "try: 1/0\nexcept Exception as e: x = e.__traceback__", "globals['x']: traceback"},
		{"memory", "x = memoryview(b'a')", "globals['x']: memoryview"},
		{"module made by hand", "import types\nx = types.ModuleType('x')", "globals['x']: module"},
		{"its own words", "class D:\n    def __reduce__(self): raise ValueError('no')\nx = [D()]", "globals['x'][0]: D, which raised ValueError: no"},
		{"a global's name", "class D:\n    def __reduce__(self): return 'x'\nx = D()", "globals['x']: D, which raised TypeError: its __reduce__ names the global 'x'"},
		{"hook of an instance", "class D:\n    def __checkpoint__(self): return 1/0\n    def __restore__(self, s): pass\nx = D()",
			"globals['x']: D, which raised ZeroDivisionError: division by zero"},
		{"what a hook returns", "class D:\n    def __checkpoint__(self): return [gen()]\n    def __restore__(self, s): pass\nx = D()",
			"globals['x'].__checkpoint__()[0]: generator"},
		{"half a hook", "class D:\n    def __checkpoint__(self): pass\nx = D()", "globals['x']: D, which raised TypeError: it has __checkpoint__ but no __restore__"},
		{"hook of the module", "def __checkpoint__(names): raise KeyError('k')", "__checkpoint__ raised KeyError: 'k'"},
	}
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		for _, tc := range cases {
			t.Run(tc.name, func(t *testing.T) {
				c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"*"}})
				posts(t, c, classes+tc.source)
				err := discard(t, c)
				var e *cell.Error
				if !errors.As(err, &e) || e.Kind != cell.NotCheckpointable || e.Message != tc.want {
					t.Fatalf("%v\nwant NotCheckpointable: %s\n%s", err, tc.want, traceback(err))
				}
				alive(t, c)
				posts(t, c, "for name in 'g conn x f d D e __checkpoint__'.split(): globals().pop(name, None)")
				if _, err := c.Snapshot(soon(t), func([]byte) error { return nil }); err != nil {
					t.Errorf("without it: %v", err)
				}
			})
		}
	})
}

// What a snapshot has seen is the guest's alone afterwards, also when it was refused: it ends when the guest lets go of it.
func TestStateIsLetGo(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		for name, refused := range map[string]string{"taken": "", "refused": "g = (i for i in [])\n"} {
			t.Run(name, func(t *testing.T) {
				c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"weakref", "gc"}})
				posts(t, c, "import gc, weakref\ngc.disable()\nclass C: pass\nc = C()\nr = weakref.ref(c)\n"+refused)
				_, err := c.Snapshot(soon(t), func([]byte) error { return nil })
				if (err == nil) != (refused == "") {
					t.Fatalf("the snapshot: %v", err)
				}
				if refused == "" {
					if err := c.Thaw(soon(t)); err != nil {
						t.Fatal(err)
					}
				}
				if got := posts(t, c, "del c\npost(r() is None)"); !slices.Equal(got, []string{"true"}) {
					t.Errorf("the guest has let go of it: %v", got)
				}
			})
		}
	})
}

func TestStateRefusesRunningThreads(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"*"}, Limits: cell.Limits{Children: 2}})
		const thread = "import threading\ndone = False\ndef work():\n    while not done: pass\n"
		posts(t, c, thread+"ends = []\ndef start():\n    t = threading.Thread(target=work)\n    t.start()\n    ends.append(t.join)\nstart()")
		if err := discard(t, c); !errors.Is(err, cell.NotCheckpointable) || !strings.Contains(err.Error(), "threads: 1 of the guest's run") {
			t.Errorf("with a thread: %v", err)
		}
		posts(t, c, "done = True\nfor end in ends: end()\nends.clear()\ndel end")
		posts(t, c, "class D:\n    def __reduce__(self):\n        global done\n        done = False\n        start()\n        return D, ()\nd = D()")
		if err := discard(t, c); !errors.Is(err, cell.NotCheckpointable) {
			t.Errorf("with a thread that it starts itself: %v", err)
		}
		posts(t, c, "done = True\nfor end in ends: end()")
	})
}

// A guest that changes things under the pickler gets a state or a refusal, and loses nothing.
func TestStateOfChangingGuest(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		for name, change := range map[string]string{
			"grows": "table[len(table)] = 1", "shrinks": "table.popitem()", "clears": "table.clear(); rows.clear()",
			"forgets": "globals().clear()",
		} {
			t.Run(name, func(t *testing.T) {
				c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"*"}})
				posts(t, c, "class D:\n    def __reduce__(self):\n        "+change+"\n        return int, ()\n"+
					"table = {}\nrows = [D(), table]\ntable.update((i, D()) for i in range(50))\nrows += [D()] * 10")
				_, err := c.Snapshot(soon(t), func([]byte) error { return nil })
				if err != nil && cell.KindOf(err) != cell.NotCheckpointable && cell.KindOf(err) != cell.GuestError {
					t.Errorf("%v\n%s", err, traceback(err))
				}
				if err := c.Thaw(soon(t)); err != nil {
					t.Fatal(err)
				}
				alive(t, c)
			})
		}
	})
}

func TestStateSaysNothingMeanwhile(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		for _, call := range []string{"post(1)", "recv(0)", "request('x', 'y')"} {
			c := spawn(t, l, cell.Spec{Backend: b})
			posts(t, c, "class D:\n    def __reduce__(self): return int, ("+call+",)\nd = D()")
			if err := discard(t, c); err == nil || !strings.Contains(err.Error(), "not while the state is taken out") {
				t.Errorf("%s: %v", call, err)
			}
			alive(t, c)
		}
	})
}

// What a guest hands to the functions of our own that a save calls may go, and take away what they look at.
func TestStateLooksAtWhatIsThere(t *testing.T) {
	const attack = `import pyisolate_guest
class Box: pass
class Entry:
    def __del__(self):
        del holder['x']
        kept.extend(bytearray(56) for i in range(2000))
kept, holder = [], {'x': [[i, [i]] for i in range(1000)]}
def __checkpoint__(names):
    plain = pyisolate_guest._c.plain
    plain(holder, 'x', ((Entry(), (Box,)),))
    raise ValueError(f"{plain(holder, 'x', ())[2]}, then {plain(holder, 'x', ())[2]}")`
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b})
		posts(t, c, attack)
		if err := discard(t, c); err == nil || !strings.Contains(err.Error(), "2001, then 0") {
			t.Errorf("snapshot: %v", err)
		}
		alive(t, c)
	})
}

// A graph as deep as programs have is carried; one that is deeper than any stack is refused.
func TestStateOfDeepGraphs(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		for name, deep := range map[string]string{
			"lists": "x = None\nfor i in range(%d): x = [x]",
			"nodes": "class N:\n    def __init__(self, next): self.next = next\nx = None\nfor i in range(%d): x = N(x)",
		} {
			t.Run(name, func(t *testing.T) {
				c := spawn(t, l, cell.Spec{Backend: b, Limits: cell.Limits{Memory: 512 << 20}})
				posts(t, c, strings.ReplaceAll(deep, "%d", "20_000"))
				c = movedTo(t, l, c)
				got := posts(t, c, "n = 0\nwhile x: n, x = n + 1, x[0] if type(x) is list else x.next\npost(n)")
				if len(got) != 1 || got[0] != "20000" {
					t.Errorf("depth %s after the move", got)
				}
				posts(t, c, strings.ReplaceAll(deep, "%d", "1_000_000"))
				err := discard(t, c)
				if !errors.Is(err, cell.NotCheckpointable) || !strings.Contains(err.Error(), "nested too deeply") {
					t.Errorf("a depth of 1,000,000: %v", err)
				}
				alive(t, c)
				posts(t, c, "try: repr(x)\nexcept RecursionError: pass\nx = None") // the stack's bounds are its own again
				alive(t, c)
			})
		}
	})
}

func TestStateHooksAreBounded(t *testing.T) {
	everyBackend(t, func(t *testing.T, _ *launch.Launcher, b cell.Backend) {
		l := newLauncher(t, launch.Config{KillGrace: patient})
		short := func() context.Context {
			ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
			t.Cleanup(cancel)
			return ctx
		}
		c := spawn(t, l, cell.Spec{Backend: b})
		posts(t, c, "loops = True\ndef __checkpoint__(names):\n    while loops: pass\ndef __restore__():\n    while True: pass")
		if _, err := c.Snapshot(short(), func([]byte) error { return nil }); !errors.Is(err, cell.Timeout) {
			t.Errorf("a hook that loops: %v", err)
		}
		posts(t, c, "loops = False")
		state, _ := stateOf(t, c)
		next := spawn(t, l, cell.Spec{Backend: b})
		if err := next.Restore(short(), bytes.NewReader(state)); !errors.Is(err, cell.Timeout) {
			t.Errorf("a hook that loops in a restore: %v", err)
		}
		select {
		case <-next.Done():
		case <-soon(t).Done():
			t.Error("the cell lives on")
		}
	})
}

// The memory limit holds while a state is taken, and a state needs little beside itself.
func TestStateWithinMemory(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b, Limits: cell.Limits{Memory: 64 << 20}})
		posts(t, c, "blob = bytes(50 << 20)")
		c = movedTo(t, l, c)
		if got := posts(t, c, "post(len(blob))"); got[0] != "52428800" {
			t.Errorf("%s bytes after the move", got)
		}
		posts(t, c, "blob = None\nclass C:\n    __slots__ = tuple('abcde')\nmany = [C() for i in range(600_000)]")
		if err := discard(t, c); !errors.Is(err, cell.MemoryExceeded) {
			t.Errorf("a state whose bookkeeping exceeds the limit: %v", err)
		}
		alive(t, c)
	})
}

// What the guest's code does while a state is put in may not take away what the C code is at work on.
func TestStateDoesNotEndUnderItself(t *testing.T) {
	const attack = `import sys, pyisolate_guest
class Number:
    def __index__(self):
        global taken
        pyisolate_guest._c.state_whole()
        taken = ["taken"]
        return 0
def number():
    raise AssertionError(f'it gave {pyisolate_guest._c.state_code(Number())}')
met = []
def hook(event, args):
    if event in ("marshal.loads", "code.__new__") and not met:
        met.append(event)
        %s
def audit():
    sys.addaudithook(hook)
class Attack:
    def __init__(self, do): self.do = do
    def __reduce__(self): return self.do, ()
`
	for name, does := range map[string]struct{ hook, source string }{
		"number": {"pass", "a = Attack(number)"},
		"end":    {"pyisolate_guest._c.state_whole()", "a = Attack(audit)\nb = ['x' * 300_000]\nd = [lambda: met]"},
		"read":   {"pyisolate_guest._c.read_state()", "a = Attack(audit)\nb = ['x' * 300_000]\nd = [lambda: met]\ne = ['x' * 300_000]\nf = [lambda: a]"},
	} {
		t.Run(name, func(t *testing.T) {
			everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
				c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"sys"}})
				posts(t, c, fmt.Sprintf(attack, does.hook)+does.source)
				state, _ := stateOf(t, c)
				next := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"sys"}})
				err := next.Restore(soon(t), bytes.NewReader(state))
				if err == nil || !strings.Contains(err.Error(), "no state is moved now") {
					t.Fatalf("restore: %v", err)
				}
			})
		})
	}
}
