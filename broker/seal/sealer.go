package seal

import (
	"fmt"
	"time"
	"unsafe"
)

// Sealer makes the frames of one direction. One goroutine at a time.
type Sealer struct {
	direction
	clock       func() time.Duration
	began       time.Duration // when the epoch began
	rekeyFrames uint64
	rekeyAfter  time.Duration
}

// Reserve appends the room that a frame's header needs, so that a plaintext
// appended behind it can be sealed where it is; see [Sealer.Seal].
func Reserve(dst []byte) []byte { return append(dst, make([]byte, HeaderSize)...) }

// Seal appends the next frame, which carries plaintext, to dst and returns the
// extended slice. It allocates only if dst lacks capacity: Overhead bytes and
// the plaintext. An empty plaintext makes a frame, too.
//
// A plaintext that was built in dst behind a reserved header is encrypted where
// it is, without a copy:
//
//	start := len(buf)
//	buf = seal.Reserve(buf)
//	buf = appendMessages(buf)
//	buf, err = s.Seal(buf[:start], buf[start+seal.HeaderSize:])
//
// Otherwise plaintext must not overlap dst's capacity behind its length. On
// ErrTooLarge and ErrOverlap nothing has changed; any other error is ErrEnded
// and final. The error case returns dst as it was given.
func (s *Sealer) Seal(dst, plaintext []byte) ([]byte, error) {
	if err := s.alive(); err != nil {
		return dst, err
	}
	if len(plaintext) > MaxPlaintext {
		return dst, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(plaintext), MaxPlaintext)
	}
	if misplaced(dst, plaintext) {
		return dst, ErrOverlap
	}
	if s.count >= s.rekeyFrames || s.clock()-s.began >= s.rekeyAfter {
		if err := s.rekey(); err != nil {
			return dst, err
		}
	}
	s.number(s.counter(), len(plaintext))
	frame := append(dst, s.aad[:HeaderSize]...)
	frame = s.aead.Seal(frame, s.nonce[:], plaintext, s.aad[:])
	s.count++
	return frame, nil
}

func (s *Sealer) rekey() error {
	if err := s.raiseEpoch(); err != nil {
		s.end(fmt.Errorf("%w: rekey: %w", ErrEnded, err))
		return s.err
	}
	s.began = s.clock()
	return nil
}

// Destroy ends the session and overwrites this direction's keys.
func (s *Sealer) Destroy() { s.end(errDestroyed) }

// misplaced tells whether plaintext overlaps the free capacity of dst anywhere
// but exactly where the frame's ciphertext will be.
func misplaced(dst, plaintext []byte) bool {
	free := dst[len(dst):cap(dst)]
	if len(plaintext) == 0 || len(free) == 0 {
		return false
	}
	from := uintptr(unsafe.Pointer(unsafe.SliceData(free)))
	at := uintptr(unsafe.Pointer(unsafe.SliceData(plaintext)))
	apart := at >= from+uintptr(len(free)) || at+uintptr(len(plaintext)) <= from
	return !apart && at != from+HeaderSize
}
