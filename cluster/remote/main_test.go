package remote

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
	"go.uber.org/goleak"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cluster/wire"
	"github.com/pyisolate/pyisolate/internal/await"
)

// A test node is a process: this one, or this program again, told so by its environment.
const (
	envNode = "PYISOLATE_TEST_NODE"
	envDir  = "PYISOLATE_TEST_DIR"
	envBare = "PYISOLATE_TEST_BARE" // protoactor's remote as it is
)

func TestMain(m *testing.M) {
	if name := os.Getenv(envNode); name != "" {
		if err := serve(name, os.Getenv(envDir)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if os.Getenv(envBare) != "" {
		s := actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }))
		remote.NewRemote(s, remote.Configure("127.0.0.1", 0)).Start()
		fmt.Println(s.Address())
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// soon bounds a test.
func soon(tb testing.TB) context.Context {
	tb.Helper()
	return within(tb, 20*time.Second)
}

func within(tb testing.TB, d time.Duration) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	tb.Cleanup(cancel)
	return ctx
}

// node is a node of the test: a System with cells named NAME-on-NODE, and a Remote.
type node struct {
	name   string
	system *actors.System
	remote *Remote
	wire   *wire.Wire
	in     *cluster

	mu     sync.Mutex
	cells  map[string]*quick
	places map[string]string // where cells are that are not where their names say
}

// byName is a directory that knows where cells are by their names.
type byName struct {
	actors.Local
	node *node
}

func (d *byName) Lookup(a actors.Address) (actors.Entry, bool) {
	e, there := d.Local.Lookup(a)
	if on := d.node.place(a.Name); on != "" && on != d.node.name {
		return actors.Entry{Via: d.node.remote.Via(on)}, true
	} else if on != "" {
		return e, there
	}
	if _, on, is := strings.Cut(a.Name, "-on-"); is && !there && on != d.node.name {
		return actors.Entry{Via: d.node.remote.Via(on)}, true
	}
	return e, there
}

func start(name string, in *cluster, log io.Writer) (*node, error) {
	n := &node{name: name, in: in, cells: map[string]*quick{}, places: map[string]string{}}
	logger := slog.New(slog.NewTextHandler(log, nil))
	n.system = actors.New(actors.Options{Directory: &byName{node: n}, Logger: logger, Linger: time.Millisecond})
	var err error
	if n.wire, err = in.wire(name); err != nil {
		return nil, err
	}
	config := Config{System: n.system, Self: name, Logger: logger}.Over(n.wire)
	if in.network != nil {
		config.Dial = in.network
	}
	if n.remote, err = New(config); err != nil {
		return nil, err
	}
	if peers, err := os.ReadFile(in.peersFile()); err == nil {
		n.remote.SetPeers(strings.Fields(string(peers)))
	}
	return n, errors.Join(n.spawn("echo-on-"+name, "news"), n.spawn("other-on-"+name, "news"), n.spawn("teller-on-"+name))
}

func (n *node) spawn(name string, topics ...string) error {
	return n.system.Spawn(context.Background(), actors.Address{Tenant: "acme", Name: name}, actors.Plan{
		Topics: topics,
		Start: func(context.Context, uint64) (cell.Cell, error) {
			q := &quick{node: n, done: make(chan struct{})}
			n.mu.Lock()
			defer n.mu.Unlock()
			n.cells[name] = q
			return q, nil
		},
	})
}

func (n *node) cell(name string) *quick {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cells[name]
}

func (n *node) place(name string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.places[name]
}

func (n *node) close() error {
	err := errors.Join(n.remote.Close(), n.wire.Close())
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return errors.Join(err, n.system.Close(ctx))
}

// here is this process as a node.
func here(tb testing.TB, in *cluster, name string) *node {
	tb.Helper()
	log := tb.Output()
	if _, bench := tb.(*testing.B); bench {
		log = io.Discard
	}
	n, err := start(name, in, log)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := n.close(); err != nil {
			tb.Error(err)
		}
	})
	return n
}

// serve is the life of a node that is a process of its own: until its input ends.
func serve(name, dir string) error {
	n, err := start(name, &cluster{dir: dir}, os.Stderr)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return n.close()
}

// child is a node that is a process of its own.
type child struct {
	cmd   *exec.Cmd
	stdin io.Closer
	once  sync.Once
	err   error
}

func there(tb testing.TB, in *cluster, name string) *child {
	tb.Helper()
	c, stdout := spawn(tb, envNode+"="+name, envDir+"="+in.dir)
	tb.Cleanup(func() {
		if err := c.stop(); err != nil {
			tb.Errorf("node %s: %v", name, err)
		}
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		tb.Fatalf("node %s: %q, %v", name, line, err)
	}
	return c
}

// spawn starts this program again.
func spawn(tb testing.TB, env ...string) (*child, io.Reader) {
	tb.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), env...)
	if _, bench := tb.(*testing.B); !bench {
		cmd.Stderr = tb.Output()
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	c := &child{cmd: cmd, stdin: stdin}
	tb.Cleanup(c.kill)
	return c, stdout
}

// stop ends it in order.
func (c *child) stop() error {
	c.once.Do(func() {
		_ = c.stdin.Close()
		c.err = c.cmd.Wait()
	})
	return c.err
}

// kill ends it at once.
func (c *child) kill() {
	c.once.Do(func() {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
	})
}

// pair is this process as node a, and node b.
func pair(tb testing.TB) (*node, *child) {
	tb.Helper()
	in := newCluster(tb, "a", "b")
	b := there(tb, in, "b")
	return here(tb, in, "a"), b
}

// link to a node, for what the network does to it.
func (n *node) link(tb testing.TB, to string) *link {
	tb.Helper()
	l, err := n.remote.link(to)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

// freeze stops a node in the middle of whatever it does, until thaw.
func (c *child) freeze(tb testing.TB) (thaw func()) {
	tb.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		tb.Fatal(err)
	}
	thaw = func() { _ = c.cmd.Process.Signal(syscall.SIGCONT) }
	tb.Cleanup(thaw) // or it would not end
	await.That(tb, "all its threads have stopped", func() bool {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", c.cmd.Process.Pid))
		if err != nil {
			tb.Fatal(err)
		}
		for _, file := range threads {
			stat, err := os.ReadFile(file)
			if _, state, _ := strings.Cut(string(stat), ") "); err != nil || !strings.HasPrefix(state, "T") {
				return false
			}
		}
		return true
	})
	return thaw
}
