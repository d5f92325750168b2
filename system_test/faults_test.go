package systemtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/kernel/policy"
)

func TestBadSources(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b})
		for name, tc := range map[string]struct {
			code string
			kind cell.Kind
			typ  string
		}{
			"syntax":        {"x = (", cell.GuestError, "SyntaxError"},
			"indent":        {"if 1:\nx", cell.GuestError, "IndentationError"},
			"nul":           {"x = 1\x00", cell.GuestError, "SyntaxError"},
			"not utf-8":     {"x = '\xff'", cell.GuestError, "SyntaxError"},
			"deep nesting":  {strings.Repeat("(", 100000) + strings.Repeat(")", 100000), cell.GuestError, ""},
			"deep unary":    {strings.Repeat("-", 50000) + "1", cell.GuestError, ""},
			"exit code":     {"raise SystemExit(3)", cell.GuestError, "SystemExit"},
			"own exception": {"class E(Exception): pass\nraise E('é')", cell.GuestError, "E"},
			"str() fails":   {"class E(Exception):\n def __str__(s): 1/0\nraise E", cell.GuestError, "E"},
			"group":         {"raise ExceptionGroup('g', [ValueError(1)])", cell.GuestError, "ExceptionGroup"},
			"too large":     {strings.Repeat("#", cell.DefaultMessageBytes+1), cell.Invalid, ""},
			"100 MB":        {strings.Repeat("x=1\n", 25<<20), cell.Invalid, ""},
		} {
			err := c.Exec(soon(t), cell.Source{Code: []byte(tc.code)})
			var e *cell.Error
			if !errors.As(err, &e) || (e.Kind != tc.kind && e.Kind != cell.MemoryExceeded) || (tc.typ != "" && e.Type != tc.typ) {
				t.Errorf("%s: %.200v, want %s %s", name, err, tc.kind, tc.typ)
			}
			alive(t, c)
		}
		for _, clean := range []string{"raise SystemExit", "raise SystemExit(0)", ""} {
			if err := c.Exec(soon(t), cell.Source{Code: []byte(clean)}); err != nil {
				t.Errorf("%q ends with %v", clean, err)
			}
		}
	})
}

func TestRecursionEndsInAnException(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"sys", "json"}})
		for _, src := range []string{
			"def f(): f()\nf()",
			"import sys\nsys.setrecursionlimit(10**8)\nclass B:\n def __init__(s): B()\nB()",
			"x = []\nfor i in range(10**6): x = [x]\nrepr(x)",
			"class A:\n def __getattr__(s, n): return getattr(s, n + 'x')\nA().y",
			"import json\njson.loads('[' * 10**6)",
		} {
			if err := c.Exec(soon(t), source("%s", src)); !errors.Is(err, cell.GuestError) && !errors.Is(err, cell.MemoryExceeded) {
				t.Errorf("%.40q ends with %v", src, err)
			}
			alive(t, c)
		}
	})
}

func TestMemoryBombs(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		neighbour := spawn(t, l, cell.Spec{Backend: b})
		for name, src := range map[string]string{
			"list":      "x = []\nwhile 1: x.append(['abc'] * 100)",
			"bytes":     "x = bytes(10**9)",
			"str":       "x = 'a' * 10**9",
			"int":       "x = 1 << 10**10",
			"dict":      "d = {}\ni = 0\nwhile 1:\n d[i] = i\n i += 1",
			"bytearray": "x = bytearray()\nwhile 1: x.extend(b'a' * 65536)",
			"mmap":      "import mmap\nkeep = []\nwhile 1: keep.append(mmap.mmap(-1, 1 << 20))",
			"one mmap":  "import mmap\nmmap.mmap(-1, 1 << 33)",
			"array":     "import array\nx = array.array('q', [0]) * (1 << 28)",
			"classes":   "class A: pass\nl = []\nwhile 1:\n a = A()\n a.x = a\n l.append(a)",
			"code":      "x = []\nwhile 1: x.append(compile('def f%d(): return 1' % len(x), 'x', 'exec'))",
			"catching":  "l = []\nn = 0\nwhile n < 50:\n try:\n  while 1: l.append([{}] * 10)\n except MemoryError: n += 1; del l[len(l)//2:]\nx = bytes(10**9)",
		} {
			c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"mmap", "array", "gc"}, Limits: cell.Limits{Memory: 32 << 20}})
			err := c.Exec(soon(t), source("%s", src))
			var e *cell.Error
			if !errors.As(err, &e) || (e.Kind != cell.MemoryExceeded && e.Type != "MemoryError" && e.Type != "OSError") {
				t.Errorf("%s: %v", name, err)
			}
			r, err := c.Inspect(soon(t))
			if err != nil || r.MemoryPeak > 34<<20 {
				t.Errorf("%s: peak %d of 32 MiB, %v", name, r.MemoryPeak, err)
			}
			if err := c.Exec(soon(t), source("x = l = d = keep = None")); err != nil {
				t.Errorf("%s: the guest cannot let go: %v", name, err)
			}
			// CPython keeps the names of compiled code interned for ever, and with
			// them every arena one lies in: that guest has used its memory up.
			spent := name == "code"
			if err := c.Exec(soon(t), source("import gc\ngc.collect()\ny = [str(i) for i in range(1000)]")); err != nil && !spent {
				t.Errorf("%s: the cell does not work afterwards: %v", name, err)
			}
			if err := c.Close(soon(t)); err != nil {
				t.Errorf("%s: close: %v", name, err)
			}
			alive(t, neighbour)
		}
	})
}

