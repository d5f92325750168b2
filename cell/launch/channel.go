package launch

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/broker/seal"
	"github.com/pyisolate/pyisolate/broker/transport"
	"github.com/pyisolate/pyisolate/cell/wire"
)

// channel is the way to a host that is being started: a socket, and a secret that
// only this host inherits, on a pipe of its own.
type channel struct {
	socket transport.Transport
	secret *seal.Secret
	// theirs become host.ConnFD, host.SecretFD and perhaps host.NotifyFD.
	theirs []*os.File
	// listeners of the filters that leave paths to the node come here; nil: none do.
	listeners *net.UnixConn
	// noUring is why the socket is not a ring, although one was asked for.
	noUring error
}

func newChannel(mode transport.Mode, watched bool) (c *channel, err error) {
	c = new(channel)
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("launch: make a host's channel: %w", err), c.close())
		}
	}()
	if c.secret, err = seal.GenerateSecret(); err != nil {
		return c, err
	}
	ours, theirs, err := transport.Pair()
	if err != nil {
		return c, err
	}
	c.theirs = []*os.File{theirs}
	if c.socket, err = transport.Open(ours, mode); errors.Is(err, transport.ErrNoUring) {
		c.noUring = err
		c.socket, err = transport.Open(ours, transport.ModeSocket)
	}
	if err != nil {
		return c, errors.Join(err, ours.Close())
	}
	out, in, err := os.Pipe()
	if err != nil {
		return c, err
	}
	c.theirs = append(c.theirs, out)
	if err := errors.Join(seal.WriteSecret(in, c.secret), in.Close()); err != nil || !watched {
		return c, err
	}
	return c, c.listen()
}

// listen makes the socket that listeners come over.
func (c *channel) listen() error {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	c.theirs = append(c.theirs, os.NewFile(uintptr(fds[1]), "listeners"))
	ours := os.NewFile(uintptr(fds[0]), "listeners")
	defer func() { _ = ours.Close() }()
	conn, err := net.FileConn(ours)
	if err != nil {
		return err
	}
	c.listeners = conn.(*net.UnixConn)
	return nil
}

// started gives up the host's ends, which the host has now.
func (c *channel) started() {
	for _, f := range c.theirs {
		_ = f.Close()
	}
	c.theirs = nil
}

// dial returns when the host has proved that it is the one that was started. The
// host's death ends it.
func (c *channel) dial(patience time.Duration) (wire.Conn, error) {
	return wire.Dial(c.socket, seal.Config{Secret: c.secret}, patience)
}

// deaf ends the reading of listeners.
func (c *channel) deaf() {
	if c.listeners != nil {
		_ = c.listeners.Close()
	}
}

func (c *channel) close() error {
	c.secret.Destroy()
	c.started()
	c.deaf()
	if c.socket == nil {
		return nil
	}
	return c.socket.Close()
}
