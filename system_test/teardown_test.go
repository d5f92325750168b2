package systemtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/kernel/stack"
)

// What runs when an interpreter is taken apart meets the same gate: a guest's finalisers
// end no host and make no file, with nothing but Python's gate around them.
func TestFinalisersMeetTheGate(t *testing.T) {
	l := newLauncher(t, launch.Config{PoolSize: -1, Confinement: stack.Compatibility})
	sibling := spawn(t, l, cell.Spec{})
	canary := filepath.Join(t.TempDir(), "written")
	shared := "/" + filepath.Base(filepath.Dir(canary)) + strconv.Itoa(os.Getpid())
	t.Cleanup(func() { _ = os.Remove("/dev/shm" + shared) })
	for name, program := range map[string]string{
		"ends the process":   "class X:\n    def __del__(s, S=type(sys.implementation), imp=sys.modules['_imp']):\n        imp.create_builtin(S(name='posix'))._exit(7)\n",
		"writes a file":      "class X:\n    def __del__(s, open=io.open):\n        open(" + strconv.Quote(canary) + ", 'w').write('x')\n",
		"writes a file in C": "class X: __del__ = staticmethod(map(open, [" + strconv.Quote(canary) + "] * 9, ['w'] * 9).__next__)\n",
		"makes a module in C": "import operator\nshm = map(sys.modules['_imp'].create_builtin, map(type(sys.implementation), [{'name': '_posixshmem'}] * 9))\n" +
			"class X: __del__ = staticmethod(map(operator.call, map(getattr, shm, ['shm_open'] * 9), [" + strconv.Quote(shared) + "] * 9, [0o102] * 9).__next__)\n",
		"imports": "class X:\n    def __del__(s, imp=__import__):\n        imp('os')._exit(7)\n",
	} {
		c := spawn(t, l, cell.Spec{Imports: []string{"sys", "io", "operator"}})
		hide := "m = type(sys)('m'); m.x = X(); sys.modules['m'] = m; sys.keep = X(); io.keep = X()"
		if err := c.Exec(soon(t), source("import sys, io\n%s%s", program, hide)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := c.Close(soon(t)); err != nil {
			t.Errorf("%s: close: %v", name, err)
		}
		if err := sibling.Exec(soon(t), source("pass")); err != nil {
			t.Fatalf("%s: the sibling: %v", name, err)
		}
	}
	for _, path := range []string{canary, "/dev/shm" + shared} {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s was made: %v", path, err)
		}
	}
}

// Our own Python code is loaded in the guest's interpreter when it is wanted. A guest that
// has replaced what that code calls gains no memory, whether the load fails or comes to
// itself again.
func TestLoadsOfOurOwnGiveNoMemory(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b, Limits: cell.Limits{Memory: 32 << 20}})
		err := c.Exec(soon(t), source(`import builtins, pyisolate_guest as g
keep, real = [], builtins.__build_class__
def evil(*a, **k):
    keep.append(bytearray(250 << 10))
    raise KeyError
try:
    for i in range(400):
        builtins.__build_class__ = evil
        try: g._c.load("errors")
        except KeyError: pass
finally:
    builtins.__build_class__ = real
post(sum(map(len, keep)) >> 20)`))
		if b == cell.SubInterpreter && !errors.Is(err, cell.MemoryExceeded) {
			t.Errorf("100 MiB in 32: %v, memory %d", err, report(t, c).Memory)
		}
	})
}

// A class may hash itself by the guest's code, and that may delete what we look in.
func TestErrorsOfHostileClasses(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b})
		err := c.Exec(soon(t), source(`import pyisolate_guest as g
g.PolicyDenied
armed = False
class M(type):
    def __hash__(c):
        if armed:
            g.__dict__.pop("_kind_of", None)
            global spray
            spray = [bytearray(b"A" * 48) for i in range(20000)]
        return 1
class E(Exception, metaclass=M): pass
for i in range(2000): g._kind_of[type("X%%d" %% i, (Exception,), {})] = 1
armed = True
raise E()`))
		if !errors.Is(err, cell.GuestError) || !strings.Contains(err.Error(), "E") {
			t.Errorf("it ends with %v", err)
		}
		alive(t, c)
	})
}

// Modules are patched when they are made, and gc does not find what the gate wraps.
func TestUnexecutedModulesArePatched(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"sys", "gc", "time"}})
		got := posts(t, c, `import sys, gc
S = type(sys.implementation)
sleep = sys.modules["_imp"].create_builtin(S(name="time")).sleep
import time
post(sleep.__doc__ == time.sleep.__doc__)
post([o for o in gc.get_objects() if type(o) is type(len) and o.__name__ == "create_builtin" and o.__self__ is not None])`)
		if strings.Join(got, " ") != "true []" {
			t.Errorf("posted %q", got)
		}
	})
}

