package launch

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/wire"
	"github.com/pyisolate/pyisolate/kernel/cgroup"
	"github.com/pyisolate/pyisolate/kernel/enforce"
	"github.com/pyisolate/pyisolate/kernel/policy"
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
