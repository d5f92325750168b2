package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const dialEnv = "PYISOLATE_TEST_DIAL"

// init makes of the test binary a client of another user, or in other namespaces.
func init() {
	if path := os.Getenv(dialEnv); path != "" {
		c, err := net.Dial("unix", path)
		if err != nil {
			fmt.Println("cannot connect:", err)
			os.Exit(1)
		}
		_, _ = c.Read(make([]byte, 1)) // until the test has seen us
		os.Exit(0)
	}
}

func listenHere(t *testing.T) (*peerListener, string) {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "peer")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	return newPeerListener(l), path
}

// Who is trusted: this user where the node is, outside what it has started, and nobody else.
func TestPeers(t *testing.T) {
	own := uint32(os.Geteuid())
	for _, c := range []struct {
		name    string
		attr    *syscall.SysProcAttr
		orphan  bool // nobody's child who is of this process
		uid     uint32
		trusted bool
	}{
		{"the same user", &syscall.SysProcAttr{}, true, own, true},
		{"a process of this one", &syscall.SysProcAttr{}, false, own, false},
		{"another user", &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534, NoSetGroups: true}}, true, 65534, false},
		{"the same user in a process namespace of its own", &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}, false, own, false},
		{"the same user in a user namespace of its own", &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: int(own), Size: 1}}}, true, own, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, path := listenHere(t)
			self, err := os.ReadFile("/proc/self/exe")
			if err != nil {
				t.Fatal(err)
			}
			// A copy that every user may execute.
			client := filepath.Join(filepath.Dir(path), "client")
			if err := os.WriteFile(client, self, 0o755); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(client)
			if c.orphan {
				cmd = exec.Command("sh", "-c", client+" & read line <&3") // ends when the client has connected
			}
			line, hold, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = line.Close() }()
			cmd.Env, cmd.SysProcAttr, cmd.ExtraFiles = append(os.Environ(), dialEnv+"="+path), c.attr, []*os.File{line}
			if err := cmd.Start(); err != nil {
				_ = hold.Close()
				t.Skipf("cannot start a client like this here: %v", err)
			}
			if c.orphan {
				_ = hold.Close()
				_ = cmd.Wait()
			} else {
				defer func() { _ = hold.Close(); _ = cmd.Wait() }()
			}
			_ = l.SetDeadline(time.Now().Add(20 * time.Second))
			conn, err := l.Accept()
			if err != nil {
				t.Fatalf("the client does not connect: %v", err)
			}
			p := peerOf(withPeer(context.Background(), conn))
			_ = conn.Close()
			if p.uid != c.uid || p.trusted != c.trusted || p.source != fmt.Sprintf("uid:%d", c.uid) {
				t.Errorf("peer %+v, want user %d, trusted %t", p, c.uid, c.trusted)
			}
			if len(l.open) != 0 {
				t.Errorf("connections are counted after their end: %v", l.open)
			}
		})
	}
}

// A process's name cannot lie about its parent.
func TestParentOf(t *testing.T) {
	if err := os.WriteFile("/proc/self/comm", []byte(") S 1 ("), 0); err != nil {
		t.Skipf("cannot change this process's name: %v", err)
	}
	parent, err := parentOf(int32(os.Getpid()))
	if err != nil || parent != int32(os.Getppid()) {
		t.Errorf("parent %d, %v; want %d", parent, err, os.Getppid())
	}
	if descends(int32(os.Getpid()), 1<<22) || !descends(int32(os.Getpid()), int32(os.Getppid())) {
		t.Error("descent is not what it is")
	}
}

// One user cannot take all connections, and none that is closed counts.
func TestConnectionsOfOneUser(t *testing.T) {
	l, path := listenHere(t)
	var clients []net.Conn
	dial := func() net.Conn {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
		return c
	}
	defer func() {
		for _, c := range clients {
			_ = c.Close()
		}
	}()
	var first net.Conn
	const places = 8
	l.open[uint32(os.Geteuid())] = maxTrusted - places
	for range places {
		dial()
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = c
		}
	}
	over := dial()
	accepted := make(chan net.Conn)
	go func() {
		defer close(accepted)
		if c, err := l.Accept(); err == nil {
			accepted <- c
		}
	}()
	_ = over.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := over.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("one too many is served")
	}
	_ = first.Close()
	_ = first.Close() // counts once
	dial()
	if c := <-accepted; c == nil {
		t.Error("a place that is free again is not given")
	}
	_ = l.Close()
}

// A client that is not on a socket is never trusted.
func TestPeerOfTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if p := peerOf(withPeer(context.Background(), c)); p.trusted || p.source != "127.0.0.1" {
		t.Errorf("peer %+v", p)
	}
	if p := peerOf(context.Background()); p.trusted {
		t.Errorf("nobody is trusted: %+v", p)
	}
}
