package checkpoint

import (
	"crypto/cipher"
	"crypto/sha256"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// chunks opens the chunks of a file, one after the other.
type chunks struct {
	aead  cipher.AEAD
	bound [sha256.Size]byte
	n     uint32 // so many were opened
}

// open appends the plaintext of the next chunk to dst, which is another's memory than sealed.
func (c *chunks) open(dst, sealed []byte, last bool) ([]byte, error) {
	if c.n == maxChunks {
		return nil, fmt.Errorf("%w: it has more than %d chunks", ErrTooLarge, c.n)
	}
	nonce := nonceOf(c.n, last)
	plain, err := c.aead.Open(dst, nonce[:], sealed, c.bound[:])
	if err != nil {
		return nil, c.refused(dst, sealed, last)
	}
	c.n++
	return plain, nil
}

// refused says why a chunk was not opened: it is not the last that was written, or it is not what
// was written.
func (c *chunks) refused(dst, sealed []byte, last bool) error {
	if !last {
		return fmt.Errorf("%w: chunk %d", ErrDamaged, c.n)
	}
	nonce := nonceOf(c.n, false)
	if _, err := c.aead.Open(dst, nonce[:], sealed, c.bound[:]); err == nil {
		return fmt.Errorf("%w: after %d chunks", ErrTruncated, c.n+1)
	}
	return fmt.Errorf("%w: chunk %d, of %d bytes; or its end is missing", ErrDamaged, c.n, len(sealed))
}

// verifier verifies a file that is written to it in pieces of any size, with the memory of two chunks.
// It does not look at what zstd makes of it: that is for who opens it, and bounds it.
type verifier struct {
	keys Keys
	may  func(Header) error // asked once

	header  Header
	chunks  *chunks // nil until there is a header
	pending []byte  // of the header, or of the chunk that is not whole, or may be the last
	sealed  int     // bytes of a chunk in the file
	plain   []byte
}

// Write implements io.Writer. After an error there is no more to be written.
func (v *verifier) Write(b []byte) (int, error) {
	all := len(b)
	if v.chunks == nil {
		var err error
		if b, err = v.head(b); err != nil || v.chunks == nil {
			return all, err
		}
	}
	for len(b) > 0 {
		var err error
		switch {
		case len(v.pending) == v.sealed: // there is more, so it is not the last
			err = v.open(v.pending, false)
			v.pending = v.pending[:0]
		case len(v.pending) == 0 && len(b) > v.sealed: // whole chunks are not copied
			err = v.open(b[:v.sealed], false)
			b = b[v.sealed:]
		default:
			b = v.fill(b, v.sealed)
		}
		if err != nil {
			return 0, err
		}
	}
	return all, nil
}

func (v *verifier) open(sealed []byte, last bool) error {
	plain, err := v.chunks.open(v.plain[:0], sealed, last)
	clear(plain) // nobody needs it
	return err
}

// head takes of b what the header lacks, and returns the rest.
func (v *verifier) head(b []byte) ([]byte, error) {
	b = v.fill(b, headStart)
	if len(v.pending) < headStart {
		return nil, nil
	}
	text, err := headText(v.pending)
	if err != nil {
		return nil, err
	}
	b = v.fill(b, headStart+text)
	if len(v.pending) < headStart+text {
		return nil, nil
	}
	return b, v.begin()
}

// fill takes of b what is lacking to size bytes that are pending, and returns the rest.
func (v *verifier) fill(b []byte, size int) []byte {
	n := min(len(b), max(0, size-len(v.pending)))
	v.pending = append(v.pending, b[:n]...)
	return b[n:]
}

// begin makes what opens chunks, of the header that is whole.
func (v *verifier) begin() error {
	h, bound, err := parseHeader(v.pending)
	if err != nil {
		return err
	}
	if err := v.may(h); err != nil {
		return err
	}
	secret, err := v.keys.open(h)
	if err != nil {
		return err
	}
	defer clear(secret)
	aead, err := aeadOf(secret, h)
	if err != nil {
		return err
	}
	v.header, v.chunks = h, &chunks{aead: aead, bound: bound}
	v.sealed = h.Chunk + chacha20poly1305.Overhead
	v.plain, v.pending = make([]byte, 0, h.Chunk), make([]byte, 0, v.sealed)
	return nil
}

// Close says whether the file has ended.
func (v *verifier) Close() error {
	switch {
	case v.chunks == nil:
		return fmt.Errorf("%w: its header ends after %d bytes", ErrTruncated, len(v.pending))
	case len(v.pending) == 0:
		return fmt.Errorf("%w: after %d chunks", ErrTruncated, v.chunks.n)
	}
	return v.open(v.pending, true)
}
