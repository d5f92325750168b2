package landlock

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

func dial(port int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	return unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
}

func listen(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Skipf("cannot listen here: %v", err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestNetwork(t *testing.T) {
	abiHere(t, 4)
	open := listen(t, "tcp", "127.0.0.1:0").Addr().(*net.TCPAddr).Port
	closed := listen(t, "tcp", "127.0.0.1:0").Addr().(*net.TCPAddr).Port
	rule := policy.NetRule{Prefix: netip.MustParsePrefix("127.0.0.0/8"), Ports: []policy.PortRange{{First: uint16(open), Last: uint16(open)}}}
	restricted(t, policy.Policy{Net: []policy.NetRule{rule}}, func() error {
		if err := dial(open); err != nil {
			return fmt.Errorf("the open port: %w", err)
		}
		if err := dial(closed); !errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("the closed port: %w", err)
		}
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(fd) }()
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); !errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("bind: %w", err)
		}
		return nil
	})
	restricted(t, policy.Policy{}, func() error {
		if err := dial(open); !errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("no network: %w", err)
		}
		return nil
	})
}

func TestScope(t *testing.T) {
	abiHere(t, 6)
	name := "@pyisolate-landlock-" + strconv.Itoa(os.Getpid())
	listen(t, "unix", name)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	restricted(t, policy.Policy{Files: []policy.FileRule{{Path: "/", Access: policy.Read | policy.Execute}}}, func() error {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(fd) }()
		if err := unix.Connect(fd, &unix.SockaddrUnix{Name: name}); !errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("an abstract socket: %w", err)
		}
		// A child, which has the restriction too, signals this process.
		c := exec.Command(self)
		c.Env = []string{signalEnv + "=" + strconv.Itoa(os.Getpid())}
		out, err := c.Output()
		if err != nil || string(out) != unix.EPERM.Error() {
			return fmt.Errorf("a signal outside: %q, %w", out, err)
		}
		return nil
	})
}

// TestDescriptor: one ruleset restricts several threads, and closing it lifts nothing.
