package seal

import (
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync/atomic"

	"golang.org/x/crypto/chacha20poly1305"
)

// A frame is
//
//	0   4  length of all that follows, little-endian
//	4   8  counter, little-endian: epoch in the high half, frame in the low one
//	12  n  ciphertext, as long as the plaintext
//	+   16 tag
const (
	// LengthSize is what of a frame must have come to know its size.
	LengthSize = 4
	// HeaderSize is what of a frame is before its ciphertext.
	HeaderSize = LengthSize + 8
	// Overhead is by how much a frame is longer than its plaintext.
	Overhead = HeaderSize + chacha20poly1305.Overhead
	// MaxPlaintext is the most that one frame carries. A message may take several.
	MaxPlaintext = 1 << 20
	// MaxFrame is the size of the largest frame.
	MaxFrame = MaxPlaintext + Overhead
)

const (
	aeadNonceSize = chacha20poly1305.NonceSize
	maxEpoch      = math.MaxUint32
)

var (
	errDestroyed = fmt.Errorf("%w: destroyed here", ErrEnded)
	errOther     = fmt.Errorf("%w: by its other direction", ErrEnded)
	errSpent     = errors.New("all epochs are used up; start a new session")
)

// direction is the state of one direction of a session, at either end.
type direction struct {
	aead   cipher.AEAD
	secret [hashSize]byte // of the epoch
	epoch  uint32
	count  uint64 // frames of this epoch that were sealed or opened
	salt   uint64 // the last eight bytes of the salt; the first four stay in nonce
	nonce  [aeadNonceSize]byte
	aad    [HeaderSize + 32]byte // header, session id

	ended *atomic.Bool // shared by both directions of a session
	err   error        // why this direction ended
}

// start enters the first epoch, whose secret is set.
func (d *direction) start(id *[32]byte) error {
	copy(d.aad[HeaderSize:], id[:])
	return d.enterEpoch()
}

// enterEpoch replaces key and salt by those that the epoch's secret gives.
func (d *direction) enterEpoch() error {
	var key [chacha20poly1305.KeySize]byte
	defer clear(key[:])
	expand(key[:], d.secret[:], labelKey, nil)
	expand(d.nonce[:], d.secret[:], labelSalt, nil)
	d.salt = binary.LittleEndian.Uint64(d.nonce[4:])
	aead, err := chacha20poly1305.New(key[:])
	if err != nil {
		return err
	}
	erase(&d.aead)
	d.aead, d.count = aead, 0
	return nil
}

// raiseEpoch goes to the epoch after the current one, if there is one. Its secret
// depends on the number of frames in the current one: a receiver that has missed
// the last of them has other keys. The secret before cannot be computed from it.
func (d *direction) raiseEpoch() error {
	if d.epoch == maxEpoch {
		return errSpent
	}
	var next [hashSize]byte
	defer clear(next[:])
	expand(next[:], d.secret[:], labelNext, binary.LittleEndian.AppendUint64(nil, d.count))
	d.epoch++
	d.secret = next
	return d.enterEpoch()
}

// number prepares nonce and header for the frame that carries n bytes under the
// given counter.
func (d *direction) number(counter uint64, n int) {
	binary.LittleEndian.PutUint32(d.aad[:], uint32(n+Overhead-LengthSize))
	binary.LittleEndian.PutUint64(d.aad[LengthSize:], counter)
	binary.LittleEndian.PutUint64(d.nonce[4:], d.salt^counter)
}

func (d *direction) counter() uint64 { return uint64(d.epoch)<<32 + d.count }

// alive returns nil while the session goes on.
func (d *direction) alive() error {
	if d.err == nil && d.ended.Load() {
		d.end(errOther)
	}
	return d.err
}

// end overwrites the direction's keys and makes err what every later call
// returns, unless it had ended before. The other direction ends at its next call.
func (d *direction) end(err error) {
	d.ended.Store(true)
	if d.err != nil {
		return
	}
	d.err = err
	erase(&d.aead)
	clear(d.secret[:])
	clear(d.nonce[:])
	d.salt = 0
}
