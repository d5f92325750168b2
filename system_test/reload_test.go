package systemtest

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
)

// relimit gives the cell other limits, and reports whether the kernel's bounds of its process
// are theirs: a node without the right over them changes none.
func relimit(t *testing.T, c cell.Cell, l cell.Limits) (bounded bool) {
	t.Helper()
	bounded = true
	r, err := c.Reload(soon(t), cell.Revision{Limits: &l})
	if err != nil {
		t.Fatal(err)
	}
	for _, layer := range r.Layers {
		if layer.Name != "limits" {
			continue
		}
		bounded = false
		if !strings.Contains(layer.Missing, "operation not permitted") {
			t.Errorf("%+v", layer)
		}
	}
	return bounded
}

const noRight = "this node may not raise what a process may have"

// raises runs Python and returns the name of the exception that it ends in, "" for none.
func raises(t *testing.T, c cell.Cell, src string) string {
	t.Helper()
	err := c.Exec(soon(t), source("%s", src))
	var e *cell.Error
	switch {
	case err == nil:
		return ""
	case !errors.As(err, &e):
		t.Fatal(err)
	}
	if e.Type == "" {
		return e.Kind.String()
	}
	return e.Type
}

func TestReloadedImports(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"json"}})
		for _, step := range []struct {
			imports []string
			src     string
			want    string
		}{
			{nil, "import json", ""},
			{nil, "import math", "ImportDenied"},
			{[]string{"math"}, "import math as m", ""},
			{nil, "import math", ""},
			{nil, "import json", "ImportDenied"},
			{nil, "json.dumps(m.pi)", ""}, // what it has it keeps
			{[]string{"*"}, "import json, string", ""},
			{[]string{}, "import math", "ImportDenied"},
		} {
			if _, err := c.Reload(soon(t), cell.Revision{Imports: step.imports}); err != nil {
				t.Fatal(err)
			}
			if got := raises(t, c, step.src); got != step.want {
				t.Errorf("%q, %s: %q; want %q", step.imports, step.src, got, step.want)
			}
		}
		if _, err := c.Reload(soon(t), cell.Revision{Imports: []string{"no module"}}); cell.KindOf(err) != cell.Invalid {
			t.Errorf("an invalid name: %v", err)
		}
	})
}

// A limit below what is used refuses more, and ends nothing.
func TestReloadedMemory(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b, Limits: cell.Limits{Memory: 64 << 20}})
		if got := raises(t, c, "held = bytearray(30 << 20)\ndef release():\n    global held\n    del held"); got != "" {
			t.Fatal(got)
		}
		more := "more = bytearray(40 << 20)"
		relimit(t, c, cell.Limits{Memory: 16 << 20})
		if got := raises(t, c, more); got != "MemoryError" {
			t.Errorf("below what is used: %q", got)
		}
		alive(t, c)
		if _, err := c.Call(soon(t), cell.Invocation{Target: "release"}); err != nil {
			t.Fatal(err)
		}
		if got := raises(t, c, "small = bytearray(4 << 20)"); got != "" {
			t.Errorf("given back: %q", got)
		}
		if !relimit(t, c, cell.Limits{Memory: 256 << 20}) {
			t.Skip(noRight)
		}
		if got := raises(t, c, "more = [bytearray(40 << 20) for _ in range(5)]"); got != "" {
			t.Errorf("raised: %q", got)
		}
	})
}

func TestReloadedNumbers(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"threading", "time"}, Limits: cell.Limits{Files: 4, MessageBytes: 1 << 10}})
		thread := "import threading\nt = threading.Thread(target=lambda: None)\nt.start(); t.join()"
		files := "files = [open('/dev/null') for _ in range(20)]"
		message := "post('x' * 4000)"
		for _, step := range []struct {
			what   string
			limits cell.Limits
			want   [3]string // of thread, files, message
		}{
			{"as claimed", cell.Limits{Files: 4, MessageBytes: 1 << 10}, [3]string{"ChildWorkExceeded", "PolicyDenied", "ValueError"}},
			{"raised", cell.Limits{Files: 200, Children: 2, MessageBytes: 1 << 20}, [3]string{"", "", ""}},
			{"lowered", cell.Limits{Files: 4, MessageBytes: 1 << 10}, [3]string{"ChildWorkExceeded", "PolicyDenied", "ValueError"}},
			{"raised again", cell.Limits{Children: 1}, [3]string{"", "", ""}},
		} {
			if !relimit(t, c, step.limits) {
				t.Skip(noRight)
			}
			for i, src := range []string{thread, files, message} {
				if got := raises(t, c, src); got != step.want[i] {
					t.Errorf("%s: %s: %q; want %q", step.what, src, got, step.want[i])
				}
			}
			if got := raises(t, c, "files = None"); got != "" {
				t.Error(got)
			}
		}
	})
}

