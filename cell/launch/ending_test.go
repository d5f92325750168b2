package launch_test

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/host"
	"github.com/pyisolate/pyisolate/cell/launch"
)

// stop has a process do nothing more.
func stop(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	// Its threads stop one by one.
	if err := unix.Waitid(unix.P_PID, pid, nil, unix.WSTOPPED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
}

// A host that does not end a cell is killed, whoever wanted that and has given up. The cell is
// not over before.
func TestHostThatDoesNotEndItsCellIsKilled(t *testing.T) {
	const short = 10 * time.Millisecond // less than the graces
	closing := func(t *testing.T, c cell.Cell) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), short)
		defer cancel()
		if err := c.Close(ctx); !errors.Is(err, cell.Timeout) {
			t.Errorf("close: %v", err)
		}
	}
	for name, end := range map[string]func(*testing.T, cell.Cell){
		"kill":  func(_ *testing.T, c cell.Cell) { c.Kill("enough") },
		"close": closing,
		"both": func(t *testing.T, c cell.Cell) {
			c.Kill("enough")
			closing(t, c)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var heard changes
			l := launcher(t, launch.Config{KillGrace: 50 * time.Millisecond, AnswerGrace: 200 * time.Millisecond, Hosts: heard.hear})
			c := spawn(t, l, cell.Spec{})
			pid := heard.pid()
			stop(t, pid)
			end(t, c)
			if name != "close" {
				if err := run(c, ""); !errors.Is(err, cell.CellGone) || !strings.Contains(err.Error(), "enough") {
					t.Errorf("exec of a cell that was killed: %v", err)
				}
			}
			select {
			case <-c.Done():
			case <-time.After(20 * time.Second):
				t.Fatal("the host was left alone")
			}
			if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
				t.Errorf("the cell is said to be over, and its host %d is there: %v", pid, err)
			}
		})
	}
}

// deafen has a process take nothing more from its node, and say nothing of it.
func deafen(t *testing.T, pid int) {
	t.Helper()
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(process) }()
	conn, err := unix.PidfdGetfd(process, host.ConnFD, 0)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) {
		t.Skip("this process may not take the host's descriptor: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(conn) }()
	if err := unix.Shutdown(conn, unix.SHUT_RD); err != nil {
		t.Fatal(err)
	}
}

// A host that does not read holds nobody: neither who sends it more than the channel takes, nor
// who sends it anything when it has ended its side.
func TestHostThatDoesNotReadIsKilled(t *testing.T) {
	for name, c := range map[string]struct {
		deaf bool
		says string
	}{
		"it stands still":       {false, "did not read"},
		"it has ended its side": {true, "closed its connection"},
	} {
		t.Run(name, func(t *testing.T) {
			var heard changes
			l := launcher(t, launch.Config{KillGrace: 50 * time.Millisecond, AnswerGrace: 100 * time.Millisecond, Hosts: heard.hear})
			one := spawn(t, l, cell.Spec{})
			pid := heard.pid()
			stop(t, pid)
			if c.deaf {
				deafen(t, pid)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if err := one.Exec(ctx, cell.Source{Code: make([]byte, 1<<20)}); !errors.Is(err, cell.CellGone) || ctx.Err() != nil {
				t.Errorf("exec: %v", err)
			}
			select {
			case <-one.Done():
			case <-time.After(20 * time.Second):
				t.Fatal("the host was left alone")
			}
			if err := one.Err(); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("the cell ended with %v", err)
			}
		})
	}
}
