package checkpoint

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// ErrOffset: what comes is not what follows on what is there.
var ErrOffset = errors.New("the transfer goes on elsewhere")

const (
	// arrivalAge is how long a transfer may bring nothing before it is given up, or forgotten.
	arrivalAge = 2 * time.Minute
	// maxArrivals bounds how many are on their way at once.
	maxArrivals = 64
	// maxTransfer bounds a transfer's name, in bytes.
	maxTransfer = 128
)

// Arrival is a checkpoint's file that comes from another node. What has come is verified, but for the
// last chunk, and counted in the quotas. It outlives the stream that brings it: another goes on at
// Offset. Its methods may be called from any goroutine.
//
// It is given up, and nothing of it is left, by Discard; by anything that comes and is not what was
// sealed; when it would exceed a quota, or cannot be written; when nothing has come for two minutes and
// the archive needs room or is pruned; and when the process ends.
type Arrival struct {
	of               *Archive
	transfer, tenant string
	last             atomic.Int64 // when it was last asked for or something came, in ns
	finished         atomic.Bool

	mu    sync.Mutex
	draft *counted
	check *verifier
	size  int64
	info  Info
	ended error // why there is no more of it

	follower *Following // nil: nobody follows it
}

// Incoming returns the arrival of a transfer, a name of 1 to 128 bytes that nothing else has; it begins
// one if there is none. The file must be of the tenant. Of another tenant's transfer it is ErrMismatch;
// ErrFull if a quota is used up or 64 are on their way.
func (a *Archive) Incoming(transfer, tenant string) (*Arrival, error) {
	if transfer == "" || len(transfer) > maxTransfer {
		return nil, fmt.Errorf("%w: a transfer's name has 1 to %d bytes", ErrMismatch, maxTransfer)
	}
	a.reap()
	r, begun, err := a.arrival(transfer, tenant)
	if err != nil || !begun {
		return r, err
	}
	defer r.mu.Unlock()
	if r.draft, err = a.draft(tenant); err != nil {
		return nil, r.end(err)
	}
	return r, nil
}

// arrival finds one or makes one, which it returns locked.
func (a *Archive) arrival(transfer, tenant string) (r *Arrival, begun bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r, there := a.arrivals[transfer]; there {
		if r.tenant != tenant {
			return nil, false, fmt.Errorf("%w: transfer %.80q is of another tenant than %s", ErrMismatch, transfer, tenant)
		}
		r.last.Store(a.now().UnixNano())
		return r, false, nil
	}
	if len(a.arrivals) >= maxArrivals && !a.forget() {
		return nil, false, fmt.Errorf("%w: %d transfers are on their way, which is the most: try again later", ErrFull, maxArrivals)
	}
	r = &Arrival{of: a, transfer: transfer, tenant: tenant}
	r.check = &verifier{keys: a.ring, may: Expect{Tenant: tenant}.match}
	r.last.Store(a.now().UnixNano())
	r.mu.Lock()
	a.arrivals[transfer] = r
	return r, true, nil
}

// forget makes room by the arrival that finished first. The caller holds a.mu.
func (a *Archive) forget() bool {
	var first *Arrival
	for _, r := range a.arrivals {
		if r.finished.Load() && (first == nil || r.last.Load() < first.last.Load()) {
			first = r
		}
	}
	if first != nil {
		delete(a.arrivals, first.transfer)
	}
	return first != nil
}

// reap gives up what nothing has come of, and forgets what has finished: whoever follows that has all of it.
func (a *Archive) reap() {
	a.mu.Lock()
	old := a.now().Add(-arrivalAge).UnixNano()
	var idle []*Arrival
	for _, r := range a.arrivals {
		switch {
		case r.last.Load() >= old:
		case r.finished.Load():
			delete(a.arrivals, r.transfer)
		default:
			idle = append(idle, r)
		}
	}
	a.mu.Unlock()
	for _, r := range idle {
		if !r.mu.TryLock() {
			continue // something comes
		}
		if r.last.Load() < old {
			_ = r.end(fmt.Errorf("%w: nothing has come of transfer %.80q for %s: begin it again", ErrNotFound, r.transfer, arrivalAge))
		}
		r.mu.Unlock()
	}
}

