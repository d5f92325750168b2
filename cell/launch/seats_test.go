package launch

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/broker/transport"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/wire"
	"github.com/pyisolate/pyisolate/kernel/cgroup"
	"github.com/pyisolate/pyisolate/kernel/enforce"
	"github.com/pyisolate/pyisolate/kernel/policy"
	"github.com/pyisolate/pyisolate/kernel/seccomp"
)

// seatOf has the kernel's layers prepare a seat of a host's process.
func seatOf(t *testing.T, h *hostproc) (*enforce.Enforcer, *enforce.Seat) {
	t.Helper()
	kernel := enforce.New(enforce.Options{})
	t.Cleanup(func() {
		if err := kernel.Close(); err != nil {
			t.Error(err)
		}
	})
	seat, err := kernel.Seat(os.Getpid(), h.proc.cmd.Process.Pid, true, policy.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	return kernel, seat
}

// A host that dies while a cell is given a seat there has crashed, and no policy is at fault; and
// the seat is given back, though the host's others have been already.
func TestHostDiesWhileASeatIsPrepared(t *testing.T) {
	h, c, _ := impostor(t)
	kernel, seat := seatOf(t, h)
	h.gone = make(chan struct{})
	h.seats = &seats{enforcer: kernel, free: []*numbered{{1, seat}}}
	c.seatIn(h)
	// As attend has it.
	h.dead = true
	c.end(cell.Crashed, "host process died", nil)
	close(h.gone)
	if _, _, err := c.chooseWorker(); !errors.Is(err, cell.CellGone) {
		t.Errorf("it fails with %v", err)
	}
	if _, err := seat.Put(policy.Policy{}, cgroup.Limits{}); !errors.Is(err, enforce.ErrClosed) || len(h.seats.free) > 0 {
		t.Errorf("the seat: %v; %d are free", err, len(h.seats.free))
	}
}

// watchedThread is a thread under the filter that leaves paths to a node, and its listener. What it
// is given it opens.
func watchedThread(t *testing.T) (listener *os.File, open func(path string) error) {
	t.Helper()
	program, err := seccomp.CompileNotify("")
	if err != nil {
		t.Skip(err)
	}
	paths, answers := make(chan string), make(chan error)
	var begin func(held chan<- struct{})
	begin = func(held chan<- struct{}) {
		runtime.LockOSThread() // never unlocked: the runtime ends such a thread
		if unix.Gettid() == os.Getpid() {
			// The first thread does not end: it is held until another goroutine has one.
			other := make(chan struct{})
			go begin(other)
			<-other
			runtime.UnlockOSThread()
			return
		}
		if held != nil {
			close(held)
		}
		var err error
		listener, err = program.Listen()
		answers <- err
		for path := range paths {
			fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err == nil {
				err = unix.Close(fd)
			}
			answers <- err
		}
		close(answers)
	}
	go begin(nil)
	err = <-answers
	t.Cleanup(func() {
		close(paths)
		for range answers { // until it is closed
		}
	})
	if err != nil {
		t.Skip(err)
	}
	return listener, func(path string) error {
		paths <- path
		return <-answers
	}
}

// When a host's start fails nobody watches its workers any more, and none that it sends a listener of
// late.
func TestStartThatFailsLeavesNoWatch(t *testing.T) {
	kernel, err := enforce.Open(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := kernel.Close(); err != nil {
			t.Error(err)
		}
	})
	if kernel.Watches() == "" {
		t.Skip("this node cannot watch paths")
	}
	listener, open := watchedThread(t)
	h, _, _ := impostor(t)
	if h.proc.channel, err = newChannel(transport.ModeSocket, true); err != nil {
		t.Fatal(err)
	}
	left := false
	h.seats = &seats{enforcer: kernel, watches: map[uint64]*enforce.Watch{}, more: make(chan struct{}), leave: func() { left = true }}
	if err := h.watch(listener, 1); err != nil {
		t.Fatal(err)
	}
	if err := open("/dev/null"); !errors.Is(err, unix.EACCES) {
		t.Fatalf("a worker that is watched, by no rules: %v", err)
	}
	if err := h.abandon(errors.New("as a test has it")); !strings.Contains(err.Error(), "as a test has it") {
		t.Error(err)
	}
	if err := open("/dev/null"); !errors.Is(err, unix.ENOSYS) {
		t.Errorf("its open is still answered: %v", err)
	}
	if !left || len(h.seats.watches) != 0 {
		t.Errorf("left: %v; %d are watched", left, len(h.seats.watches))
	}
	late, _ := watchedThread(t)
	if err := h.watch(late, 2); err == nil || len(h.seats.watches) != 0 {
		t.Errorf("a late listener: %v; %d are watched", err, len(h.seats.watches))
	}
}

// full is a connection on which nothing can leave before whoever sends has had enough.
type full struct {
	void
	enough func()
}

func (f full) SendWithin(ctx context.Context, _ *wire.Msg) error {
	f.enough()
	return ctx.Err()
}

// A claim that has not left has not taken its worker: the next cell may have it.
func TestSeatOfAClaimThatDoesNotLeave(t *testing.T) {
	h, c, _ := impostor(t)
	kernel, seat := seatOf(t, h)
	defer seat.Close()
	h.seats = &seats{enforcer: kernel, free: []*numbered{{1, seat}}}
	ctx, cancel := context.WithCancel(t.Context())
	h.proc.conn = full{enough: cancel}
	if err := c.claimIn(ctx, h); !errors.Is(err, cell.Cancelled) {
		t.Fatalf("the claim: %v", err)
	}
	h.forget(c) // as settleCell does
	c.seatIn(nil)
	if len(h.seats.free) != 1 {
		t.Errorf("%d workers may be claimed", len(h.seats.free))
	}
	if _, err := seat.Put(policy.Policy{}, cgroup.Limits{}); err != nil {
		t.Errorf("the seat: %v", err)
	}
}
