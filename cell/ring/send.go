package ring

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Send writes one frame whose payload is the parts one after the other. A frame
// larger than the free space is written as the cell reads; Send then blocks
// until all is written or the region is closed.
func (r *Region) Send(kind Kind, flags Flags, id uint64, parts ...[]byte) error {
	hdr, _, err := header(kind, flags, id, parts)
	if err != nil {
		return err
	}
	r.send.Lock()
	defer r.send.Unlock()
	if err := r.write(hdr[:]); err != nil {
		return err
	}
	for _, p := range parts {
		if err := r.write(p); err != nil {
			return err
		}
	}
	r.publish()
	return nil
}

// TrySend is Send for a caller that may not wait: it reports false, and has
// written nothing, when the frame does not fit now or another Send is under way.
func (r *Region) TrySend(kind Kind, flags Flags, id uint64, parts ...[]byte) (bool, error) {
	hdr, total, err := header(kind, flags, id, parts)
	if err != nil {
		return false, err
	}
	if !r.send.TryLock() {
		return false, nil
	}
	defer r.send.Unlock()
	free, err := r.space()
	if err != nil || int(free) < total {
		return false, err
	}
	r.put(hdr[:])
	for _, p := range parts {
		r.put(p)
	}
	r.publish()
	return true, nil
}

func header(kind Kind, flags Flags, id uint64, parts [][]byte) (hdr [frameHdrBytes]byte, total int, err error) {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	if n > math.MaxInt32 {
		return hdr, 0, fmt.Errorf("ring: frame of %d bytes is too large", n)
	}
	binary.LittleEndian.PutUint32(hdr[0:], uint32(n))
	hdr[4], hdr[5] = byte(kind), byte(flags)
	binary.LittleEndian.PutUint64(hdr[8:], id)
	return hdr, n + frameHdrBytes, nil
}

// write puts all of p into the in-ring, waiting for space as needed. What it
// wrote is visible to the cell at the latest when it waits.
func (r *Region) write(p []byte) error {
	for len(p) > 0 {
		free, err := r.space()
		if err != nil {
			return err
		}
		if free == 0 {
			if err := r.awaitSpace(); err != nil {
				return err
			}
			continue
		}
		n := min(len(p), int(free))
		r.put(p[:n])
		p = p[n:]
	}
	return nil
}

// space is the free bytes of the in-ring.
func (r *Region) space() (uint32, error) {
	if r.closed.Load() || r.hungup.Load() {
		return 0, ErrClosed
	}
	used := r.inHead - r.word(offInTail).Load()
	if used > r.cap {
		return 0, fmt.Errorf("%w: the cell has read %d bytes more than were sent", ErrProtocol, -used)
	}
	return r.cap - used, nil
}

// put copies p, which fits, and advances the private head only.
func (r *Region) put(p []byte) {
	at := r.inHead & (r.cap - 1)
	n := copy(r.in[at:], p)
	copy(r.in, p[n:])
	r.inHead += uint32(len(p))
}

// publish shows the cell what was put and wakes it if it sleeps.
func (r *Region) publish() {
	announce(r.word(offInHead), r.inHead)
	if parked := r.word(offInParked); parked.Load() != 0 && parked.Swap(0) != 0 {
		futexWake(r.word(offInHead))
	}
}

// awaitSpace returns when the cell may have consumed something.
func (r *Region) awaitSpace() error {
	r.publish()
	announce(r.word(offInFull), 1)
	free, err := r.space()
	if err != nil {
		return err
	}
	if free == 0 {
		err = r.bell.waitSpace()
	}
	r.word(offInFull).Store(0)
	return err
}
