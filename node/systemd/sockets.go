package systemd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// firstSocket is SD_LISTEN_FDS_START, and maxSockets more than any unit has.
const (
	firstSocket = 3
	maxSockets  = 64
)

// Listeners are the sockets that the service manager has handed over, which listen already.
// They are the caller's. The variables that told of them are gone afterwards: whatever this
// process starts has not been meant.
func Listeners() ([]net.Listener, error) {
	pid, count := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS")
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		_ = os.Unsetenv(name)
	}
	if pid != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > maxSockets {
		return nil, fmt.Errorf("sockets that were handed over: LISTEN_FDS is %q: it must be 0 to %d", count, maxSockets)
	}
	var all []net.Listener
	for fd := firstSocket; fd < firstSocket+n; fd++ {
		unix.CloseOnExec(fd)
		l, err := listener(fd)
		if err != nil {
			for _, open := range all {
				err = errors.Join(err, open.Close())
			}
			return nil, fmt.Errorf("socket %d that was handed over: %w: use ListenStream=", fd, err)
		}
		all = append(all, l)
	}
	return all, nil
}

func listener(fd int) (net.Listener, error) {
	f := os.NewFile(uintptr(fd), "listen-"+strconv.Itoa(fd))
	defer func() { _ = f.Close() }() // the listener has a descriptor of its own
	if listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil {
		return nil, err
	} else if listens == 0 {
		return nil, errors.New("it does not listen")
	}
	l, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false) // the socket is the service manager's
	}
	return l, nil
}