// Arriving tells how much of a transfer is here, in bytes: 0 if there is none.
func (a *Archive) Arriving(transfer string) int64 {
	a.mu.Lock()
	r := a.arrivals[transfer]
	a.mu.Unlock()
	if r == nil {
		return 0
	}
	return r.Offset()
}

// Offset is how much has come, in bytes: where the transfer goes on.
func (r *Arrival) Offset() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.size
}

// Append takes what comes at an offset, which must be Offset: ErrOffset says where that is, and nothing
// has changed. By any other error the arrival is given up: ErrMismatch, of another tenant; ErrKey, no
// key for it; ErrDamaged or ErrFormat; ErrFull; or the disk's.
func (r *Arrival) Append(offset int64, b []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.ended != nil:
		return r.ended
	case offset != r.size || r.finished.Load() && len(b) > 0:
		return fmt.Errorf("%w: %d bytes of transfer %.80q are here, and byte %d was sent", ErrOffset, r.size, r.transfer, offset)
	case r.finished.Load():
		return nil
	}
	r.last.Store(r.of.now().UnixNano())
	_, err := r.check.Write(b)
	if id := r.check.header.Key.ID; err == nil && r.draft.key == "" && id != "" {
		r.draft.needs(id)
	}
	if err == nil {
		_, err = r.draft.Write(b)
	}
	if err != nil {
		return r.end(err)
	}
	r.size += int64(len(b))
	if err := r.follow(false); err != nil {
		return r.end(err)
	}
	return nil
}

// Finish ends it: the file was verified to its end, is what e says, and is on the disk under its name.
// When it fails nothing is left of it. Once it has ended well it may be asked for again, for as long as the
// arrival is known. Expect.Size is not looked at: Open does.
func (r *Arrival) Finish(e Expect) (Info, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended != nil {
		return Info{}, r.ended
	}
	if r.finished.Load() {
		return r.again(e)
	}
	err := r.check.Close()
	if err == nil {
		err = e.match(r.check.header)
	}
	if err == nil {
		err = r.follow(true)
	}
	if err != nil {
		return Info{}, r.end(err)
	}
	d := r.draft
	r.draft = nil
	if r.info, err = d.keep(); err != nil {
		return Info{}, r.end(err)
	}
	r.check = nil
	r.last.Store(r.of.now().UnixNano())
	r.finished.Store(true)
	return r.info, nil
}

// again is Finish of what has finished.
func (r *Arrival) again(e Expect) (Info, error) {
	if err := e.match(r.info.Header); err != nil {
		return Info{}, err
	}
	return r.of.Get(r.info.ID)
}

// Discard gives it up. To give up what has ended is no error; a checkpoint that is kept stays.
func (r *Arrival) Discard() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended != nil {
		return nil
	}
	given := fmt.Errorf("%w: transfer %.80q was given up", ErrNotFound, r.transfer)
	if err := r.end(given); err != given { //nolint:errorlint // joined by end, if there is more to say
		return err
	}
	return nil
}

// end gives it up for a reason, which it returns with what went wrong thereby. The caller holds r.mu.
func (r *Arrival) end(why error) error {
	r.ended = why
	r.check = nil
	if r.follower != nil {
		r.follower.stop(why)
	}
	r.of.mu.Lock()
	if r.of.arrivals[r.transfer] == r {
		delete(r.of.arrivals, r.transfer)
	}
	r.of.mu.Unlock()
	if d := r.draft; d != nil {
		r.draft = nil
		if err := d.discard(); err != nil {
			return errors.Join(why, err)
		}
	}
	return why
}
