package hostile

import (
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/kernel/stack"
)

// column is one place where all probes run.
type column struct {
	backend cell.Backend
	stack   string
}

// The stacks that a node can choose. Where namespaces are permitted they hide what the
// filter and Landlock hold, so these are tried without them too.
const (
	dev  = "dev"  // all layers of this kernel
	bare = "bare" // dev, without namespaces
	gate = "gate" // compatibility, without namespaces: what holds is above the kernel
)

var stacks = map[string]launch.Config{
	dev:  {Confinement: stack.Dev},
	bare: {Confinement: stack.Dev, NoNamespaces: true},
	gate: {Confinement: stack.Compatibility, NoNamespaces: true},
}

var columns = []column{
	{cell.SubInterpreter, dev}, {cell.SubInterpreter, bare}, {cell.SubInterpreter, gate},
	{cell.Process, dev}, {cell.Process, bare}, {cell.Process, gate},
}

func (c column) String() string { return string(c.backend) + " " + c.stack }

func (c column) launcher(t *testing.T) *launch.Launcher {
	t.Helper()
	config := stacks[c.stack]
	config.PoolSize = 1
	// The sibling of a cell that is stuck in C ends with their host: not before it was asked.
	config.KillGrace, config.RetireGrace = 200*time.Millisecond, 20*time.Second
	var err error
	if config.Python, err = python(); err != nil {
		t.Fatal(err)
	}
	l, err := launch.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(soon(t)); err != nil {
			t.Errorf("close the launcher: %v", err)
		}
	})
	return l
}
