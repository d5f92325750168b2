package wire

import (
	"encoding/binary"
	"fmt"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/pyisolate/pyisolate/cell"
)

const (
	lengthSize = 4
	// shareSize is from where on a payload keeps the memory it was collected in;
	// a smaller one is copied out of it.
	shareSize = 64 << 10
	// largeSize is the memory of a large message, such as a chunk of a state, which is used again by the
	// next when it is released. One that would leave more than half of it unused has its own.
	largeSize = cell.MaxChunk + 1<<10
	// largeFront is how much of a large message has come before it gets memory for all of it.
	largeFront = 16 << 10
)

var large = sync.Pool{New: func() any { return new(make([]byte, largeSize)) }}

// decoder takes messages out of a stream of bytes that is fed to it in pieces. Only
// a message that lies in several pieces is copied together.
type decoder struct {
	piece []byte  // what is fed and not yet taken, in the feeder's memory
	rest  []byte  // the front of a message that goes on in piece, in our own
	whole *[]byte // which rest is in, of a large one
}

// feed gives the decoder the next piece, to be left alone until message has
// returned nil, as it must have before.
func (d *decoder) feed(piece []byte) { d.piece = piece }

// empty reports whether no part of a message is kept.
func (d *decoder) empty() bool { return len(d.rest)+len(d.piece) == 0 }

// message returns the next message, or nil when more must be fed first. Memory
// grows with what comes: a length alone makes nobody allocate.
func (d *decoder) message() (*Msg, error) {
	if len(d.rest) > 0 {
		return d.complete()
	}
	size, err := messageSize(d.piece)
	if err != nil {
		return nil, err
	}
	if len(d.piece) < size {
		d.rest, d.piece = append(d.rest[:0], d.piece...), nil
		return nil, nil
	}
	body := d.piece[lengthSize:size]
	d.piece = d.piece[size:]
	return decode(body, false)
}

// complete returns the message that rest is the front of.
func (d *decoder) complete() (*Msg, error) {
	for {
		size, err := messageSize(d.rest)
		if err != nil {
			return nil, err
		}
		if len(d.rest) >= size {
			break
		}
		if len(d.piece) == 0 {
			return nil, nil
		}
		d.enlarge(size)
		n := min(size-len(d.rest), len(d.piece))
		d.rest, d.piece = append(d.rest, d.piece[:n]...), d.piece[n:]
	}
	body, share := d.rest[lengthSize:], len(d.rest) >= shareSize
	d.rest = d.rest[:0]
	if share {
		d.rest = nil // the payload keeps it
	}
	m, err := decode(body, share)
	if err == nil && share {
		m.whole = d.whole
	}
	d.whole = nil
	return m, err
}

// enlarge has memory for all of a message, when enough of it has come that its length is no mere word. The memory
// of a larger one grows with it.
func (d *decoder) enlarge(size int) {
	if size <= cap(d.rest) || size > largeSize || len(d.rest) < largeFront {
		return
	}
	all := make([]byte, 0, size)
	if size > largeSize/2 {
		d.whole = large.Get().(*[]byte)
		all = (*d.whole)[:0]
	}
	d.rest = append(all, d.rest...)
}

// messageSize is that of the message buf begins with, its header included, or of
// the header when that has not come in full.
func messageSize(buf []byte) (int, error) {
	if len(buf) < lengthSize {
		return lengthSize + 1, nil
	}
	n := int64(binary.LittleEndian.Uint32(buf))
	if n < 1 || n > MaxControl+MaxPayload+binary.MaxVarintLen32 {
		return 0, fmt.Errorf("%w: length %d", ErrFormat, n)
	}
	return lengthSize + int(n), nil
}

// decode decodes a message behind its length. Its payload is a part of body if
// share says so.
func decode(body []byte, share bool) (*Msg, error) {
	n, used := binary.Uvarint(body)
	if used <= 0 || n > MaxControl || n > uint64(len(body)-used) || len(body)-used-int(n) > MaxPayload {
		return nil, fmt.Errorf("%w: control %d of %d bytes", ErrFormat, n, len(body))
	}
	m := decodePost(body[used : used+int(n)])
	if m == nil {
		m = &Msg{Control: new(Control)}
		if err := proto.Unmarshal(body[used:used+int(n)], m.Control); err != nil {
			return nil, fmt.Errorf("%w: control: %w", ErrFormat, err)
		}
	}
	payload := body[used+int(n):]
	switch {
	case len(payload) == 0:
	case share:
		m.Payload = payload[:len(payload):len(payload)]
	default:
		m.Payload = make([]byte, len(payload))
		copy(m.Payload, payload) // right behind make, so that it is not cleared first
	}
	return m, nil
}