// Loops that never come back to the interpreter: the operation ends in time,
// other cells go on, the host is replaced.
func TestStuckInC(t *testing.T) {
	for _, src := range []string{"sum(range(10**12))", "import re\nre.match('(a+)+$', 'a' * 40 + 'b')", "pow(3, 10**9)",
		"from threading import Lock\nl = Lock()\nl.acquire()\nl.acquire()"} {
		t.Run(src[:3], func(t *testing.T) {
			// The neighbours have time to answer, and it is not the node that ends the operation.
			everyBackendBy(t, launch.Config{RetireGrace: patient, AnswerGrace: patient}, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
				neighbour := spawn(t, l, cell.Spec{Backend: b})
				c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"re", "threading"}, Limits: cell.Limits{Wall: 100 * time.Millisecond}})
				begun := time.Now()
				err := c.Exec(soon(t), source("%s", src))
				if !errors.Is(err, cell.Timeout) && !errors.Is(err, cell.CellGone) && !errors.Is(err, cell.MemoryExceeded) {
					t.Errorf("ends with %v", err)
				}
				if d := time.Since(begun); d > 20*time.Second {
					t.Errorf("took %s", d)
				}
				alive(t, neighbour)
				alive(t, spawn(t, l, cell.Spec{Backend: b}))
			})
		})
	}
}

