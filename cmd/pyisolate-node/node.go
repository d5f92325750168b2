package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/cell/host"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/cell/pydist"
)

// preloads are imported once per zygote, so that process cells share them.
var preloads = []string{"json", "re", "math", "collections", "functools", "itertools", "random", "datetime", "time"}

// pythonUsage is what every --python says of itself.
const pythonUsage = "another libpython, python or prefix, 3.14 or later (default: the embedded one, or $PYISOLATE_PYTHON)"

// newLauncher finds the Python and makes a launcher of c for it.
func newLauncher(ctx context.Context, python string, c launch.Config) (*launch.Launcher, error) {
	var err error
	if _, c.Python, err = resolvePython(ctx, python); err != nil {
		return nil, err
	}
	return launch.New(c)
}

// resolvePython finds the Python for cells of this process, and closes its memory to them.
func resolvePython(ctx context.Context, python string) (pydist.Dist, launch.Python, error) {
	// The node holds what hosts must not read, whoever they run as.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return pydist.Dist{}, launch.Python{}, fmt.Errorf("make this process's memory unreadable to others: %w", err)
	}
	dist, err := pydist.Resolve(ctx, pydist.Options{Python: python, Progress: pydist.TerminalProgress(os.Stderr)})
	if err != nil {
		return pydist.Dist{}, launch.Python{}, err
	}
	return dist, launch.Python{Home: dist.Home, Lib: dist.Lib, Stdlib: dist.Stdlib, Preload: preloads}, nil
}

func closeLauncher(l *launch.Launcher) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = l.Close(ctx)
}

func hostOptions() host.Options { return host.Options{Threads: host.NewThreads} }
