package main

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startServe starts a node and returns it when it has said that it is ready.
func startServe(t *testing.T, dir string, env ...string) (c *exec.Cmd, ready string) {
	t.Helper()
	c = serveCommand(dir)
	c.Env = append(c.Env, env...)
	return c, readyServe(t, c)
}

func serveCommand(dir string, flags ...string) *exec.Cmd {
	c := exec.Command("/proc/self/exe")
	c.Args = append([]string{"pyisolate-node", "serve", "--socket", filepath.Join(dir, "s"), "--data", filepath.Join(dir, "data")}, flags...)
	c.Env = append(os.Environ(), mainEnv+"=1")
	c.Stderr = os.Stderr
	return c
}

func readyServe(t *testing.T, c *exec.Cmd) (ready string) {
	t.Helper()
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

// The service manager hears when a node is ready and when it ends; SIGTERM is a good end.
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
		buf := make([]byte, 64)
		n, err := manager.Read(buf)
		if err != nil || string(buf[:n]) != want {
			t.Fatalf("heard %q, %v; want %q", buf[:n], err, want)
		}
	}
	c, ready := startServe(t, dir, "NOTIFY_SOCKET="+filepath.Join(dir, "notify"))
	if !strings.Contains(ready, "serving on "+filepath.Join(dir, "s")) {
		t.Errorf("ready line %q", ready)
	}
	hears("READY=1")
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	hears("STOPPING=1")
	if err := c.Wait(); err != nil {
		t.Errorf("ended with %v", err)
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
	readyServe(t, c)
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

// What is at the socket's place and is no socket stays there.
func TestListenRemovesOnlySockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listen(path, 0o600); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("error %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "precious" {
		t.Errorf("the file is %q, %v", text, err)
	}
	if _, err := listen("/tmp/"+strings.Repeat("a", 200), 0o600); err == nil || !strings.Contains(err.Error(), "107 at most") {
		t.Errorf("a long path: %v", err)
	}
}

func TestListenPermissions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "s")
	l, err := listen(path, 0o640)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("permissions %v, %v", info.Mode(), err)
	}
}
