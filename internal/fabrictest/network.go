package fabrictest

import (
	"fmt"
	"net/netip"
	"os/exec"
	"runtime"

	"github.com/pyisolate/pyisolate/internal/netlab"
)

// network is what nodes are on.
type network interface {
	// address that a node is reached at by the others.
	address(node string) netip.Addr
	// start a program where a node is. With Pdeathsig it ends with the network.
	start(node string, c *exec.Cmd) error
	// set how the link from one node to another is; heal makes all good.
	set(from, to string, c netlab.Condition)
	heal()
	// links tells whether set does something.
	links() bool
	close() error
}

// Networks that nodes can be on.
const (
	// Namespaces: each node in a network namespace, links by package netlab.
	Namespaces = "namespaces"
	// Loopback: nodes at 127.0.0.N; links cannot be cut.
	Loopback = "loopback"
)

// newNetwork makes one of a kind; "" is the best that there can be. A reason says why it is
// not the best.
func newNetwork(kind string, seed uint64, names []string) (n network, reason error, err error) {
	switch kind {
	case Namespaces:
		lab, err := netlab.New(seed, names...)
		if err != nil {
			return nil, nil, err
		}
		return namespaces{lab}, nil, nil
	case Loopback:
		return newLoopback(names), nil, nil
	case "":
		if reason := netlab.Probe(); reason != nil {
			return newLoopback(names), reason, nil
		}
		return newNetwork(Namespaces, seed, names)
	}
	return nil, nil, fmt.Errorf("fabrictest: the network is %q; it is %s, %s or empty", kind, Namespaces, Loopback)
}

type namespaces struct{ lab *netlab.Lab }

func (n namespaces) address(node string) netip.Addr          { return n.lab.Host(node).Address() }
func (n namespaces) start(node string, c *exec.Cmd) error    { return n.lab.Host(node).Start(c) }
func (n namespaces) set(from, to string, c netlab.Condition) { n.lab.Set(from, to, c) }
func (n namespaces) heal()                                   { n.lab.Heal() }
func (n namespaces) links() bool                             { return true }
func (n namespaces) close() error                            { return n.lab.Close() }

// loopback has nodes at addresses of this machine's own. Its one goroutine starts programs, from
// a thread that lives as long as it: the kernel ends them with their parent's thread.
type loopback struct {
	at     map[string]netip.Addr
	starts chan func()
	ended  chan struct{}
}

func newLoopback(names []string) *loopback {
	l := &loopback{at: map[string]netip.Addr{}, starts: make(chan func()), ended: make(chan struct{})}
	address := netip.MustParseAddr("127.0.0.1")
	for _, name := range names {
		address = address.Next()
		l.at[name] = address
	}
	go func() {
		defer close(l.ended)
		runtime.LockOSThread()
		for start := range l.starts {
			start()
		}
	}()
	return l
}

func (l *loopback) address(node string) netip.Addr { return l.at[node] }

func (l *loopback) start(_ string, c *exec.Cmd) error {
	done := make(chan error)
	l.starts <- func() { done <- c.Start() }
	return <-done
}

func (l *loopback) set(string, string, netlab.Condition) {}
func (l *loopback) heal()                                {}
func (l *loopback) links() bool                          { return false }

func (l *loopback) close() error {
	close(l.starts)
	<-l.ended
	return nil
}
