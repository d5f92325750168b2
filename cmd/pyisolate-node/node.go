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

// newLauncher finds the Python and makes a launcher of c for it.
func newLauncher(ctx context.Context, python string, c launch.Config) (*launch.Launcher, error) {
	// The node holds what hosts must not read, whoever they run as.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("make this process's memory unreadable to others: %w", err)
	}
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
