package systemtest

import (
	"context"
	"errors"
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
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
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
		relimit(t, c, cell.Limits{Wall: 300 * time.Millisecond})
		ended := make(chan error, 1)
		go func() { ended <- c.Exec(soon(t), source("import time\npost('sleeps')\ntime.sleep(1)")) }()
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

// TestReloadsAreWhole: rules, modules and limits change together, as often as they will, under a
// guest that looks at them, which never meets a mixture.
func TestReloadsAreWhole(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		root := newTree(t)
		even := cell.Revision{Policy: *fileRules(readAt(root + "/a")), Imports: []string{"json"}}
		odd := cell.Revision{Policy: *fileRules(readAt(root + "/b")), Imports: []string{"string"}}
		// The layers that keep what the cell starts with permit both.
		c := spawn(t, l, cell.Spec{Backend: b, Imports: even.Imports, Policy: fileRules(readAt(root+"/a"), readAt(root+"/b"))})
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		ended := make(chan error, 1)
		// One look is one check: what both permit it always has, what neither does never.
		go func() {
			ended <- c.Exec(ctx, source(`
def permitted(what):
    try:
        exec(what)
        return True
    except Exception as e:
        if type(e).__name__ not in ('PolicyDenied', 'ImportDenied', 'PermissionError'): raise
        return False
post('runs')
seen = set()
while len(seen) < 4:
    for name, what in (('a', "open('%[1]s/a/file')"), ('b', "open('%[1]s/b/file')"), ('json', 'import json'), ('string', 'import string')):
        if permitted(what): seen.add(name)
    assert not permitted("open('%[1]s/links')") and not permitted('import math')
`, root))
		}()
		receive(t, c, `"runs"`)
		for i := 0; ; i++ {
			select {
			case err := <-ended:
				if err != nil {
					t.Fatalf("after %d: %v\n%s", i, err, traceback(err))
				}
				return
			default:
			}
			r := even
			if i%2 == 0 {
				r = odd
			}
			if _, err := c.Reload(ctx, r); err != nil {
				t.Fatal(err)
			}
		}
	})
}
