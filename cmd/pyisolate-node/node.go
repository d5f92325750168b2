package main

import (
	"context"
	"os"
	"time"

	"github.com/pyisolate/pyisolate/cell/host"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/cell/pydist"
	"github.com/pyisolate/pyisolate/node"
)

// pythonUsage is what every --python says of itself.
const pythonUsage = "the Python to run, 3.14 or later: a libpython, an executable or a prefix (default: $PYISOLATE_PYTHON, or the embedded one)"

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
	return node.FindPython(ctx, pydist.Options{Python: python, Progress: pydist.TerminalProgress(os.Stderr)})
}

func closeLauncher(l *launch.Launcher) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = l.Close(ctx)
}

func hostOptions() host.Options { return host.Options{Threads: host.NewThreads} }
