package measure

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/guard"
	"github.com/pyisolate/pyisolate/kernel/notify"
	"github.com/pyisolate/pyisolate/kernel/policy"
	"github.com/pyisolate/pyisolate/kernel/seccomp"
)

// withFile calls f with a file and rules that permit to read it.
func withFile(f func(path string, rules []policy.FileRule) error) (err error) {
	dir, err := os.MkdirTemp("", "pyisolate-measure-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		return err
	}
	return f(path, []policy.FileRule{{Path: dir, Access: policy.Read}})
}

func openAndClose(path string) func() error {
	return func() error {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("measure: open %s: %w", path, err)
		}
		return unix.Close(fd)
	}
}

func open(n int, group string) (figures Figures, err error) {
	err = withFile(func(path string, rules []policy.FileRule) error {
		return withCell(guard.LSM, group, policy.Policy{Files: rules}, func(g *guard.Guard, c *guard.Cell) error {
			figures, err = compare(n, c.BindSelf, openAndClose(path))
			figures.By = "kind " + g.Kind().String()
			return err
		})
	})
	return figures, err
}

func openNotify(n int, _ string) (figures Figures, err error) {
	s, err := notify.New(notify.Options{})
	if errors.Is(err, notify.ErrUnsupported) {
		return Figures{}, fmt.Errorf("%w: %w", ErrMissing, err)
	}
	if err != nil {
		return Figures{}, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	program, err := seccomp.CompileNotify("")
	if err != nil {
		return Figures{}, err
	}
	err = withFile(func(path string, files []policy.FileRule) error {
		rules, err := notify.Compile(files)
		if err != nil {
			return err
		}
		figures, err = compare(n, func() error { return watch(s, program, rules) }, openAndClose(path))
		figures.By = "a supervisor in the same process"
		return err
	})
	return figures, err
}

// watch has the calling thread's calls judged by the supervisor.
func watch(s *notify.Supervisor, p seccomp.Program, rules *notify.Rules) error {
	listener, err := p.Listen()
	if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("%w: a thread gets no listener: %w", ErrMissing, err)
	}
	if err != nil {
		return err
	}
	_, err = s.Add(listener, notify.Target{Rules: rules})
	if errors.Is(err, notify.ErrUnsupported) {
		err = fmt.Errorf("%w: %w", ErrMissing, err)
	}
	return err
}

func connect(n int, group string) (figures Figures, err error) {
	l, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		return Figures{}, fmt.Errorf("measure: listen: %w", err)
	}
	hungUp := make(chan struct{})
	go func() {
		defer close(hungUp)
		hangUp(l)
	}()
	defer func() { err = errors.Join(err, l.Close()); <-hungUp }()
	at := l.Addr().(*net.TCPAddr).AddrPort()
	err = withCell(guard.Auto, group, port(at.Port()), func(g *guard.Guard, c *guard.Cell) error {
		figures, err = compare(n, c.BindSelf, connectAndClose(at))
		figures.By = "kind " + g.Kind().String()
		return err
	})
	return figures, err
}

// hangUp closes connections as they come.
func hangUp(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_ = c.Close()
	}
}

func connectAndClose(at netip.AddrPort) func() error {
	peer := &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}
	return func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("measure: make a socket: %w", err)
		}
		// Closing resets: thousands of ports that wait to be forgotten would run out.
		err = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		if err == nil {
			err = unix.Connect(fd, peer)
		}
		if err != nil {
			err = fmt.Errorf("measure: connect to %s: %w", at, err)
		}
		return errors.Join(err, unix.Close(fd))
	}
}
