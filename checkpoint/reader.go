package checkpoint

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/chacha20poly1305"
)

// Expect is what a checkpoint must be to be opened.
type Expect struct {
	// Tenant and Cell; empty: any.
	Tenant, Cell string
	// Epoch; 0: any.
	Epoch uint64
	// Size is the most that the state may have, without its terms, in bytes; 0: MaxState.
	Size int64
}

// Reader opens a checkpoint. It gives verified bytes only; io.EOF says that it was whole.
type Reader struct {
	header Header
	opened *opener
	packed io.Reader // from opened
	done   func()
	left   int64
}

// NewReader reads the header and finds the key.
func NewReader(from io.Reader, k Keys, e Expect) (*Reader, error) {
	h, bound, err := readHeader(from)
	if err != nil {
		return nil, err
	}
	if err := e.match(h); err != nil {
		return nil, err
	}
	secret, err := k.open(h)
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	aead, err := aeadOf(secret, h)
	if err != nil {
		return nil, err
	}
	sealed := h.Chunk + chacha20poly1305.Overhead
	r := &Reader{header: h, left: e.Size, opened: &opener{from: bufio.NewReaderSize(from, sealed+1), chunks: chunks{aead: aead, bound: bound},
		sealed: make([]byte, sealed), buffer: make([]byte, 0, h.Chunk)}}
	if r.left == 0 {
		r.left = maxState
	}
	r.left += int64(h.Terms)
	r.packed, r.done, err = decompressor(r.opened, h.Compression, r.left)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (e Expect) match(h Header) error {
	switch {
	case e.Tenant != "" && e.Tenant != h.Tenant, e.Cell != "" && e.Cell != h.Cell:
		return fmt.Errorf("%w: it is of %s/%s, not %s/%s", ErrMismatch, h.Tenant, h.Cell, e.Tenant, e.Cell)
	case e.Epoch != 0 && e.Epoch != h.Epoch:
		return fmt.Errorf("%w: it is of epoch %d, not %d", ErrMismatch, h.Epoch, e.Epoch)
	}
	return nil
}

// Header is what the checkpoint says of itself. It is verified once Read has given a byte.
func (r *Reader) Header() Header { return r.header }

// Read implements io.Reader.
func (r *Reader) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	n, err := r.packed.Read(b)
	if r.left -= int64(n); r.left < 0 {
		return 0, ErrTooLarge
	}
	switch {
	case err == nil || errors.Is(err, io.EOF):
	case r.opened.err != nil && !errors.Is(r.opened.err, io.EOF):
		err = r.opened.err // rather than what is made of it
	default: // the seal holds, so it was written like this
		err = unpacked(err)
	}
	return n, err
}

// Close gives memory back. It says nothing about the checkpoint.
func (r *Reader) Close() { r.done() }

// opener reads chunks.
type opener struct {
	from   *bufio.Reader
	chunks chunks
	sealed []byte
	buffer []byte
	plain  []byte // of the chunk that is being given
	last   bool
	err    error
}

// Read implements io.Reader.
func (o *opener) Read(b []byte) (int, error) {
	for len(o.plain) == 0 {
		if o.err == nil && o.last {
			o.err = io.EOF
		}
		if o.err != nil {
			return 0, o.err
		}
		o.err = o.next()
	}
	n := copy(b, o.plain)
	o.plain = o.plain[n:]
	return n, nil
}

// next opens a chunk. The last is the one that nothing follows.
func (o *opener) next() error {
	n, err := io.ReadFull(o.from, o.sealed)
	wrong := error(nil) // with the whole file, which has ended here
	if errors.Is(err, ErrDamaged) {
		if wrong, err = err, io.ErrUnexpectedEOF; n == 0 {
			err = io.EOF
		}
	}
	switch {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%w: after %d chunks", ErrTruncated, o.chunks.n)
	case errors.Is(err, io.ErrUnexpectedEOF):
		o.last = true
	case err != nil:
		return err
	default:
		_, err := o.from.Peek(1)
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			o.last = true
		case errors.Is(err, ErrDamaged):
			wrong, o.last = err, true
		default:
			return err
		}
	}
	plain, err := o.chunks.open(o.buffer, o.sealed[:n], o.last)
	if err != nil {
		return err
	}
	if wrong != nil { // a last chunk, and not the one that was written
		return wrong
	}
	o.plain = plain
	return nil
}
