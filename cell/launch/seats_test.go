package launch

import (
	"errors"
	"os"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/kernel/cgroup"
	"github.com/pyisolate/pyisolate/kernel/enforce"
	"github.com/pyisolate/pyisolate/kernel/policy"
)

// A host that dies while a cell is given a seat there has crashed, and no policy is at fault; and
// the seat is given back, though the host's others have been already.
func TestHostDiesWhileASeatIsPrepared(t *testing.T) {
	h, c, _ := impostor(t)
	kernel := enforce.New(enforce.Options{})
	defer func() {
		if err := kernel.Close(); err != nil {
			t.Error(err)
		}
	}()
	seat, err := kernel.Seat(os.Getpid(), h.proc.cmd.Process.Pid, true, policy.Policy{})
	if err != nil {
		t.Fatal(err)
	}
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
