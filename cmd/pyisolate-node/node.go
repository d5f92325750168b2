package main

import (
	"context"
	"os"
	"time"

	"github.com/pyisolate/pyisolate/cell/host"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/cell/pydist"
)

// preloads are imported once per zygote, so that process cells share them.
var preloads = []string{"json", "re", "math", "collections", "functools", "itertools", "random", "datetime", "time"}

// newLauncher finds the Python and makes a launcher of c for it.
func newLauncher(ctx context.Context, python string, c launch.Config) (*launch.Launcher, error) {
	dist, err := pydist.Resolve(ctx, pydist.Options{Python: python, Progress: pydist.TerminalProgress(os.Stderr)})
	if err != nil {
		return nil, err
	}
	c.Python = launch.Python{Home: dist.Home, Lib: dist.Lib, Stdlib: dist.Stdlib, Preload: preloads}
	return launch.New(c)
}

func closeLauncher(l *launch.Launcher) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = l.Close(ctx)
}

func hostOptions() host.Options { return host.Options{Threads: host.NewThreads} }