// What runs is ended by a limit that came after it began, and not by one that is lifted.
func TestReloadedTime(t *testing.T) {
	everyBackendBy(t, launch.Config{KillGrace: patient}, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"time"}})
		for _, limit := range []struct {
			of   cell.Limits
			want string
		}{
			{cell.Limits{Wall: 50 * time.Millisecond}, "Timeout"},
			{cell.Limits{CPU: time.Millisecond}, "CPUExceeded"},
			{cell.Limits{CPUWindow: time.Hour, CPUPerWindow: time.Millisecond}, "CPUExceeded"},
		} {
			relimit(t, c, cell.Limits{})
			ended := make(chan error, 1)
			go func() { ended <- c.Exec(soon(t), source("post('runs')\nwhile True: pass")) }()
			receive(t, c, `"runs"`)
			relimit(t, c, limit.of)
			if err := <-ended; cell.KindOf(err).String() != limit.want {
				t.Errorf("%+v: %v", limit.of, err)
			}
		}
		relimit(t, c, cell.Limits{})
		if got := raises(t, c, "sum(range(100_000))"); got != "" {
			t.Errorf("no limit any more: %q", got)
		}
		// The wall is as long as the reload may be on its way on a busy machine.
		relimit(t, c, cell.Limits{Wall: 3 * time.Second})
		ended := make(chan error, 1)
		go func() { ended <- c.Exec(soon(t), source("import time\npost('sleeps')\ntime.sleep(4)")) }()
		receive(t, c, `"sleeps"`)
		relimit(t, c, cell.Limits{Wall: time.Minute})
		if err := <-ended; err != nil {
			t.Errorf("a raised wall: %v", err)
		}
	})
}

func receive(t *testing.T, c cell.Cell, want string) {
	t.Helper()
	for {
		item, err := c.Recv(soon(t))
		if err != nil {
			t.Fatal(err)
		}
		if string(item.Value.Data) == want {
			return
		}
	}
}

func TestReloadedQueues(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b, Limits: cell.Limits{QueueItems: 2, Output: 1 << 20}})
		ended := make(chan error, 1)
		go func() { ended <- c.Exec(soon(t), source("for i in range(50): post(i)")) }()
		for n := 0; n < 2; { // the guest waits for room now, or will
			r, err := c.Inspect(soon(t))
			if err != nil {
				t.Fatal(err)
			}
			n = int(r.Posts)
		}
		relimit(t, c, cell.Limits{QueueItems: 100, Output: 1 << 20})
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		receive(t, c, "3")
		relimit(t, c, cell.Limits{QueueItems: 1, Output: 1 << 20})
		go func() { ended <- c.Exec(soon(t), source("for i in range(50, 100): post(i)")) }()
		receive(t, c, "99")
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		relimit(t, c, cell.Limits{Output: 1 << 10})
		if got := raises(t, c, "for i in range(500): post(i)"); got != "OutputExceeded" {
			t.Errorf("lowered: %q", got)
		}
		if got := raises(t, c, "pass"); got != "OutputExceeded" {
			t.Errorf("used up: %q", got)
		}
		relimit(t, c, cell.Limits{Output: 1 << 20})
		if got := raises(t, c, "post(1)"); got != "" {
			t.Errorf("raised: %q", got)
		}
	})
}

// TestReloadsAreWhole: rules and modules change together, as often as they will, under a guest
// that looks for rules of one version with modules of another. Each version permits a file that
// no other does. So where that can be opened before and after a module is named, that version
// was in force all the while, and what became of the name is its verdict.
func TestReloadsAreWhole(t *testing.T) {
	const versions = 400
	modules := []string{"json", "string"}
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		root := newTree(t)
		file := func(n int) string { return fmt.Sprintf("%s/a/%d", root, n) }
		for n := range versions {
			if err := os.WriteFile(file(n), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		// The layers that keep what the cell starts with permit all of them.
		c := spawn(t, l, cell.Spec{Backend: b, Imports: modules, Policy: fileRules(readAt(root + "/a"))})
		reload := func(n int) {
			if _, err := c.Reload(soon(t), cell.Revision{Policy: *fileRules(readAt(file(n))), Imports: modules[n%2 : n%2+1]}); err != nil {
				t.Fatal(err)
			}
		}
		reload(0)
		ended := make(chan error, 1)
		go func() {
			ended <- c.Exec(soon(t), source(`
def permitted(what, *args):
    try:
        what(*args)
        return True
    except Exception as e:
        if type(e).__name__ not in ('PolicyDenied', 'ImportDenied', 'PermissionError'): raise
        return False
def opens(n): open(f'%[1]s/a/{n}').close()
def json(): import json
def string(): import string
looks, n, last = [0, 0], 0, 0
post('runs')
while last < %[2]d - 1:
    if not permitted(opens, n):
        n = n + 1 if n < %[2]d - 1 else last # versions only grow
        continue
    last = n
    got = permitted(json), permitted(string)
    if permitted(opens, n):
        assert got == (n %% 2 == 0, n %% 2 == 1), f'files of version {n}, modules {got}'
        looks[n %% 2] += 1
assert min(looks) > 0, looks
`, root, versions))
		}()
		receive(t, c, `"runs"`)
		for n := 1; n < versions; n++ {
			reload(n)
		}
		if err := <-ended; err != nil {
			t.Fatalf("%v\n%s", err, traceback(err))
		}
	})
}
