package fabrictest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/api/client"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/internal/failpoint"
)

// port of nodes for each other; gossip has the next.
const port = 7700

const (
	// startTime is how long a node may take until it says that it serves.
	startTime = time.Minute
	// lease of nodes, short, so that what follows a death is soon seen.
	lease = "3s"
	// stopTime is how long it may take to end.
	stopTime = 30 * time.Second
)

// Node is one node of a Fabric: a place for a process, which runs or does not.
type Node struct {
	// Name in the cluster.
	Name string
	// Client calls it at its socket, also while it does not run: the calls fail then.
	Client *client.Client
	// Bearer calls it at its socket, too, but with a token of the cluster, once that is formed: to
	// all nodes its calls are the same client's, and so are the ids of its requests.
	Bearer *client.Client

	fabric  *Fabric
	dir     string
	program identity

	mu      sync.Mutex
	command *exec.Cmd // nil: it does not run
	ended   chan struct{}
	paused  bool
}

func (f *Fabric) newNode(name string) (*Node, error) {
	n := &Node{Name: name, fabric: f, dir: filepath.Join(f.options.Dir, name)}
	if err := os.Mkdir(n.dir, 0o700); err != nil {
		return nil, fmt.Errorf("fabrictest: a node's directory: %w", err)
	}
	if err := os.Mkdir(string(n.Points()), 0o700); err != nil {
		return nil, fmt.Errorf("fabrictest: a node's points: %w", err)
	}
	if err := copyProgram(f.options.Program, n.path()); err != nil {
		return nil, err
	}
	var err error
	if n.program, err = identify(n.path()); err != nil {
		return nil, err
	}
	n.Client, err = client.New(client.Config{Socket: n.Socket()})
	return n, err
}

func (n *Node) path() string { return filepath.Join(n.dir, "pyisolate-node") }

// Socket of the node.
func (n *Node) Socket() string { return filepath.Join(n.dir, "s") }

// Data is its data directory.
func (n *Node) Data() string { return filepath.Join(n.dir, "data") }

// Points by which the node is steered, if the fabric is.
func (n *Node) Points() failpoint.Dir { return failpoint.Dir(filepath.Join(n.dir, "points")) }

// Log is the file that has what all its processes have written to standard error.
func (n *Node) Log() string { return filepath.Join(n.dir, "log") }

// Address is HOST:PORT of its port between nodes.
func (n *Node) Address() string {
	return fmt.Sprintf("%s:%d", n.fabric.network.address(n.Name), port)
}

// Command is the node's program with these arguments, to be run with Run.
func (n *Node) Command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, n.path(), args...)
	c.Env = append(os.Environ(), "PYISOLATE_SERVER=", "PYISOLATE_SOCKET="+n.Socket(), "PYISOLATE_TOKEN=", "PYISOLATE_CONTEXT=", "PYISOLATE_CONFIG=/dev/null")
	if n.fabric.options.Steered {
		c.Env = append(c.Env, failpoint.Env+"="+string(n.Points()))
	}
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return c
}

// Run runs the node's program on the node's machine with these arguments, and returns its standard
// output. Its error has what it wrote to standard error.
func (n *Node) Run(ctx context.Context, args ...string) (string, error) {
	c := n.Command(ctx, args...)
	var out, complaint strings.Builder
	c.Stdout, c.Stderr = &out, &complaint
	err := n.fabric.network.start(n.Name, c)
	if err == nil {
		err = c.Wait()
	}
	if err != nil {
		return out.String(), fmt.Errorf("on %s: %s: %w\n%s", n.Name, strings.Join(args, " "), err, complaint.String())
	}
	return out.String(), nil
}

