package systemtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
)

// transcript is a sink that writes everything a program prints into one text.
type transcript struct {
	mu   sync.Mutex
	text strings.Builder
}

func (r *transcript) Log(l cell.LogRecord) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(&r.text, "%s: %s\n", l.Level, l.Message)
}
func (*transcript) Metric(cell.Sample) {}
func (*transcript) Denied(cell.Denial) {}
func (*transcript) Request(context.Context, cell.Request) (cell.Value, error) {
	return cell.Value{}, cell.PolicyDenied
}

// What differs between two runs of one start, too: addresses, temporary names.
var address = regexp.MustCompile(`0x[0-9a-f]{6,}|/tmp/[a-z0-9_]{8}`)

// runProgram returns all a program says and how it ends.
func runProgram(t *testing.T, l *launch.Launcher, file string, code []byte) string {
	t.Helper()
	out := &transcript{}
	c, err := l.Spawn(soon(t), cell.Spec{Imports: []string{"*"}, Limits: cell.Limits{Children: 8, Memory: 512 << 20}, Sink: out})
	if err != nil {
		t.Fatal(err)
	}
	end := "ended well"
	if err := c.Exec(soon(t), cell.Source{File: file, Code: code}); err != nil {
		var e *cell.Error
		end = "ended with " + err.Error()
		if errors.As(err, &e) {
			end += "\n" + e.Traceback
		}
	}
	if err := c.Close(soon(t)); err != nil {
		t.Errorf("%s: close: %v", file, err)
	}
	out.mu.Lock()
	defer out.mu.Unlock()
	return address.ReplaceAllString(out.text.String()+end, "…")
}

// The start that cells use must not be told from CPython's own by a program.
func TestProgramsRunAlikeInEveryStart(t *testing.T) {
	files, err := filepath.Glob("../cell/cpython/testdata/programs/*.py")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d programs, %v", len(files), err)
	}
	l := launchers(t, "plain", "slim", "lazy")
	for _, file := range files {
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(file)
		want := runProgram(t, l["plain"], name, code)
		for _, start := range []string{"slim", "lazy"} {
			if d := cmp.Diff(want, runProgram(t, l[start], name, code)); d != "" {
				t.Errorf("%s in start %s differs (-plain +%s):\n%s", name, start, start, d)
			}
		}
	}
}

func TestImportsAreAlikeInEveryStart(t *testing.T) {
	if testing.Short() {
		t.Skip("imports 300 modules twice")
	}
	l := launchers(t, "plain", "lazy")
	lister := spawn(t, l["plain"], cell.Spec{Imports: []string{"sys"}})
	var names []string
	for _, name := range posts(t, lister, "import sys\nfor n in sorted(sys.stdlib_module_names): post(n)") {
		// These print, wait or open windows when imported.
		if n := strings.Trim(name, `"`); n != "antigravity" && n != "this" && n != "idlelib" && n != "turtledemo" {
			names = append(names, n)
		}
	}
	imported := 0
	for _, name := range names {
		code := fmt.Appendf(nil, "import %s as m\nprint(sorted(n for n in dir(m) if not n.startswith('_')))", name)
		want := runProgram(t, l["plain"], "import.py", code)
		if strings.HasSuffix(want, "ended well") {
			imported++
		} else {
			t.Logf("import %s: %s", name, want[strings.LastIndexByte(want[:len(want)-1], '\n')+1:])
		}
		got := runProgram(t, l["lazy"], "import.py", code)
		if name == "encodings" || name == "sys" {
			want, got = strings.ReplaceAll(want, ", 'utf_8'", ""), strings.ReplaceAll(got, ", 'utf_8'", "") // a submodule that is loaded when used
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("import %s differs (-plain +lazy):\n%s", name, d)
		}
	}
	if imported < 200 {
		t.Errorf("only %d of %d modules can be imported", imported, len(names))
	}
	t.Logf("%d of %d modules import, alike in both starts", imported, len(names))
}

func launchers(t *testing.T, starts ...string) map[string]*launch.Launcher {
	t.Helper()
	py, err := python()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*launch.Launcher{}
	for _, start := range starts {
		py.Start = start
		l, err := launch.New(launch.Config{Python: py})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close(soon(t)) })
		all[start] = l
	}
	return all
}
