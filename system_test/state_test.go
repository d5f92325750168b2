package systemtest

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

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

// Each file of testdata/state is a program, and behind a mark what must hold when its state has
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
