package host

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/ring"
	"github.com/pyisolate/pyisolate/cell/wire"
)

// Executor starts workers. Its methods may be called from several goroutines.
type Executor interface {
	// Start begins a worker on the region and returns without waiting for it;
	// the worker's first frame is OutReady.
	Start(r *ring.Region) (Worker, error)
	// Close ends all workers and the executor.
	Close() error
}

// Worker is the thread or process at the other end of a region.
type Worker interface {
	// Interrupt asks the worker to end operation op for reason. It returns at
	// once and repeats itself until the operation ends.
	Interrupt(op uint64, reason cell.Kind)
	// Kill ends the worker as hard as it can. It never blocks.
	Kill()
	// CPU is the processor time used so far.
	CPU() (time.Duration, error)
	// Task is the thread or process, as this process's PID namespace numbers it.
	Task() int
	// Done is closed when the thread or process runs no code any more and touches the
	// region no more. A process may still be to be reaped.
	Done() <-chan struct{}
	// WhenDone has f called then, in a goroutine of its own. It saves one that waits.
	WhenDone(f func())
	// Err is how it ended, once Done is closed; nil when orderly.
	Err() error
	// Stuck reports, some time after Kill, that the worker still runs in C and
	// only the end of the host ends it.
	Stuck() bool
}

// separate is a Worker with a process of its own.
type separate interface {
	Namespaces() []string
	Origin() (start string, uid uint32)
}

// wanting is an Executor that may have to do without what it wants; "" where it
// does not.
type wanting interface {
	Without() (noZygote, noUser string)
}

// describe tells the node what it got.
func (g *guest) describe(hit bool) *wire.Claimed {
	c := &wire.Claimed{Hit: hit, Namespaces: g.namespaces()}
	if e, ok := g.srv.exec.(wanting); ok {
		noZygote, noUser := e.Without()
		c.NoZygote, c.NoUser = wire.Text(noZygote, 1024), wire.Text(noUser, 1024)
	}
	return c
}

func (g *guest) namespaces() []string {
	if w, ok := g.slot.worker.(separate); ok {
		return w.Namespaces()
	}
	return nil
}

// origin is how the cell's process began and the user it runs as; a thread is its
// host's.
func (g *guest) origin() (start string, uid uint32) {
	if w, ok := g.slot.worker.(separate); ok {
		return w.Origin()
	}
	return "", uint32(os.Getuid())
}

// Dist says where Python is, and what keeps those in who run it.
type Dist struct {
	Home, Lib, Stdlib, Start string
	Preload                  []string
	// Landlock and Seccomp are what each cell puts on, as packages kernel/landlock and
	// kernel/seccomp encode it; empty: nothing.
	Landlock, Seccomp []byte
	// Notify is the filter that leaves paths to the node, which takes its listeners at
	// NotifyFD; empty: none.
	Notify []byte
	// Writes: files may grow.
	Writes bool
}

// Options is what the program gives the host.
type Options struct {
	// Threads makes the executor of backend "subinterpreter". Nil refuses that
	// backend: the binary was built without it.
	Threads func(Dist) (Executor, error)
	// Processes makes the executor of backend "process". Default: a zygote,
	// which is this executable under another name.
	Processes func(Dist, uint64) (Executor, error)
	// Python is told to the node, for people.
	Python string
	// Lapsed is called when the node's lease has: nothing may run any more when it returns.
	// Default: the process exits with LapsedStatus.
	Lapsed func()
}

var errNoThreads = errors.New("host: this binary has no sub-interpreter executor: build it with cgo")

func newExecutor(hello *wire.Hello, landlock []byte, o Options) (Executor, error) {
	d := hello.GetDist()
	dist := Dist{Home: d.GetHome(), Lib: d.GetLib(), Stdlib: d.GetStdlib(), Start: d.GetStart(), Preload: d.GetPreload(),
		Landlock: landlock, Seccomp: hello.GetLayers().GetSeccomp(), Notify: hello.GetLayers().GetNotify(), Writes: hello.GetWrites()}
	switch cell.Backend(hello.GetBackend()) {
	case cell.SubInterpreter:
		if o.Threads == nil {
			return nil, errNoThreads
		}
		return o.Threads(dist)
	case cell.Process:
		if o.Processes != nil {
			return o.Processes(dist, hello.GetNamespaceFlags())
		}
		return NewZygote(ZygoteConfig{Dist: dist, Namespaces: hello.GetNamespaceFlags(), NoZygote: hello.GetNoZygote(),
			FirstUID: hello.GetFirstUid(), UIDs: hello.GetUids()})
	}
	return nil, fmt.Errorf("host: backend %q is not known", hello.GetBackend())
}
