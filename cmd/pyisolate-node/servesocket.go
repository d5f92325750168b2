package main

import (
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

// listen makes the socket, in place of one that nobody listens on any more.
func listen(path string, permissions os.FileMode) (*net.UnixListener, error) {
	if len(path) >= len(unix.RawSockaddrUnix{}.Path) {
		return nil, usageError{fmt.Errorf("--socket: %s has %d bytes; a socket's path has %d at most", path, len(path), len(unix.RawSockaddrUnix{}.Path)-1)}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("--socket: %w", err)
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	// Nobody connects before the permissions are as they should be.
	old := unix.Umask(0o177)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	unix.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("--socket: %w", err)
	}
	if err := os.Chmod(path, permissions); err != nil {
		return nil, errors.Join(fmt.Errorf("--socket: %w", err), l.Close())
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
		return fmt.Errorf("--socket: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return usageError{fmt.Errorf("--socket: %s is there and is no socket", path)}
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		_ = c.Close()
		return usageError{fmt.Errorf("--socket: another process listens on %s; end it, or give another --socket", path)}
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		return fmt.Errorf("--socket: is %s in use? %w", path, err)
	}
	return os.Remove(path)
}

// notify tells the service manager, if one has started us, how it stands.
func notify(logger *slog.Logger, state string) {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return
	}
	if strings.HasPrefix(name, "@") { // the abstract namespace
		name = "\x00" + name[1:]
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err == nil {
		_, err = c.Write([]byte(state))
		err = errors.Join(err, c.Close())
	}
	if err != nil {
		logger.Warn("the service manager was not told", slog.String("state", state), slog.Any("error", err))
	}
}
