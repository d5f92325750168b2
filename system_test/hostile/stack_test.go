package hostile

import (
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/kernel/enforce"
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
	// gate, and the node's programs in the kernel: of control groups, or of the LSM.
	programs = "cgroup-bpf"
	lsm      = "bpf-lsm"
	all      = "all" // dev, and the LSM's programs
)

var stacks = map[string]launch.Config{
	dev:  {Confinement: stack.Dev},
	bare: {Confinement: stack.Dev, NoNamespaces: true},
	gate: {Confinement: stack.Compatibility, NoNamespaces: true},

	programs: {Confinement: stack.Compatibility, NoNamespaces: true},
	lsm:      {Confinement: stack.Compatibility, NoNamespaces: true},
	all:      {Confinement: stack.Dev},
}

// guards says which programs a stack needs.
var guards = map[string]stack.Layer{programs: stack.Programs, lsm: stack.LSM, all: stack.LSM}

// filtered: the stack has a filter of system calls.
func (c column) filtered() bool { return stacks[c.stack].Confinement != stack.Compatibility }

func columnsOf(names ...string) (list []column) {
	for _, b := range []cell.Backend{cell.SubInterpreter, cell.Process} {
		for _, name := range names {
			list = append(list, column{b, name})
		}
	}
	return list
}

func (c column) String() string { return string(c.backend) + " " + c.stack }

func (c column) launcher(t *testing.T, kernel *enforce.Enforcer, patience time.Duration) *launch.Launcher {
	t.Helper()
	config := stacks[c.stack]
	if guards[c.stack] != "" {
		config.Kernel = kernel
	}
	config.PoolSize = 1
	// The sibling of a cell that is stuck in C ends with their host: not before it was asked.
	config.KillGrace, config.RetireGrace = patience*200*time.Millisecond, 20*time.Second
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
