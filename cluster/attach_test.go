package cluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cluster/remote"
	"github.com/pyisolate/pyisolate/internal/await"
)

// envDir has this program be a node of its own, whose files are there: protoactor's remote is one to
// a process.
const envDir = "PYISOLATE_TEST_CLUSTER"

// serve is the life of such a node, until its input ends.
func serve(dir string) error {
	c, err := Open(context.Background(), Config{
		Dir: dir, Timeout: testTimeout, TTL: testTTL, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return err
	}
	system := actors.New(actors.Options{})
	if err := c.Attach(system); err != nil {
		return err
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return errors.Join(c.Close(ctx), system.Close(ctx))
}

// process starts a node of its own.
func process(t *testing.T, dir string) (kill func(), stop func() error) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envDir+"="+dir)
	cmd.Stderr = t.Output()
	stdin, err := cmd.StdinPipe()
	must(t, err)
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	ended := false
	end := func() error {
		if ended {
			return nil
		}
		ended = true
		return cmd.Wait()
	}
	kill = func() {
		if !ended {
			_ = cmd.Process.Kill()
			_ = end()
		}
	}
	t.Cleanup(kill)
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	return kill, func() error {
		_ = stdin.Close()
		return end()
	}
}

// Cells of one node are asked from another, until it dies: then who asks is told soon.
func TestAttach(t *testing.T) {
	n1 := found(t, "n1")
	n1.open()
	leader(t, []*node{n1})
	env := actors.Envelope{To: actors.Address{Tenant: "acme", Name: "nobody"}, Body: actors.Inspect{}}
	if reply := n1.Via("n2").Ask(soon(t), env); !errors.Is(reply.Err, cell.Busy) {
		t.Errorf("without actors: %+v", reply)
	}
	system := actors.New(actors.Options{})
	defer func() { must(t, system.Close(soon(t))) }()
	must(t, n1.Attach(system))
	if err := n1.Attach(system); err == nil {
		t.Error("twice")
	}
	n2 := join(t, n1, "n2")
	kill, _ := process(t, n2.dir)
	await.That(t, "there is a link", func() bool { return n1.Remote().Stats().Links == 1 })
	reply := n1.Via("n2").Ask(soon(t), env)
	if reply.Err == nil || errors.Is(reply.Err, cell.Busy) || !strings.Contains(reply.Err.Error(), "nobody") {
		t.Errorf("a cell that is not there: %+v", reply)
	}
	begin := time.Now()
	kill()
	await.That(t, "it is missed", func() bool { return n1.presence.of("n2") == Failed && n1.Remote().Stats().Links == 0 })
	t.Logf("its death was noticed after %s", time.Since(begin))
	if reply := n1.Via("n2").Ask(soon(t), env); reply.Err == nil {
		t.Errorf("%+v", reply)
	}
	_, stop := process(t, n2.dir)
	await.That(t, "it is back", func() bool {
		reply := n1.Via("n2").Ask(soon(t), env)
		return reply.Err != nil && strings.Contains(reply.Err.Error(), "nobody")
	})
	must(t, stop())
	await.That(t, "it said that it stops", func() bool { return n1.presence.of("n2") == Left })
	n1.close()
}

// What is attached while the node's part ends is ended with it.
func TestAttachWhileItCloses(t *testing.T) {
	n := found(t, "n1")
	n.open()
	system := actors.New(actors.Options{})
	defer func() { must(t, system.Close(soon(t))) }()
	n.looking.Lock() // as Attach does; it has found that there is time
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		n.close()
	}()
	<-n.life.Done()
	select { // it waits for who attaches
	case <-closed:
	case <-time.After(50 * time.Millisecond):
	}
	r, err := remote.New(remote.Config{System: system, Self: n.Self()}.Over(n.wire))
	must(t, err)
	n.remote.Store(r)
	n.looking.Unlock()
	<-closed
	if left := n.Remote(); left != nil {
		t.Error("it goes on")
		_ = left.Close()
	}
}
