package checkpoint

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrOffset: what comes is not what follows on what is there.
var ErrOffset = errors.New("the transfer goes on elsewhere")

// ErrPinned: the checkpoint is needed, and is not removed.
var ErrPinned = errors.New("the checkpoint is needed")

const (
	// arrivalAge is how long a transfer may bring nothing before it is given up.
	arrivalAge = 2 * time.Minute
	// maxArrivals bounds how many are on their way at once.
	maxArrivals = 64
)

// Arrival is a checkpoint's file that comes from another node. What has come is verified, but for the
// last chunk, and counted in the quotas. It outlives the stream that brings it: another goes on at
// Offset. Its methods may be called from any goroutine.
//
// It is given up, and nothing of it is left, by Discard; by anything that comes and is not what was
// sealed; when it would exceed a quota, or cannot be written; when nothing has come for two minutes;
// and when the process ends.
type Arrival struct {
	of       *Archive
	transfer string
	tenant   string

	mu    sync.Mutex
	draft *counted
	check *verifier
	last  time.Time // when something came
	ended error     // why there is no more of it
}

// Incoming returns the arrival of a transfer, a name of 1 to 128 bytes that nothing else has; it begins
// one if there is none. The file must be of the tenant. Of another tenant's transfer it is ErrMismatch;
// ErrFull if a quota is used up or 64 are on their way.
func (a *Archive) Incoming(transfer, tenant string) (*Arrival, error) {
	return nil, fmt.Errorf("checkpoint: %s of %s", transfer, tenant)
}

// Arriving tells how much of a transfer is here, in bytes: 0 if there is none.
func (a *Archive) Arriving(transfer string) int64 { return 0 }

// Offset is how much has come, in bytes: where the transfer goes on.
func (r *Arrival) Offset() int64 { return 0 }

// Append takes what comes at an offset, which must be Offset: ErrOffset says where that is, and nothing
// has changed. By any other error the arrival is given up: ErrMismatch, of another tenant; ErrKey, no
// key for it; ErrDamaged or ErrFormat; ErrFull; or the disk's.
func (r *Arrival) Append(offset int64, b []byte) error { return ErrOffset }

// Finish ends it: the file was verified to its end, is what e says, and is on the disk under its name.
// When it fails nothing is left of it. Expect.Size is not looked at: Open does.
func (r *Arrival) Finish(e Expect) (Info, error) { return Info{}, ErrTruncated }

// Discard gives it up. To give up what has ended is no error.
func (r *Arrival) Discard() error { return nil }
