package ring

import (
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/pyisolate/pyisolate/internal/spin"
)

// servePatience is how long a consumer looks for the next frame before it sleeps.
const servePatience = 2 * time.Microsecond

// Recv returns the next frame, waiting for one. It is for simple consumers; do
// not mix it with Serve, which keeps the order of handling.
func (r *Region) Recv() (Frame, error) {
	r.recv.Lock()
	defer r.recv.Unlock()
	if err := r.awaitFrame(); err != nil {
		return Frame{}, err
	}
	return r.take()
}

// Serve calls handle with every frame in order until handle or the region
// fails, and returns that error. handle runs under the consumer's lock: frames
// taken by Poll are not handled at the same time.
func (r *Region) Serve(handle func(Frame) error) error {
	r.recv.Lock()
	defer r.recv.Unlock()
	for {
		if err := r.awaitFrame(); err != nil {
			return err
		}
		f, err := r.take()
		if err := r.handleOne(f, err, handle); err != nil {
			return err
		}
	}
}

// handleOne keeps the first error: the frame it is about is consumed, and
// whoever looks next must meet it again.
func (r *Region) handleOne(f Frame, err error, handle func(Frame) error) error {
	if err == nil {
		err = handle(f)
	}
	r.failed = err
	return err
}

// Poll handles frames in the calling goroutine until done reports true or no
// frame has come for about the given time, and leaves the rest to Serve: a frame
// that is not there whole, too, as only the cell knows when the rest of it comes. It
// does nothing when frames are being handled already, or when looking has not paid
// lately. It is for who waits for the only cell that runs. Serve meets the same errors, so a caller may ignore them.
func (r *Region) Poll(patience time.Duration, done func() bool, handle func(Frame) error) error {
	if !r.pollSpin.Worthwhile() || !r.recv.TryLock() {
		return nil
	}
	defer r.recv.Unlock()
	if r.closed.Load() {
		return ErrClosed
	}
	if r.asleep {
		r.word(offOutParked).Store(0)
		defer r.parkAgain()
	}
	for !done() {
		if ok, err := r.pollSpin.UntilYielding(patience, spin.Looks, spin.Sole, r.ready); !ok || err != nil {
			return err
		}
		f, whole, err := r.takeWhole()
		if !whole {
			return nil
		}
		if err := r.handleOne(f, err, handle); err != nil {
			return err
		}
	}
	return nil
}

// parkAgain restores what Poll took from a sleeping Serve: the bell. A ring
// meant for Serve may have been used up by Poll, so it cannot rely on one.
func (r *Region) parkAgain() {
	if r.closed.Load() {
		return
	}
	announce(r.word(offOutParked), 1)
	if r.failed != nil || r.word(offOutHead).Load() != r.outTail {
		r.bell.ring()
	}
}

// ready reports whether the out-ring has anything.
func (r *Region) ready() (bool, error) {
	if r.closed.Load() {
		return false, ErrClosed
	}
	if r.failed != nil {
		return false, r.failed
	}
	if r.outSeen != r.outTail {
		return true, nil
	}
	head := r.word(offOutHead).Load()
	if head-r.outTail > r.cap {
		return false, fmt.Errorf("%w: out-ring holds %d of %d bytes", ErrProtocol, head-r.outTail, r.cap)
	}
	r.outSeen = head
	if head == r.outTail && r.hungup.Load() {
		return r.lastLook()
	}
	return head != r.outTail, nil
}

// lastLook decides after a hangup, which may have come between the cell's last
// frame and our reading of the head.
func (r *Region) lastLook() (bool, error) {
	if r.word(offOutHead).Load() == r.outTail {
		return false, ErrClosed
	}
	return r.ready()
}

// awaitFrame returns when the out-ring has something. It must be called
// between frames: the consumer's lock is given up while asleep, so that Poll can
// take it.
func (r *Region) awaitFrame() error {
	if r.serveSpin.Worthwhile() {
		if ok, err := r.serveSpin.Until(servePatience, r.ready); ok || err != nil {
			return err
		}
	}
	return r.sleep(func() error {
		r.asleep = true
		r.recv.Unlock()
		err := r.bell.waitFrames()
		r.recv.Lock()
		r.asleep = false
		return err
	})
}

// awaitMore is awaitFrame within a frame: nobody else may read meanwhile.
func (r *Region) awaitMore() error { return r.sleep(r.bell.waitMore) }

