package systemtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/host"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/cell/pydist"
	"github.com/pyisolate/pyisolate/kernel/enforce"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "host":
			os.Exit(host.Main(host.Options{Threads: host.NewThreads}))
		case "host-other-zygote":
			os.Exit(host.Main(host.Options{Processes: otherZygote(os.Args[2])}))
		case "zygote-that-cannot-fork":
			os.Exit(zygoteThatCannotFork())
		}
	}
	status := m.Run()
	if os.Getenv(guardEnv) != "" {
		if e, _ := guarded(); e != nil {
			if err := e.Close(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				status = 1
			}
		}
	}
	os.Exit(status)
}

// guardEnv has every cell judged by the strongest programs that load, in whatever test: what
// works without them must work with them.
const guardEnv = "PYISOLATE_TEST_GUARD"

// guarded has the programs for all tests: loading them takes a while.
var guarded = sync.OnceValues(func() (*enforce.Enforcer, error) {
	e, err := enforce.Open(context.Background(), true)
	if err == nil {
		err = e.Refused()
	}
	return e, err
})

var python = sync.OnceValues(func() (launch.Python, error) {
	_, p, err := pythonAt("")
	return p, err
})

// pythonAt takes what pydist.Options.Python takes.
func pythonAt(path string) (pydist.Dist, launch.Python, error) {
	d, err := pydist.Resolve(context.Background(), pydist.Options{Python: path})
	return d, launch.Python{Home: d.Home, Lib: d.Lib, Stdlib: d.Stdlib, Start: os.Getenv("PYISOLATE_START"),
		Preload: []string{"json", "re", "math", "random"}}, err
}

// patient is a KillGrace for guests that are to obey, on a machine that is busy with others. Of it a
// fifth is theirs whose caller has gone.
const patient = time.Minute

// newLauncher is closed, and must close in time, when the test ends.
func newLauncher(tb testing.TB, c launch.Config) *launch.Launcher {
	tb.Helper()
	var err error
	if c.Python.Lib == "" {
		if c.Python, err = python(); err != nil {
			tb.Fatal(err)
		}
	}
	if c.Kernel == nil && os.Getenv(guardEnv) != "" {
		if c.Kernel, err = guarded(); err != nil {
			tb.Fatal(err)
		}
	}
	l, err := launch.New(c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := l.Close(soon(tb)); err != nil {
			tb.Errorf("close the launcher: %v", err)
		}
	})
	return l
}

func soon(tb testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	tb.Cleanup(cancel)
	return ctx
}

func everyBackend(t *testing.T, test func(t *testing.T, l *launch.Launcher, b cell.Backend)) {
	everyBackendBy(t, launch.Config{}, test)
}

func everyBackendBy(t *testing.T, c launch.Config, test func(t *testing.T, l *launch.Launcher, b cell.Backend)) {
	for _, b := range []cell.Backend{cell.SubInterpreter, cell.Process} {
		t.Run(string(b), func(t *testing.T) { test(t, newLauncher(t, c), b) })
	}
}

func spawn(tb testing.TB, l *launch.Launcher, spec cell.Spec) cell.Cell {
	tb.Helper()
	c, err := l.Spawn(soon(tb), spec)
	if err != nil {
		tb.Fatalf("spawn: %v", err)
	}
	tb.Cleanup(func() { _ = c.Close(soon(tb)) })
	return c
}

func source(format string, args ...any) cell.Source {
	return cell.Source{Code: fmt.Appendf(nil, format, args...)}
}

// posts runs src and returns what it posted, as JSON texts.
func posts(tb testing.TB, c cell.Cell, src string) []string {
	tb.Helper()
	if err := c.Exec(soon(tb), source("%s\npost('--end--')", src)); err != nil {
		tb.Fatalf("exec: %v\n%s", err, traceback(err))
	}
	var out []string
	for {
		item, err := c.Recv(soon(tb))
		if err != nil {
			tb.Fatalf("recv: %v", err)
		}
		if item.Err != nil {
			continue // of an earlier exec
		}
		if string(item.Value.Data) == `"--end--"` {
			return out
		}
		out = append(out, string(item.Value.Data))
	}
}

func traceback(err error) string {
	var e *cell.Error
	if errors.As(err, &e) {
		return e.Traceback
	}
	return ""
}

// alive fails the test unless the cell still computes.
func alive(tb testing.TB, c cell.Cell) {
	tb.Helper()
	v, err := c.Call(soon(tb), cell.Invocation{Target: "abs", Args: []byte(`[-7]`)})
	if err != nil || string(v.Data) != "7" {
		tb.Fatalf("the cell does not answer any more: %s, %v", v.Data, err)
	}
}
