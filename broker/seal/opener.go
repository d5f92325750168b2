package seal

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Opener takes the frames of one direction. One goroutine at a time.
type Opener struct{ direction }

var errForged = errors.New("tag does not match")

// FrameLength returns the size of the frame that begins with header, of which
// the first LengthSize bytes must be there. It is between Overhead and MaxFrame:
// a size outside ends the session, before anybody allocates.
func (o *Opener) FrameLength(header []byte) (int, error) {
	if err := o.alive(); err != nil {
		return 0, err
	}
	n, err := frameLength(header)
	if err != nil {
		return 0, o.refuse(err)
	}
	return n, nil
}

func frameLength(header []byte) (int, error) {
	if len(header) < LengthSize {
		return 0, fmt.Errorf("%d bytes, a length needs %d", len(header), LengthSize)
	}
	n := int64(binary.LittleEndian.Uint32(header)) + LengthSize
	if n < Overhead || n > MaxFrame {
		return 0, fmt.Errorf("frame of %d bytes, possible are %d to %d", n, Overhead, MaxFrame)
	}
	return int(n), nil
}

// Open decrypts frame where it is and returns the plaintext, a part of frame. It
// does not allocate. The frame must be whole, and the next one of this direction
// of this session; anything else ends the session, and every later call returns
// the same ErrEnded. After an error the contents of frame are undefined.
func (o *Opener) Open(frame []byte) ([]byte, error) {
	if err := o.alive(); err != nil {
		return nil, err
	}
	plaintext, err := o.open(frame)
	if err != nil {
		return nil, o.refuse(err)
	}
	return plaintext, nil
}

func (o *Opener) open(frame []byte) ([]byte, error) {
	n, err := frameLength(frame)
	if err != nil {
		return nil, err
	}
	if n != len(frame) {
		return nil, fmt.Errorf("%d bytes for a frame of %d", len(frame), n)
	}
	counter := binary.LittleEndian.Uint64(frame[LengthSize:])
	if err := o.follow(counter); err != nil {
		return nil, err
	}
	o.number(counter, n-Overhead)
	body := frame[HeaderSize:]
	plaintext, err := o.aead.Open(body[:0], o.nonce[:], body, o.aad[:])
	if err != nil {
		return nil, errForged
	}
	o.count++
	return plaintext, nil
}

// follow accepts the counter after the last one, or the first of the next epoch.
// After 2^32 frames the two are the same, and it is a new epoch.
func (o *Opener) follow(counter uint64) error {
	if epoch := counter >> 32; epoch != uint64(o.epoch) {
		if epoch != uint64(o.epoch)+1 || uint32(counter) != 0 {
			return fmt.Errorf("counter %#x, want %#x or the next epoch", counter, o.counter())
		}
		return o.raiseEpoch()
	}
	if counter != o.counter() {
		return fmt.Errorf("counter %#x, want %#x", counter, o.counter())
	}
	return nil
}

func (o *Opener) refuse(err error) error {
	o.end(fmt.Errorf("%w: received what is not the next frame: %w", ErrEnded, err))
	return o.err
}

// Destroy ends the session and overwrites this direction's keys.
func (o *Opener) Destroy() { o.end(errDestroyed) }
