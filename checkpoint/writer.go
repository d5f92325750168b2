package checkpoint

import (
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/chacha20poly1305"
)

// Writer seals a state.
type Writer struct {
	header Header
	sealed *sealer
	packed io.WriteCloser // to sealed
	size   int64
	most   int64 // of size
	err    error // there was more
	closed bool
}

// NewWriter begins a checkpoint with its header. The state is what is written to the Writer until
// Close, without which it cannot be opened.
func NewWriter(to io.Writer, h Header, k Keys) (*Writer, error) {
	h = h.withDefaults()
	secret, err := k.seal(&h)
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	head, err := h.encode()
	if err != nil {
		return nil, err
	}
	aead, err := aeadOf(secret, h)
	if err != nil {
		return nil, err
	}
	if _, err := to.Write(head); err != nil {
		return nil, err
	}
	w := &Writer{header: h, most: maxState + int64(h.Terms), sealed: &sealer{to: to, aead: aead, bound: sha256.Sum256(head),
		plain: make([]byte, 0, h.Chunk), out: make([]byte, 0, h.Chunk+chacha20poly1305.Overhead)}}
	w.packed, err = compressor(w.sealed, h.Compression)
	return w, err
}

// Header that was written.
func (w *Writer) Header() Header { return w.header }

// Size of what was written to it so far, in bytes.
func (w *Writer) Size() int64 { return w.size }

// Write implements io.Writer. More than a Reader gives is ErrTooLarge, and then there is no end.
func (w *Writer) Write(b []byte) (int, error) {
	if w.err == nil && int64(len(b)) > w.most-w.size {
		w.err = fmt.Errorf("%w: the state has more than %d bytes, which is the most", ErrTooLarge, maxState)
	}
	if w.err != nil {
		return 0, w.err
	}
	w.size += int64(len(b))
	return w.packed.Write(b)
}

// Close writes the end.
func (w *Writer) Close() error {
	if w.closed {
		return errors.New("checkpoint: it is closed already")
	}
	w.closed = true
	if err := errors.Join(w.err, w.packed.Close()); err != nil {
		return err
	}
	return w.sealed.flush(true)
}

// errGivenUp: what was written to a Writer is to have no end.
var errGivenUp = errors.New("checkpoint: it was given up")

// giveUp closes it without an end: what was written opens as what it is, a part.
func (w *Writer) giveUp() {
	if w.sealed.err == nil {
		w.sealed.err = errGivenUp
	}
	_ = w.Close() // zstd gives back what it has
}

// sealer writes chunks.
type sealer struct {
	to         io.Writer
	aead       cipher.AEAD
	bound      [sha256.Size]byte
	plain, out []byte
	n          uint32
	err        error
}

// Write implements io.Writer. A full chunk is kept until there is more, for it may be the last.
func (s *sealer) Write(b []byte) (int, error) {
	written := 0
	for len(b) > 0 {
		if len(s.plain) == cap(s.plain) {
			if err := s.flush(false); err != nil {
				return written, err
			}
		}
		n := min(len(b), cap(s.plain)-len(s.plain))
		s.plain = append(s.plain, b[:n]...)
		b, written = b[n:], written+n
	}
	return written, nil
}

func (s *sealer) flush(last bool) error {
	if s.err != nil {
		return s.err
	}
	if s.n == maxChunks {
		s.err = fmt.Errorf("%w: it has %d chunks", ErrTooLarge, s.n)
		return s.err
	}
	nonce := nonceOf(s.n, last)
	s.out = s.aead.Seal(s.out[:0], nonce[:], s.plain, s.bound[:])
	s.n++
	s.plain = s.plain[:0]
	_, s.err = s.to.Write(s.out)
	return s.err
}

func nonceOf(n uint32, last bool) (nonce [chacha20poly1305.NonceSize]byte) {
	binary.BigEndian.PutUint32(nonce[7:], n)
	if last {
		nonce[11] = 1
	}
	return nonce
}