// Start starts the node and returns when it serves.
func (n *Node) Start() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.command != nil {
		return fmt.Errorf("fabrictest: %s runs", n.Name)
	}
	log, err := os.OpenFile(n.Log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("fabrictest: a node's log: %w", err)
	}
	defer func() { _ = log.Close() }()
	c := n.Command(context.Background(), append([]string{"serve", "--socket", n.Socket(), "--data", n.Data(), "--cluster-lease", lease}, n.fabric.options.Flags...)...)
	c.Stderr = log
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := n.fabric.network.start(n.Name, c); err != nil {
		return fmt.Errorf("fabrictest: start %s: %w", n.Name, err)
	}
	n.command, n.ended, n.paused = c, make(chan struct{}), false
	ready := make(chan string, 1)
	go n.reap(c, out, ready, n.ended)
	select {
	case line := <-ready:
		if strings.Contains(line, "serving on") {
			return nil
		}
		return errors.Join(fmt.Errorf("fabrictest: %s said %q; its log is %s:\n%s", n.Name, line, n.Log(), n.lastWords()), n.stop(syscall.SIGKILL))
	case <-time.After(startTime):
		return errors.Join(fmt.Errorf("fabrictest: %s does not serve after %s; its log is %s:\n%s", n.Name, startTime, n.Log(), n.lastWords()), n.stop(syscall.SIGKILL))
	}
}

// reap reads what the process says, and waits for its end.
func (n *Node) reap(c *exec.Cmd, out io.Reader, ready chan<- string, ended chan<- struct{}) {
	r := bufio.NewReader(out)
	line, _ := r.ReadString('\n')
	ready <- line
	_, _ = io.Copy(io.Discard, r)
	_ = c.Wait()
	close(ended)
}

// lastWords are the end of the log.
func (n *Node) lastWords() string {
	text, _ := os.ReadFile(n.Log())
	return string(text[max(0, len(text)-2000):])
}

// Runs tells whether the node has a process, which may be paused.
func (n *Node) Runs() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.command != nil
}

// active tells whether it runs and is not paused.
func (n *Node) active() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.command != nil && !n.paused
}

// Kill ends the node's process with SIGKILL, and returns when it is gone. Its hosts end by
// themselves.
func (n *Node) Kill() error { return n.end(syscall.SIGKILL) }

// Terminate ends the node as a service manager does, and waits.
func (n *Node) Terminate() error { return n.end(syscall.SIGTERM) }

func (n *Node) end(s syscall.Signal) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.command == nil {
		return nil
	}
	return n.stop(s)
}

// stop needs mu, and a process.
func (n *Node) stop(s syscall.Signal) error {
	err := n.command.Process.Signal(s)
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	select {
	case <-n.ended:
	case <-time.After(stopTime):
		err = fmt.Errorf("fabrictest: %s has not ended %s after %s; its goroutines are at the end of %s:\n%s", n.Name, stopTime, unix.SignalName(s), n.Log(), n.lastWords())
		_ = n.command.Process.Signal(syscall.SIGQUIT) // the runtime tells what it waits for
		select {
		case <-n.ended:
		case <-time.After(orphanTime):
			_ = n.command.Process.Kill()
			<-n.ended
		}
	}
	n.command = nil
	n.Client.Close()
	if n.Bearer != nil {
		n.Bearer.Close()
	}
	return err
}

// Pause stops the node's process, or with all its hosts, too; Resume has all go on.
func (n *Node) Pause(all bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.command == nil {
		return nil
	}
	n.paused = true
	if !all {
		return n.command.Process.Signal(syscall.SIGSTOP)
	}
	pids, err := processesOf(n.program)
	return errors.Join(err, signalAll(pids, syscall.SIGSTOP))
}

// Resume has what was paused go on.
func (n *Node) Resume() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.paused {
		return nil
	}
	n.paused = false
	pids, err := processesOf(n.program)
	return errors.Join(err, signalAll(pids, syscall.SIGCONT))
}

// Left are processes of the node that have not ended in time, although it has.
func (n *Node) Left(patience time.Duration) (left []string) {
	var pids []int
	if await.Within(patience, func() bool {
		pids, _ = processesOf(n.program)
		return len(pids) == 0
	}) {
		return nil
	}
	for _, pid := range pids {
		left = append(left, fmt.Sprintf("%s of %s", describe(pid), n.Name))
	}
	return left
}