// A guest whose last words never end costs what SECURITY.md says: its own cell in backend
// process; in the other its tenant's host, if C code is what does not end. No other tenant notices, and its own goes on.
func TestEndThatNeverEnds(t *testing.T) {
	const loops = "class Last:\n def __del__(self):\n  while True: pass"
	const defies = "class Last:\n def __del__(self):\n  while True:\n   try:\n    while True: pass\n   except BaseException: pass"
	const inC = "import functools\nclass Last: __del__ = staticmethod(functools.partial(sum, range(10**12)))"
	for _, tc := range []struct {
		backend cell.Backend
		last    string
		retires bool
	}{
		{cell.SubInterpreter, loops, false}, {cell.SubInterpreter, defies, false}, {cell.SubInterpreter, inC, true},
		{cell.Process, loops, false}, {cell.Process, defies, false}, {cell.Process, inC, false},
	} {
		l := newLauncher(t, launch.Config{PoolSize: -1, RetireGrace: 100 * time.Millisecond})
		neighbour := spawn(t, l, cell.Spec{Backend: tc.backend, Tenant: "neighbour"})
		sibling := spawn(t, l, cell.Spec{Backend: tc.backend})
		c := spawn(t, l, cell.Spec{Backend: tc.backend, Imports: []string{"functools"}})
		if err := c.Exec(soon(t), source("%s\nkept = Last()", tc.last)); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(soon(t)); err != nil {
			t.Errorf("%s: close: %v", tc.backend, err)
		}
		if tc.retires {
			<-sibling.Done()
		} else {
			alive(t, sibling)
		}
		alive(t, neighbour)
		alive(t, spawn(t, l, cell.Spec{Backend: tc.backend}))
	}
}

// cellThreads is how many threads of a cell's host are cells'.
func cellThreads(t *testing.T, c cell.Cell) (n int) {
	t.Helper()
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/comm", report(t, c).HostPID))
	for _, file := range files {
		if name, _ := os.ReadFile(file); string(name) == "pyisolate-cell\n" {
			n++
		}
	}
	return n
}

// Threads that a guest leaves are interrupted at its cell's end. One that stays costs its host, as a guest's own code does that
// stays in C.
func TestThreadsThatTheGuestLeaves(t *testing.T) {
	const work = "import hashlib, threading, time\ndef work(begun):\n begun.set()\n %s\nbegun = threading.Event()\n" +
		"threading.Thread(target=work, args=(begun,)).start()\nbegun.wait()"
	for name, tc := range map[string]struct {
		program string
		retires bool // in backend subinterpreter
	}{
		"computes": {fmt.Sprintf(work, "while True: pass"), false},
		"defies":   {fmt.Sprintf(work, "while True:\n  try:\n   while True: pass\n  except BaseException: pass"), false},
		"sleeps":   {fmt.Sprintf(work, "time.sleep(3600)"), false},
		"receives": {fmt.Sprintf(work, "recv()"), false},
		// Not by Thread.start, which waits for ever for one that was interrupted before it had begun.
		"starts others":  {fmt.Sprintf(work, "while True:\n  try: threading._start_joinable_thread(lambda: time.sleep(0.001))\n  except ChildWorkExceeded: pass"), false},
		"stays in C":     {fmt.Sprintf(work, "hashlib.pbkdf2_hmac('sha256', b'', b'', 2**31 - 1)"), true},
		"waits for ever": {"import threading\nlock = threading.Lock()\nlock.acquire()\nthreading.Thread(target=lock.acquire).start()", true},
	} {
		for _, b := range []cell.Backend{cell.SubInterpreter, cell.Process} {
			t.Run(name+"/"+string(b), func(t *testing.T) {
				l := newLauncher(t, launch.Config{PoolSize: -1, RetireGrace: 100 * time.Millisecond})
				sibling := spawn(t, l, cell.Spec{Backend: b})
				c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"hashlib", "threading", "time"}, Limits: cell.Limits{Children: 4}})
				if err := c.Exec(soon(t), source("%s", tc.program)); err != nil {
					t.Fatalf("%v\n%s", err, traceback(err))
				}
				if err := c.Close(soon(t)); err != nil {
					t.Errorf("close: %v", err)
				}
				switch {
				case b == cell.Process:
				case tc.retires:
					<-sibling.Done()
				default:
					await.That(t, "the cell's own thread ends, and its host stays", func() bool { return cellThreads(t, sibling) == 1 })
				}
				if !tc.retires || b == cell.Process {
					alive(t, sibling)
				}
				alive(t, spawn(t, l, cell.Spec{Backend: b}))
			})
		}
	}
}

// Where the interpreter ends no thread begins: CPython would free that under it.
func TestNoThreadBeginsInTheEnd(t *testing.T) {
	l := newLauncher(t, launch.Config{PoolSize: -1})
	c := spawn(t, l, cell.Spec{Backend: cell.SubInterpreter, Imports: []string{"threading", "time"}})
	if err := c.Exec(soon(t), source("%s", `import threading, time
def late(start=threading._start_joinable_thread, nap=time.sleep, post=post):
 while True:
  try:
   start(lambda: nap(0.001))
   post("it begins")
  except RuntimeError as e:
   post(str(e))
  except BaseException: # an interrupt
   continue
  break
threading._shutdown = late`)); err != nil {
		t.Fatalf("%v\n%s", err, traceback(err))
	}
	if err := c.Close(soon(t)); err != nil {
		t.Fatal(err)
	}
	var said []string
	item, err := c.Recv(soon(t))
	for ; err == nil; item, err = c.Recv(soon(t)) {
		said = append(said, string(item.Value.Data))
	}
	if !slices.Equal(said, []string{`"no thread begins while the interpreter ends"`}) || !errors.Is(err, cell.CellGone) {
		t.Errorf("%q, %v", said, err)
	}
}
