package conformance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/landlock"
	"github.com/pyisolate/pyisolate/kernel/policy"
)

// restricted calls f on a thread that has put on Landlock rules for the policy.
func restricted(p policy.Policy, f func() error) error {
	abi, err := landlock.ABI()
	if err != nil {
		return err
	}
	spec, _, err := landlock.Compile(p, abi)
	if err != nil {
		return err
	}
	spec.Scope = 0 // the Go runtime signals its other threads from any
	return onThread(func() error {
		if err := spec.Restrict(); err != nil {
			return err
		}
		return f()
	})
}

// withFiles calls f with two files; the first is to be permitted.
func withFiles(f func(permitted, other string) error) error {
	dir, err := os.MkdirTemp("", "pyisolate-conformance-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	paths := []string{filepath.Join(dir, "permitted"), filepath.Join(dir, "other")}
	for _, path := range paths {
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			return err
		}
	}
	return f(paths[0], paths[1])
}

func tryLandlockFile(context.Context, *scene) (string, error) {
	err := withFiles(func(permitted, other string) error {
		return restricted(readOnly(permitted), func() error { return errors.Join(opens(permitted), refused(other)) })
	})
	return "the file of the rule was opened, the one beside it refused: " + unix.EACCES.Error(), err
}

func tryLandlockTruncate(context.Context, *scene) (string, error) {
	err := withFiles(func(permitted, other string) error {
		return restricted(readOnly(permitted), func() error { return denies("truncate", unix.Truncate(other, 0)) })
	})
	return "truncate was refused: " + unix.EACCES.Error(), err
}

// denies fails unless err is the kernel's refusal.
func denies(what string, err error) error {
	if err == nil {
		return fmt.Errorf("%s: what no rule permits was done", what)
	}
	if !errors.Is(err, unix.EACCES) {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

var loopback = netip.MustParseAddr("127.0.0.1")

func tryLandlockConnect(context.Context, *scene) (string, error) {
	var ports [2]uint16
	for i := range ports {
		l, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(netip.AddrPortFrom(loopback, 0)))
		if err != nil {
			return "", err
		}
		defer func() { _ = l.Close() }()
		ports[i] = l.Addr().(*net.TCPAddr).AddrPort().Port()
	}
	err := restricted(*toPorts(ports[0]), func() error {
		if err := connect(ports[0]); err != nil {
			return fmt.Errorf("connect to the port of the rule: %w", err)
		}
		return denies("connect", connect(ports[1]))
	})
	return "the port of the rule was connected to, the other refused: " + unix.EACCES.Error(), err
}

func connect(port uint16) error {
	return onSocket(func(fd int, at *unix.SockaddrInet4) error {
		at.Port = int(port)
		return unix.Connect(fd, at)
	})
}

func tryLandlockBind(context.Context, *scene) (string, error) {
	err := restricted(policy.Policy{}, func() error {
		return denies("bind", onSocket(func(fd int, at *unix.SockaddrInet4) error { return unix.Bind(fd, at) }))
	})
	return "bind was refused: " + unix.EACCES.Error(), err
}

func onSocket(f func(fd int, at *unix.SockaddrInet4) error) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	return f(fd, &unix.SockaddrInet4{Addr: loopback.As4()})
}
