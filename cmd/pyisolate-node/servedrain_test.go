package main

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/api/client"
	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/internal/logged"
)

// status is that of a page of the node on a socket; 0: nobody answers.
func status(t *testing.T, socket, path string) int {
	t.Helper()
	c := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	r, err := c.Get("http://node" + path)
	if err != nil {
		return 0
	}
	_ = r.Body.Close()
	return r.StatusCode
}

// atWork has a cell run a program that says that it runs, and then waits for a message.
func atWork(t *testing.T, calls *client.Client) (executed <-chan error) {
	t.Helper()
	ctx := context.Background() // not the test's: it is to be the node that ends it
	if _, err := calls.Cells.Spawn(ctx, connect.NewRequest(&pb.SpawnRequest{Name: "one"})); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := calls.Cells.Exec(ctx, connect.NewRequest(&pb.ExecRequest{Name: "one", Code: "post(1); recv()"}))
		done <- err
	}()
	if _, err := calls.Cells.Recv(ctx, connect.NewRequest(&pb.RecvRequest{Name: "one"})); err != nil {
		t.Fatal(err)
	}
	return done
}

func dial(t *testing.T, socket string) *client.Client {
	t.Helper()
	calls, err := client.New(client.Config{Socket: socket})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(calls.Close)
	return calls
}

// SIGTERM lets what is under way finish, and nothing new begin.
func TestServeDrains(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	c, _ := startServe(t, dir, "PYISOLATE_DRAIN_TIMEOUT=5m")
	calls := dial(t, socket)
	executed := atWork(t, calls)
	for _, page := range []string{"/healthz", "/readyz"} {
		if got := status(t, socket, page); got != http.StatusOK {
			t.Errorf("%s: %d", page, got)
		}
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	await.That(t, "/readyz says that it drains", func() bool { return status(t, socket, "/readyz") == http.StatusServiceUnavailable })
	if got := status(t, socket, "/healthz"); got != http.StatusOK {
		t.Errorf("/healthz of a node that drains: %d", got)
	}
	if _, err := calls.Cells.Spawn(t.Context(), connect.NewRequest(&pb.SpawnRequest{Name: "two"})); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("a spawn: %v", err)
	}
	nodes, err := calls.Nodes.ListNodes(t.Context(), connect.NewRequest(&pb.ListNodesRequest{}))
	if err != nil || nodes.Msg.GetNodes()[0].GetState() != "draining" {
		t.Errorf("the node is %v, %v", nodes, err)
	}
	if _, err := calls.Cells.Send(t.Context(), connect.NewRequest(&pb.SendRequest{Name: "one", Value: &pb.Value{Kind: &pb.Value_Json{Json: "1"}}})); err != nil {
		t.Error(err)
	}
	if err := <-executed; err != nil {
		t.Errorf("what was under way: %v", err)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("ended with %v", err)
	}
}

// A second signal waits for nothing.
func TestServeEndsAtOnce(t *testing.T) {
	dir := t.TempDir()
	c, _ := startServe(t, dir, "PYISOLATE_DRAIN_TIMEOUT=5m")
	executed := atWork(t, dial(t, filepath.Join(dir, "s")))
	began := time.Now()
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	await.That(t, "/readyz says that it drains", func() bool { return status(t, filepath.Join(dir, "s"), "/readyz") == http.StatusServiceUnavailable })
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-executed; err == nil {
		t.Error("what was under way has finished")
	}
	if err := c.Wait(); err != nil {
		t.Errorf("ended with %v", err)
	}
	if took := time.Since(began); took > time.Minute {
		t.Errorf("it took %s", took)
	}
	if _, err := os.Lstat(filepath.Join(dir, "s")); err == nil {
		t.Error("the socket is left: it was no orderly end")
	}
}

// A user without privileges runs a node, too, and hears once what its cells go without.
func TestServeUnprivileged(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the test becomes another user, which only root can")
	}
	if testing.Short() {
		t.Skip("another user's Python is unpacked first, which takes some seconds")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "unprivileged-") // where another user gets to
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	binary := filepath.Join(dir, "pyisolate-node")
	if err := copyFile(self, binary); err != nil {
		t.Fatal(err)
	}
	const nobody = 65534
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(dir+"/home", 0o700), os.Chown(dir+"/home", nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	socket := dir + "/home/s"
	c := exec.Command(binary, "serve", "--socket", socket, "--data", dir+"/home/data")
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir + "/home", mainEnv + "=1"}
	c.Dir = "/"
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	said := &logged.Text{}
	c.Stderr = said
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill() })
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("it said %q, %v; and\n%s", line, err, said)
	}
	calls := dial(t, socket)
	if _, err := calls.Cells.Spawn(t.Context(), connect.NewRequest(&pb.SpawnRequest{Name: "one"})); err != nil {
		t.Error(err)
	}
	if _, err := calls.Cells.Exec(t.Context(), connect.NewRequest(&pb.ExecRequest{Name: "one", Code: "post(1)"})); err != nil {
		t.Error(err)
	}
	nodes, err := calls.Nodes.ListNodes(t.Context(), connect.NewRequest(&pb.ListNodesRequest{}))
	if err != nil || nodes.Msg.GetNodes()[0].GetRoot() {
		t.Errorf("the node is %v, %v", nodes, err)
	}
	const reduced = "cells go without some layers"
	await.That(t, "what is reduced is heard", func() bool { return strings.Contains(said.String(), reduced) })
	if got := strings.Count(said.String(), reduced); got != 1 {
		t.Errorf("what is reduced is said %d times", got)
	}
	if info, err := os.Stat(socket); err != nil || info.Sys().(*syscall.Stat_t).Uid != nobody {
		t.Errorf("the socket is %v, %v", info, err)
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("ended with %v\n%s", err, said)
	}
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755)
}