func TestQuotas(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		all := []string{"*"}
		for name, tc := range map[string]struct {
			limits cell.Limits
			src    string
			want   cell.Kind
		}{
			"cpu":            {cell.Limits{CPU: 50 * time.Millisecond}, "while True: pass", cell.CPUExceeded},
			"cpu per window": {cell.Limits{CPUPerWindow: 30 * time.Millisecond, CPUWindow: time.Second}, "while True: pass", cell.CPUExceeded},
			"wall":           {cell.Limits{Wall: 50 * time.Millisecond}, "recv()", cell.Timeout},
			"output":         {cell.Limits{Output: 10000}, "while True: print('x' * 100)", cell.OutputExceeded},
			"posts":          {cell.Limits{Output: 10000, QueueItems: 1 << 16}, "while True: post('x' * 100)", cell.OutputExceeded},
			"threads":        {cell.Limits{}, "import threading\nthreading.Thread(target=print).start()", cell.ChildWorkExceeded},
			"thread bomb":    {cell.Limits{Children: 3}, "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(9,)).start()", cell.ChildWorkExceeded},
			"forged threads": {cell.Limits{Children: 3}, "import sys, threading, time\nsys.modules['_thread']._count = lambda: 0\nwhile True: threading.Thread(target=time.sleep, args=(9,)).start()", cell.ChildWorkExceeded},
			"nested threads": {cell.Limits{Children: 3}, "import sys, threading, time\nn = 0\ndef hook(event, args):\n global n\n if event.startswith('_thread.start') and n < 9:\n  n += 1\n  start()\ndef start(): threading.Thread(target=time.sleep, args=(9,)).start()\nsys.addaudithook(hook)\nstart()", cell.ChildWorkExceeded},
			"many threads":   {cell.Limits{Children: 1, CPU: 100 * time.Millisecond}, "import threading\ndef spin():\n while True: pass\nfor f in [int] * 80 + [spin]:\n t = threading.Thread(target=f)\n t.start()\n t.join()", cell.CPUExceeded},
			"workers":        {cell.Limits{Children: 2}, "from compression import zstd\nzstd.compress(bytes(1 << 20), options={zstd.CompressionParameter.nb_workers: 3})", cell.GuestError},
			"fork":           {cell.Limits{}, "import os\nos.fork()", cell.PolicyDenied},
			"system":         {cell.Limits{}, "import os\nos.system('true')", cell.PolicyDenied},
			"subprocess":     {cell.Limits{}, "import subprocess\nsubprocess.run(['true'])", cell.PolicyDenied},
			"_exit":          {cell.Limits{}, "import os\nos._exit(0)", cell.PolicyDenied},
			"abort":          {cell.Limits{}, "import os\nos.abort()", cell.PolicyDenied},
			"kill":           {cell.Limits{}, "import os\nos.kill(os.getpid(), 9)", cell.PolicyDenied},
			"files":          {cell.Limits{Files: 8}, "import os\nf = [open('/dev/null') for i in range(20)]", cell.PolicyDenied},
			"message":        {cell.Limits{MessageBytes: 4096}, "post('x' * 5000)", cell.GuestError},
		} {
			c := spawn(t, l, cell.Spec{Backend: b, Imports: all, Limits: tc.limits})
			if err := c.Exec(soon(t), source("%s", tc.src)); !errors.Is(err, tc.want) {
				t.Errorf("%s: %v, want %s\n%s", name, err, tc.want, traceback(err))
			}
			if err := c.Close(soon(t)); err != nil {
				t.Errorf("%s: close: %v", name, err)
			}
		}
	})
}

// Curses ends its process where it finds no terminal.
func TestScreensAreRefused(t *testing.T) {
	l := newLauncher(t, launch.Config{})
	c := spawn(t, l, cell.Spec{Backend: cell.Process, Imports: []string{"curses", "_curses"}})
	for _, src := range []string{"import _curses\n_curses.initscr()", "import sys\ndel sys.modules['_curses']\nimport _curses\n_curses.initscr()"} {
		if err := c.Exec(soon(t), source("%s", src)); !errors.Is(err, cell.PolicyDenied) {
			t.Errorf("%s: %v", src, err)
		}
	}
	alive(t, c)
}

// No cell has more threads than its region has room to count, whatever its limit is.
func TestThreadsThatCannotBeCounted(t *testing.T) {
	l := newLauncher(t, launch.Config{})
	c := spawn(t, l, cell.Spec{Imports: []string{"threading", "time"}, Limits: cell.Limits{Children: 1000}})
	err := c.Exec(soon(t), source("import threading, time\nthreading.stack_size(64 << 10)\nwhile True: threading.Thread(target=time.sleep, args=(9,)).start()"))
	if !errors.Is(err, cell.ChildWorkExceeded) || !strings.Contains(err.Error(), "limit of 256") {
		t.Errorf("it ends with %v\n%s", err, traceback(err))
	}
}

func TestCPUBudgetOutlivesTheOperation(t *testing.T) {
	everyBackendBy(t, launch.Config{KillGrace: patient}, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b, Limits: cell.Limits{CPU: 40 * time.Millisecond}})
		_ = c.Exec(soon(t), source("while True: pass"))
		if err := c.Exec(soon(t), source("while True: pass")); !errors.Is(err, cell.CPUExceeded) {
			t.Errorf("the second exec on a spent budget: %v", err)
		}
		w := spawn(t, l, cell.Spec{Backend: b, Limits: cell.Limits{CPUPerWindow: 40 * time.Millisecond, CPUWindow: 200 * time.Millisecond}})
		_ = w.Exec(soon(t), source("while True: pass"))
		for begun := time.Now(); ; {
			if err := w.Exec(soon(t), source("x = 1")); err == nil {
				break
			} else if !errors.Is(err, cell.CPUExceeded) || time.Since(begun) > 20*time.Second {
				t.Fatalf("the next window does not come: %v", err)
			}
		}
	})
}

