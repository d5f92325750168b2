package hostile

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// sockets wait for whoever reaches them. Nobody serves them: the kernel keeps what came
// until the probe is over.
type sockets struct {
	tcp, tcp6, udp, udp6 int
	abstract, path       string
	datagrams            string         // in the file system, too
	waiting              map[string]int // descriptors
}

func listen(t *testing.T, dir string) *sockets {
	t.Helper()
	s := &sockets{waiting: map[string]int{}, path: filepath.Join(dir, "socket"), datagrams: filepath.Join(dir, "datagrams"), abstract: "\x00" + filepath.Base(dir)}
	s.tcp = s.open(t, "TCP", unix.SOCK_STREAM, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	s.udp = s.open(t, "UDP", unix.SOCK_DGRAM, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	s.tcp6 = s.open(t, "TCP of IPv6", unix.SOCK_STREAM, &unix.SockaddrInet6{Addr: [16]byte{15: 1}})
	s.udp6 = s.open(t, "UDP of IPv6", unix.SOCK_DGRAM, &unix.SockaddrInet6{Addr: [16]byte{15: 1}})
	s.open(t, "an abstract socket", unix.SOCK_STREAM, &unix.SockaddrUnix{Name: "@" + s.abstract[1:]})
	s.open(t, "an abstract socket for datagrams", unix.SOCK_DGRAM, &unix.SockaddrUnix{Name: "@" + s.abstract[1:] + "d"})
	s.open(t, "a socket in the file system", unix.SOCK_STREAM, &unix.SockaddrUnix{Name: s.path})
	s.open(t, "a socket in the file system for datagrams", unix.SOCK_DGRAM, &unix.SockaddrUnix{Name: s.datagrams})
	must(t, unix.Chmod(s.path, 0o777))
	must(t, unix.Chmod(s.datagrams, 0o777))
	return s
}

// open returns the port; 0 where the machine has no such address family.
func (s *sockets) open(t *testing.T, name string, kind int, at unix.Sockaddr) int {
	t.Helper()
	domain := unix.AF_UNIX
	switch at.(type) {
	case *unix.SockaddrInet4:
		domain = unix.AF_INET
	case *unix.SockaddrInet6:
		domain = unix.AF_INET6
	}
	fd, err := unix.Socket(domain, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		t.Cleanup(func() { _ = unix.Close(fd) })
		if err = unix.Bind(fd, at); err == nil && kind == unix.SOCK_STREAM {
			_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_FASTOPEN, 5) // not of every family
			err = unix.Listen(fd, 16)
		}
	}
	if err != nil && domain == unix.AF_INET6 {
		return 0
	}
	must(t, err)
	s.waiting[name] = fd
	bound, err := unix.Getsockname(fd)
	must(t, err)
	switch a := bound.(type) {
	case *unix.SockaddrInet4:
		return a.Port
	case *unix.SockaddrInet6:
		return a.Port
	}
	return 0
}

func (s *sockets) reached() (found []string) {
	for name, fd := range s.waiting {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if n, err := unix.Poll(poll, 0); err == nil && n > 0 {
			found = append(found, name+" was reached")
		}
	}
	return found
}
