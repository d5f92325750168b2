package main

import (
	"bufio"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/api/client"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
)

// startServe starts a node and returns it when it has said that it is ready.
func startServe(t *testing.T, dir string, env ...string) (c *exec.Cmd, ready string) {
	t.Helper()
	c = serveCommand(dir)
	c.Env = append(c.Env, env...)
	return c, begin(t, c)
}

func serveCommand(dir string, flags ...string) *exec.Cmd {
	c := exec.Command("/proc/self/exe")
	c.Args = append([]string{"pyisolate-node", "serve", "--socket", filepath.Join(dir, "s"), "--data", filepath.Join(dir, "data")}, flags...)
	c.Env = append(os.Environ(), mainEnv+"=1")
	return c
}

// begin starts a node, until the test's end, and returns what it says when it is ready.
func begin(t *testing.T, c *exec.Cmd) (ready string) {
	t.Helper()
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("it said %q, then %v", line, err)
	}
	return line
}

// The service manager hears when a node is ready, reloads and ends; SIGTERM is a good end.
func TestServeTellsTheServiceManager(t *testing.T) {
	dir := t.TempDir()
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = manager.Close() }()
	hears := func(want string) {
		t.Helper()
		_ = manager.SetReadDeadline(time.Now().Add(30 * time.Second))
		buf := make([]byte, 256)
		n, err := manager.Read(buf)
		if err != nil || !strings.HasPrefix(string(buf[:n]), want) {
			t.Fatalf("heard %q, %v; want %q", buf[:n], err, want)
		}
	}
	c, ready := startServe(t, dir, "NOTIFY_SOCKET="+filepath.Join(dir, "notify"))
	if !strings.Contains(ready, "serving on "+filepath.Join(dir, "s")) {
		t.Errorf("ready line %q", ready)
	}
	hears("READY=1\nSTATUS=ready")
	for signal, words := range map[syscall.Signal][]string{syscall.SIGHUP: {"RELOADING=1\nMONOTONIC_USEC=", "READY=1"}} {
		if err := c.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		for _, word := range words {
			hears(word)
		}
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	hears("STOPPING=1\nSTATUS=draining")
	if err := c.Wait(); err != nil {
		t.Errorf("ended with %v", err)
	}
}

// A service manager's socket is the one that is listened on, and it outlives the node.
func TestServeBySocketActivation(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "activated")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("/bin/sh", "-c", `export LISTEN_PID=$$ LISTEN_FDS=1; exec "$0" serve --data "$1"`, self, filepath.Join(dir, "data"))
	c.Env = append(os.Environ(), mainEnv+"=1", "XDG_RUNTIME_DIR=") // there is no default place, and none is needed
	c.ExtraFiles = []*os.File{f}
	ready := begin(t, c)
	if !strings.Contains(ready, "serving on "+path+", data in") {
		t.Errorf("ready line %q", ready)
	}
	calls, err := client.New(client.Config{Socket: path})
	if err != nil {
		t.Fatal(err)
	}
	defer calls.Close()
	if _, err := calls.Cells.List(t.Context(), connect.NewRequest(&pb.ListCellsRequest{})); err != nil {
		t.Error(err)
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("ended with %v", err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the service manager's socket is gone: %v", err)
	}
}

// A node ends with the program that started it and holds its standard input, however that ends.
func TestServeExitWithStdin(t *testing.T) {
	dir := t.TempDir()
	c := serveCommand(dir, "--exit-with-stdin")
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	begin(t, c)
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("ended with %v", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "s")); err == nil {
		t.Error("the socket is still there: it was no orderly end")
	}
}

// A node that was killed leaves a socket and a lock, which are in nobody's way.
func TestServeAfterKill(t *testing.T) {
	dir := t.TempDir()
	c, _ := startServe(t, dir)
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	if _, err := os.Lstat(filepath.Join(dir, "s")); err != nil {
		t.Fatalf("no socket is left, and nothing is tested: %v", err)
	}
	startServe(t, dir)
}

// What runs in a cell that is closed is interrupted at once, as its help says.
func TestCloseInterrupts(t *testing.T) {
	dir := t.TempDir()
	startServe(t, dir)
	socket := "--socket=" + filepath.Join(dir, "s")
	if out, err := program(t, "cell", "spawn", "--allow-import=time", "busy", socket).Output(); err != nil {
		t.Fatal(err, string(out))
	}
	runs := program(t, "cell", "exec", "busy", "-c", "import time; post(1); time.sleep(60)", socket)
	if err := runs.Start(); err != nil {
		t.Fatal(err)
	}
	if out, err := program(t, "cell", "recv", "-n1", "busy", socket).Output(); err != nil || string(out) != "1\n" {
		t.Fatal(err, string(out))
	}
	begun := time.Now()
	if out, err := program(t, "cell", "close", "--within=30s", "busy", socket).Output(); err != nil || time.Since(begun) > 20*time.Second {
		t.Errorf("after %s: %v, %s", time.Since(begun), err, out)
	}
	var exit *exec.ExitError
	if err := runs.Wait(); !errors.As(err, &exit) || exit.ExitCode() != statusOfKind(cell.CellGone) {
		t.Errorf("what ran ended with %v", err)
	}
}