// A guest that brings its process down costs its own tenant's cells and nobody
// else, and each failure names its cause.
func TestCrash(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		victim := spawn(t, l, cell.Spec{Backend: b, Tenant: "crashing"})
		other := spawn(t, l, cell.Spec{Backend: b, Tenant: "other"})
		running := make(chan error, 1)
		go func() { running <- victim.Exec(soon(t), source("while True: pass")) }()
		segfaultRunningCell(t, waitBusy(t, victim))
		err := <-running
		if !errors.Is(err, cell.CellGone) || (!strings.Contains(err.Error(), "segmentation fault") && !strings.Contains(err.Error(), "SIGSEGV")) {
			t.Errorf("a crash ends exec with %v", err)
		}
		<-victim.Done()
		alive(t, other)
		alive(t, spawn(t, l, cell.Spec{Backend: b, Tenant: "crashing"}))
	})
}

// waitBusy returns the pid of the cell's host when the cell runs.
func waitBusy(t *testing.T, c cell.Cell) (hostPID int) {
	t.Helper()
	for ctx := soon(t); ; {
		r, err := c.Inspect(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if r.Busy {
			return r.HostPID
		}
	}
}

func TestCloseWhileBusyAndKillWhileImporting(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		for range 20 {
			c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"*"}})
			done := make(chan error, 1)
			go func() {
				done <- c.Exec(soon(t), source("import asyncio, unittest, email.message, xml.dom.minidom, decimal, typing"))
			}()
			waitBusyOrDone(t, c, done)
			c.Kill("test")
			<-c.Done()
		}
		c := spawn(t, l, cell.Spec{Backend: b})
		done := make(chan error, 1)
		go func() { done <- c.Exec(soon(t), source("while True: pass")) }()
		waitBusy(t, c)
		if err := c.Close(soon(t)); err != nil {
			t.Errorf("close while busy: %v", err)
		}
		if err := <-done; err == nil {
			t.Error("exec in a closed cell succeeded")
		}
		alive(t, spawn(t, l, cell.Spec{Backend: b}))
	})
}

func waitBusyOrDone(t *testing.T, c cell.Cell, done chan error) {
	t.Helper()
	for {
		r, err := c.Inspect(soon(t))
		if err != nil || r.Busy || len(done) > 0 {
			return
		}
	}
}

func TestManyAtOnce(t *testing.T) {
	cells := 200
	if testing.Short() {
		cells = 20
	}
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		var all sync.WaitGroup
		for worker := range 8 {
			all.Go(func() {
				for i := range cells {
					if err := oneLife(l, b, fmt.Sprintf("m-%d-%d", worker, i)); err != nil {
						t.Errorf("worker %d, cell %d: %v", worker, i, err)
						return
					}
				}
			})
		}
		all.Wait()
	})
}

func oneLife(l *launch.Launcher, b cell.Backend, name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := l.Spawn(ctx, cell.Spec{Backend: b, Name: name, Imports: []string{"json"}})
	if err != nil {
		return fmt.Errorf("spawn: %w", err)
	}
	if err := c.Exec(ctx, cell.Source{Code: []byte("import json\npost(json.loads('[1]'))")}); err != nil {
		return fmt.Errorf("exec: %w", err)
	}
	item, err := c.Recv(ctx)
	if err != nil || !bytes.Equal(item.Value.Data, []byte("[1]")) {
		return fmt.Errorf("recv: %v, %w", item, err)
	}
	return c.Close(ctx)
}

// A guest that asks without end is answered at the node's pace, and no other cell of
// its host waits for that.
func TestRequestFlood(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		var served atomic.Int64
		sink := &recorder{answer: func(cell.Request) (cell.Value, error) {
			served.Add(1)
			return cell.BytesValue(make([]byte, 100_000)), nil
		}}
		flood := spawn(t, l, cell.Spec{Backend: b, Sink: sink, Imports: []string{"threading"},
			Limits: cell.Limits{Children: 8}})
		quiet := spawn(t, l, cell.Spec{Backend: b})
		done := make(chan error, 1)
		go func() {
			done <- flood.Exec(soon(t), source("%s", `import threading
def ask():
    while True: request("c", "a", {"x": "y" * 100000})
for _ in range(7): threading.Thread(target=ask).start()
ask()`))
		}()
		await.That(t, "something is asked", func() bool { return served.Load() > 0 })
		for range 100 {
			alive(t, quiet)
		}
		relimit(t, flood, cell.Limits{Children: 8, Wall: time.Millisecond})
		if err := <-done; !errors.Is(err, cell.Timeout) && !errors.Is(err, cell.CellGone) {
			t.Errorf("the flood ends with %v", err)
		}
		alive(t, quiet)
	})
}