// sleep has the bell rung for frames and waits until there are some.
func (r *Region) sleep(wait func() error) error {
	for {
		if r.closed.Load() {
			return ErrClosed
		}
		announce(r.word(offOutParked), 1)
		ok, err := r.ready()
		if !ok && err == nil {
			if err = wait(); err == nil {
				ok, err = r.ready()
			}
		}
		if ok || err != nil {
			if !r.closed.Load() {
				r.word(offOutParked).Store(0)
			}
			return err
		}
	}
}

// take copies one frame out. A frame begun must be finished by the cell.
func (r *Region) take() (Frame, error) {
	var hdr [frameHdrBytes]byte
	if err := r.read(hdr[:]); err != nil {
		return Frame{}, err
	}
	f, n, err := parseHeader(hdr[:], r.max.Load())
	if err != nil || n == 0 {
		r.release()
		return f, err
	}
	f.Payload = payload(n)
	if err := r.read(f.Payload); err != nil {
		return Frame{}, err
	}
	r.release()
	return f, nil
}

// largePayload is the memory of the payloads that are used again: those of more than half of it.
const largePayload = 256 << 10

var large = sync.Pool{New: func() any { return new([largePayload]byte) }}

// payload is memory for n bytes.
func payload(n int) []byte {
	if n <= largePayload/2 || n > largePayload {
		return make([]byte, n)
	}
	return large.Get().(*[largePayload]byte)[:n]
}

// Reuse gives the memory of a frame's payload back, for that of a later frame: nobody looks at it any more. It
// need not be called.
func (f Frame) Reuse() {
	if cap(f.Payload) == largePayload {
		large.Put((*[largePayload]byte)(f.Payload[:largePayload]))
	}
}

// takeWhole is take for a frame that is in the ring to its last byte; else it takes
// nothing. The header is copied before it is judged: the cell may still write to it.
func (r *Region) takeWhole() (f Frame, whole bool, err error) {
	var hdr [frameHdrBytes]byte
	if r.outSeen-r.outTail < frameHdrBytes {
		return Frame{}, false, nil
	}
	r.copyOut(hdr[:])
	f, n, err := parseHeader(hdr[:], r.max.Load())
	switch {
	case err != nil:
		n = 0
	case uint64(n)+frameHdrBytes > uint64(r.outSeen-r.outTail):
		return Frame{}, false, nil
	}
	r.outTail += frameHdrBytes
	if n > 0 {
		f.Payload = payload(n)
		r.copyOut(f.Payload)
		r.outTail += uint32(n)
	}
	r.release()
	return f, true, err
}

// copyOut copies what is next in the out-ring, and has been seen there, without
// consuming it.
func (r *Region) copyOut(p []byte) {
	m := copy(p, r.out[r.outTail&(r.cap-1):])
	copy(p[m:], r.out)
}

func parseHeader(hdr []byte, limit int64) (Frame, int, error) {
	n := binary.LittleEndian.Uint32(hdr)
	f := Frame{Kind: Kind(hdr[4]), Flags: Flags(hdr[5]), ID: binary.LittleEndian.Uint64(hdr[8:])}
	switch {
	case f.Kind < OutReady || f.Kind > OutMore:
		return Frame{}, 0, fmt.Errorf("%w: frame of unknown kind %d", ErrProtocol, f.Kind)
	case hdr[6] != 0 || hdr[7] != 0:
		return Frame{}, 0, fmt.Errorf("%w: reserved bits of a frame are set", ErrProtocol)
	case int64(n) > limit:
		return Frame{}, 0, fmt.Errorf("%w: frame of %d bytes, %d are allowed", ErrProtocol, n, limit)
	}
	return f, int(n), nil
}

// read fills p from the out-ring, waiting for the cell as needed.
func (r *Region) read(p []byte) error {
	for len(p) > 0 {
		ok, err := r.ready()
		if err != nil {
			return err
		}
		if !ok {
			r.release()
			if err := r.awaitMore(); err != nil {
				return err
			}
		}
		n := min(len(p), int(r.outSeen-r.outTail))
		r.copyOut(p[:n])
		r.outTail += uint32(n)
		p = p[n:]
	}
	return nil
}

// release gives the consumed bytes back to the cell, waking it if it waits.
func (r *Region) release() {
	announce(r.word(offOutTail), r.outTail)
	if full := r.word(offOutFull); full.Load() != 0 && full.Swap(0) != 0 {
		futexWake(r.word(offOutTail))
	}
}

// More reports, from within handle, whether another frame has begun to come.
func (r *Region) More() bool {
	return r.outSeen != r.outTail || r.word(offOutHead).Load() != r.outTail
}
