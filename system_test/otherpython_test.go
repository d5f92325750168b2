package systemtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
)

// otherEnv names Pythons beside the one that all tests use, as PATH does.
const otherEnv = "PYISOLATE_TEST_PYTHON"

// What cells promise holds on whatever Python they run, be its extension modules
// built in or files.
func TestOtherPython(t *testing.T) {
	paths := filepath.SplitList(os.Getenv(otherEnv))
	if len(paths) == 0 {
		t.Skip(otherEnv + " names no other Python")
	}
	for _, path := range paths {
		t.Run(path, func(t *testing.T) {
			d, p, err := pythonAt(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range []cell.Backend{cell.SubInterpreter, cell.Process} {
				l := newLauncher(t, launch.Config{Python: p})
				for name, test := range map[string]func(*testing.T, *launch.Launcher, cell.Backend){
					"operations": func(t *testing.T, l *launch.Launcher, b cell.Backend) {
						operate(t, l, b, fmt.Sprintf(`"%d.%d"`, d.Major, d.Minor))
					},
					"modules": importFromFiles, "limits": meetLimits, "gate": meetGate, "threads": shareTheRings,
				} {
					t.Run(string(b)+"/"+name, func(t *testing.T) { test(t, l, b) })
				}
			}
		})
	}
}

func operate(t *testing.T, l *launch.Launcher, b cell.Backend, version string) {
	t.Helper()
	rec := &recorder{answer: func(q cell.Request) (cell.Value, error) { return q.Payload, nil }}
	c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"sys"}, Sink: rec})
	if err := c.Send(soon(t), cell.BytesValue([]byte("in"))); err != nil {
		t.Fatal(err)
	}
	got := posts(t, c, "import sys\npost('%d.%d' % sys.version_info[:2])\npost(recv().decode())\npost(request('a', 'b', [1.5]))\n"+
		"print('out')\nlog('info', 'said', n=1)\nmetric('m', 2)\ndef twice(x): return x * 2")
	if d := cmp.Diff([]string{version, `"in"`, "[1.5]"}, got); d != "" {
		t.Errorf("posts (-want +got):\n%s", d)
	}
	if v, err := c.Call(soon(t), cell.Invocation{Target: "twice", Args: []byte(`["é"]`)}); err != nil || string(v.Data) != `"éé"` {
		t.Errorf("call answered %s, %v", v.Data, err)
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if len(rec.logs) != 2 || len(rec.samples) != 1 {
		t.Errorf("%d records and %d samples came, want 2 and 1", len(rec.logs), len(rec.samples))
	}
}

// Most builds keep these outside of libpython.
func importFromFiles(t *testing.T, l *launch.Launcher, b cell.Backend) {
	t.Helper()
	c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"*"}})
	got := posts(t, c, strings.Join([]string{
		"import array, asyncio, bz2, datetime, decimal, hashlib, json, lzma, mmap, random, sqlite3, uuid, zlib, zoneinfo",
		"async def five(): await asyncio.sleep(0); return 5",
		"post(asyncio.run(five()))",
		"post(sqlite3.connect(':memory:').execute('select 1 + 1').fetchone()[0])",
		"post(hashlib.sha256(b'').hexdigest()[:8])",
		"post(str(decimal.Decimal(1) / 8))",
		"post(len(mmap.mmap(-1, 4096)))",
	}, "\n"))
	if d := cmp.Diff([]string{"5", "2", `"e3b0c442"`, `"0.125"`, "4096"}, got); d != "" {
		t.Errorf("posts (-want +got):\n%s", d)
	}
}

func meetLimits(t *testing.T, l *launch.Launcher, b cell.Backend) {
	t.Helper()
	for name, tc := range map[string]struct {
		limits cell.Limits
		src    string
		want   cell.Kind
	}{
		"one large block": {cell.Limits{Memory: 32 << 20}, "x = 'a' * 10**9", cell.MemoryExceeded},
		"many small":      {cell.Limits{Memory: 32 << 20}, "x = []\nwhile True: x.append([{}] * 10)", cell.MemoryExceeded},
		"wall":            {cell.Limits{Wall: 50 * time.Millisecond}, "while True: pass", cell.Timeout},
		"asleep":          {cell.Limits{Wall: 50 * time.Millisecond}, "recv()", cell.Timeout},
		"cpu":             {cell.Limits{CPU: 50 * time.Millisecond}, "while True: pass", cell.CPUExceeded},
		"recursion":       {cell.Limits{}, "def f(): f()\nf()", cell.GuestError},
		"exception":       {cell.Limits{}, "1/0", cell.GuestError},
	} {
		c := spawn(t, l, cell.Spec{Backend: b, Limits: tc.limits})
		if err := c.Exec(soon(t), source("%s", tc.src)); !errors.Is(err, tc.want) {
			t.Errorf("%s: ends with %v, want %s", name, err, tc.want)
		}
		if r, err := c.Inspect(soon(t)); err != nil || (tc.limits.Memory > 0 && r.MemoryPeak > tc.limits.Memory+2<<20) {
			t.Errorf("%s: peak of %d bytes, %v", name, r.MemoryPeak, err)
		}
	}
}

// What is taken from modules must be taken wherever a build keeps them.
func meetGate(t *testing.T, l *launch.Launcher, b cell.Backend) {
	t.Helper()
	c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"*"}})
	for name, src := range map[string]string{
		"fork_exec":  "import subprocess\nsubprocess._fork_exec()",
		"setrlimit":  "import resource\nresource.setrlimit(0, (1, 1))",
		"system":     "import os\nos.system('true')",
		"ctypes":     "import ctypes",
		"file":       "open('/etc/passwd')",
		"bytecode":   "c = (lambda: 0).__code__\ntype(c)(0,0,0,0,0,0,b'',(),(),(),'','','',0,b'',b'')",
		"frames":     "import sys\nsys._getframe()",
		"connection": "import socket\nsocket.create_connection(('127.0.0.1', 9))",
	} {
		err := c.Exec(soon(t), source("%s", src))
		var e *cell.Error
		if !errors.As(err, &e) || (e.Kind != cell.PolicyDenied && e.Type != "ImportError") {
			t.Errorf("%s: ends with %v", name, err)
		}
	}
	// Imports that are put off came with 3.15.
	err := spawn(t, l, cell.Spec{Backend: b}).Exec(soon(t), source("exec('lazy from os import getpid\\ngetpid()')"))
	var e *cell.Error
	if !errors.As(err, &e) || (e.Kind != cell.PolicyDenied && e.Type != "SyntaxError") {
		t.Errorf("a lazy import ends with %v", err)
	}
}
