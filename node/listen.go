package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// listener is one with the address by which clients know it.
type listener struct {
	net.Listener
	address address
}

// describe says in one line where a node of this configuration listens.
func (c Config) describe() string {
	var all []string
	for _, at := range c.addresses() {
		if at.scheme == "unix" {
			all = append(all, at.place)
		} else {
			all = append(all, at.String())
		}
	}
	if len(all) == 0 {
		return "sockets that it was given"
	}
	return strings.Join(all, ", ")
}

// addresses are those of Socket and Listen. The configuration is valid.
func (c Config) addresses() (all []address) {
	if c.Socket != NoSocket {
		all = append(all, address{"unix", c.Socket})
	}
	for _, text := range c.Listen {
		if at, err := parseAddress(text); err == nil {
			all = append(all, at)
		}
	}
	return all
}

// openListeners takes the sockets that were handed over, and opens the others.
func (n *Node) openListeners(context.Context) error {
	if n.config.TLSCert != "" {
		var err error
		if n.certs, err = openCertificates(n.config.TLSCert, n.config.TLSKey, n.logger); err != nil {
			return err
		}
	}
	given := map[string]bool{}
	for _, l := range n.config.Inherited {
		at := n.addressOf(l)
		given[at.String()] = true
		n.add(l, at)
	}
	for _, at := range n.config.addresses() {
		if given[at.String()] {
			continue
		}
		l, err := at.listen(n.config.SocketMode)
		if err != nil {
			return err
		}
		if at.scheme != "unix" && strings.HasSuffix(at.place, ":0") { // the kernel has chosen
			host, _, _ := net.SplitHostPort(at.place)
			_, port, _ := net.SplitHostPort(l.Addr().String())
			at.place = net.JoinHostPort(host, port)
		}
		n.add(l, at)
	}
	return nil
}

func (n *Node) addressOf(l net.Listener) address {
	switch {
	case l.Addr().Network() == "unix":
		return address{"unix", l.Addr().String()}
	case n.certs != nil:
		return address{"https", l.Addr().String()}
	}
	return address{"http", l.Addr().String()}
}

func (n *Node) add(l net.Listener, at address) {
	if at.scheme == "https" {
		l = tls.NewListener(l, n.certs.config())
	}
	n.listeners = append(n.listeners, listener{l, at})
}

// listen has the API answered at all addresses, until the server is closed.
func (n *Node) listen(context.Context) error {
	for _, l := range n.listeners {
		n.serving.Go(func() {
			if err := n.server.Serve(l.Listener); err != nil {
				select {
				case n.failed <- fmt.Errorf("node: %s: %w", l.address, err):
				default:
					n.logger.Error("it listens no more", slog.String("address", l.address.String()), slog.Any("error", err))
				}
			}
		})
	}
	return nil
}

func (a address) listen(permissions fs.FileMode) (net.Listener, error) {
	if a.scheme == "unix" {
		return listenUnix(a.place, permissions)
	}
	l, err := net.Listen("tcp", a.place)
	if errors.Is(err, unix.EADDRINUSE) {
		return nil, fmt.Errorf("%s is %w: end what listens there, or choose another address with listen", a, ErrInUse)
	}
	if err != nil {
		return nil, fmt.Errorf("node: listen at %s: %w", a, err)
	}
	return l, nil
}

// listenUnix makes the socket, in place of one that nobody listens on any more.
func listenUnix(path string, permissions fs.FileMode) (*net.UnixListener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("node: socket: %w", err)
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	// Nobody connects before the permissions are as they should be.
	old := unix.Umask(0o177)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	unix.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("node: socket: %w", err)
	}
	if err := os.Chmod(path, permissions); err != nil {
		return nil, errors.Join(fmt.Errorf("node: socket: %w", err), l.Close())
	}
	return l, nil
}

// removeStale removes a socket that a node which was killed has left, and nothing else.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("node: socket: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("node: socket: %w: %s is there and is no socket", ErrInUse, path)
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		_ = c.Close()
		return fmt.Errorf("node: socket: %w: another process listens on %s; end it, or give another --socket", ErrInUse, path)
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		return fmt.Errorf("node: socket: is %s in use? %w", path, err)
	}
	return os.Remove(path)
}