func TestOutputFlood(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		flood := spawn(t, l, cell.Spec{Backend: b})
		quiet := spawn(t, l, cell.Spec{Backend: b})
		done := make(chan error, 1)
		go func() { done <- flood.Exec(soon(t), source("while True: print('x' * 1000)")) }()
		await.That(t, "something is printed", func() bool { r := report(t, flood); return r.Logs+r.LogsLost > 0 })
		for range 100 {
			alive(t, quiet)
		}
		relimit(t, flood, cell.Limits{Wall: time.Millisecond})
		if err := <-done; !errors.Is(err, cell.Timeout) {
			t.Errorf("the flood ends with %v", err)
		}
	})
}

// What is mapped of a file counts while it is, and gives back what it took: SQLite maps files.
func TestMappedFilesGiveNoMemory(t *testing.T) {
	l := newLauncher(t, launch.Config{})
	path := newTree(t) + "/a/base"
	maker := spawn(t, l, cell.Spec{Imports: []string{"sqlite3"}, Limits: cell.Limits{Memory: 128 << 20, MessageBytes: 64 << 20}})
	if err := maker.Exec(soon(t), source("import sqlite3\ndef make():\n b = sqlite3.connect(':memory:')\n b.execute('create table t (b)')\n"+
		" b.execute('insert into t values (zeroblob(24 << 20))')\n b.commit()\n return b.serialize()")); err != nil {
		t.Fatal(err)
	}
	base, err := maker.Call(soon(t), cell.Invocation{Target: "make"})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, base.Data, 0o666); err != nil {
		t.Fatal(err)
	}
	c := spawn(t, l, cell.Spec{Backend: cell.Process, Imports: []string{"sqlite3"}, Policy: fileRules(policy.FileRule{Path: filepath.Dir(path), Access: policy.Read | policy.Write}), Limits: cell.Limits{Memory: 64 << 20}})
	err = c.Exec(soon(t), source(`import sqlite3
def look():
    b = sqlite3.connect(%q)
    b.execute('pragma mmap_size = 33554432')
    post(b.execute('select length(b), substr(b, 9999999, 1) from t').fetchone()[0])
    b.close()
for i in range(9): look()
x = bytearray(65 << 20)`, path))
	if !errors.Is(err, cell.MemoryExceeded) {
		t.Errorf("it ends with %v\n%s", err, traceback(err))
	}
}

// Who cuts a file that SQLite shares with others by mapping it ends no other cell.
func TestCutFilesEndNoHost(t *testing.T) {
	l := newLauncher(t, launch.Config{})
	path := newTree(t) + "/a/base"
	quiet := spawn(t, l, cell.Spec{})
	c := spawn(t, l, cell.Spec{Imports: []string{"sqlite3"}, Policy: fileRules(policy.FileRule{Path: filepath.Dir(path), Access: policy.Read | policy.Write})})
	err := c.Exec(soon(t), source(`import sqlite3
b = sqlite3.connect(%[1]q)
try:
    b.execute('pragma journal_mode = wal')
    b.execute('create table t (a)')
    open(%[1]q + '-shm', 'r+b').truncate(0)
    b.execute('insert into t values (1)')
except (sqlite3.Error, OSError): pass
b.close()`, path))
	if err != nil {
		t.Errorf("it ends with %v\n%s", err, traceback(err))
	}
	alive(t, quiet)
	got := posts(t, c, fmt.Sprintf(`b = sqlite3.connect(%q)
b.execute('pragma locking_mode = exclusive')
post(b.execute('pragma journal_mode = wal').fetchone()[0])
b.execute('create table if not exists u (a)')
b.execute('insert into u values (2)')
b.commit()
post(b.execute('select a from u').fetchone()[0])`, path))
	if strings.Join(got, " ") != `"wal" 2` {
		t.Errorf("with a lock for itself it says %q", got)
	}
}
