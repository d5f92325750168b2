package host

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/broker/seal"
	"github.com/pyisolate/pyisolate/broker/transport"
	"github.com/pyisolate/pyisolate/cell/wire"
	"github.com/pyisolate/pyisolate/kernel/seccomp"
)

// What a host inherits: its socket to the node, a pipe with the secret that the
// channel on it is sealed by, and where the node watches what cells do with paths, the
// socket for their listeners.
const (
	ConnFD   = 3
	SecretFD = 4
	NotifyFD = 5
)

// handshakeTimeout is how long the node may take to prove itself.
const handshakeTimeout = 30 * time.Second

// collectAt is how much of its live memory, in percent, a host lets become garbage before it collects. It has some
// 2.5 MB: under a flood of large messages (bench msg.batch) it collects every 5.5 MB, and by Go's own 100 every 2.4 MB.
const collectAt = 200

// Main is the hidden host subcommand: it serves the inherited connection and
// returns the exit status. The caller must exit with it at once, since a thread
// that is stuck in native code does not end otherwise.
func Main(o Options) int {
	if err := confine(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	debug.SetGCPercent(collectAt)
	signal.Ignore(os.Interrupt) // a terminal's Ctrl-C is the node's to handle
	conn, err := connect()
	if err == nil {
		err = Serve(conn, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// connect makes the sealed connection to the node. The secret is gone after it.
func connect() (wire.Conn, error) {
	unix.CloseOnExec(ConnFD)
	pipe := os.NewFile(SecretFD, "secret")
	secret, err := seal.ReadSecret(pipe)
	if err := errors.Join(err, pipe.Close()); err != nil {
		return nil, fmt.Errorf("host: read the channel's secret: %w", err)
	}
	socket := transport.NewSocket(os.NewFile(ConnFD, "node"))
	overdue := time.AfterFunc(handshakeTimeout, func() { _ = socket.Close() })
	defer overdue.Stop()
	return wire.Accept(socket, seal.Config{Secret: secret})
}

// confineProcess puts a filter on all threads of this process, for good.
func confineProcess(filter []byte) error {
	if len(filter) == 0 {
		return nil
	}
	var p seccomp.Program
	err := p.UnmarshalBinary(filter)
	if err == nil {
		err = p.Install(seccomp.AllThreads)
	}
	if err != nil {
		return fmt.Errorf("host: confine this process: %w", err)
	}
	return nil
}

// hostFiles is the descriptor limit: two a cell, and the guests' own files.
const hostFiles = 1 << 20

// confine gives up what a host never needs, before any guest exists.
func confine() error {
	// The node may die without closing us first; not every kernel keeps the
	// parent's Pdeathsig through the exec.
	for _, step := range []struct {
		name   string
		option int
		value  uintptr
	}{
		{"parent-death signal", unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL)},
		{"no-new-privileges", unix.PR_SET_NO_NEW_PRIVS, 1},
		{"dumpable", unix.PR_SET_DUMPABLE, 0},
	} {
		if err := unix.Prctl(step.option, step.value, 0, 0, 0); err != nil {
			return fmt.Errorf("host: set %s: %w", step.name, err)
		}
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("host: forbid core dumps: %w", err)
	}
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return fmt.Errorf("host: read descriptor limit: %w", err)
	}
	files.Cur = min(files.Max, hostFiles)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return fmt.Errorf("host: raise descriptor limit: %w", err)
	}
	return nil
}
