package wire

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"github.com/pyisolate/pyisolate/broker/seal"
	"github.com/pyisolate/pyisolate/broker/transport"
)

// readBuffer takes several frames at once, and always a whole one.
const readBuffer = 4 * (framePlaintext + seal.Overhead)

// readBuffers are borrowed by connections that have something to read.
var readBuffers = sync.Pool{New: func() any { return new([readBuffer]byte) }}

// receiver turns the bytes of a transport into messages.
type receiver struct {
	t  transport.Transport
	in *seal.Opener

	raw  *[readBuffer]byte // nil while idle
	r, w int               // what is read and not yet opened is raw[r:w]
	decoder

	count counter
	kept  *Msg  // found by has, for next
	err   error // the first: nothing comes behind it
}

// next returns the next message. Without wait it returns nil when that has not
// come in full. ErrClosed is an end between two messages. An error is returned for
// ever: what follows a malformed message is not taken for messages.
func (c *receiver) next(wait bool) (*Msg, error) {
	for {
		if c.has() {
			m := c.kept
			c.kept = nil
			if m != nil {
				return m, nil
			}
			return nil, c.err
		}
		n, err := c.read()
		switch {
		case err != nil:
			c.fail(c.ended(err))
		case n == 0 && !wait:
			return nil, nil
		case n == 0:
			c.idle()
			c.t.Await()
		}
	}
}

// has reports whether the next message, or an error, is here without reading more.
func (c *receiver) has() bool {
	for c.kept == nil && c.err == nil {
		m, err := c.message()
		if c.kept = m; m != nil || err != nil {
			c.fail(err)
			break
		}
		opened, err := c.openFrame()
		c.fail(err)
		if err == nil && !opened {
			return false
		}
	}
	return true
}

// fail keeps the first error.
func (c *receiver) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// openFrame opens the next frame, if it is there in full.
func (c *receiver) openFrame() (bool, error) {
	if c.w-c.r < seal.LengthSize {
		return false, nil
	}
	size, err := c.in.FrameLength(c.raw[c.r:c.w])
	if err == nil && size > framePlaintext+seal.Overhead {
		err = fmt.Errorf("frame of %d bytes, %d are allowed", size, framePlaintext+seal.Overhead)
	}
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if c.w-c.r < size {
		return false, nil
	}
	plain, err := c.in.Open(c.raw[c.r : c.r+size])
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	c.r += size
	c.count.add(1, size)
	c.feed(plain)
	return true, nil
}

func (c *receiver) read() (int, error) {
	if c.raw == nil {
		c.raw, c.r, c.w = readBuffers.Get().(*[readBuffer]byte), 0, 0
	}
	switch {
	case c.r == c.w:
		c.r, c.w = 0, 0
	case len(c.raw)-c.r < framePlaintext+seal.Overhead:
		c.w = copy(c.raw[:], c.raw[c.r:c.w])
		c.r = 0
	}
	n, err := c.t.TryRead(c.raw[c.w:])
	c.w += n
	return n, err
}

// idle gives the buffers back before a wait that may be long.
func (c *receiver) idle() {
	if c.empty() {
		c.rest = nil
	}
	if c.raw != nil && c.r == c.w {
		readBuffers.Put(c.raw)
		c.raw, c.r, c.w = nil, 0, 0
	}
}

func (c *receiver) ended(err error) error {
	cut := c.w > c.r || !c.empty()
	switch {
	case errors.Is(err, io.EOF) && cut:
		return fmt.Errorf("%w: cut short", ErrFormat)
	case errors.Is(err, io.EOF), errors.Is(err, os.ErrClosed), errors.Is(err, syscall.ECONNRESET):
		return ErrClosed
	}
	return fmt.Errorf("wire: receive: %w", err)
}
