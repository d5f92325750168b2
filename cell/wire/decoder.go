package wire

import (
	"encoding/binary"
	"fmt"

	"google.golang.org/protobuf/proto"
)

const (
	lengthSize = 4
	// shareSize is from where on a payload keeps the memory it was collected in;
	// a smaller one is copied out of it.
	shareSize = 64 << 10
)

// decoder takes messages out of a stream of bytes that is fed to it in pieces.
type decoder struct {
	rest []byte // what is fed and not yet taken
	own  bool   // rest is our memory, not the feeder's
}

// feed gives the decoder the next piece, to be left alone until message has
// returned nil, as it must have before.
func (d *decoder) feed(piece []byte) {
	if len(d.rest) == 0 {
		d.rest, d.own = piece, false
		return
	}
	d.rest = append(d.rest, piece...)
}

// message returns the next message, or nil when more must be fed first. Memory
// grows with what comes: a length alone makes nobody allocate.
func (d *decoder) message() (*Msg, error) {
	size, err := messageSize(d.rest)
	if err != nil {
		return nil, err
	}
	if len(d.rest) < size {
		if !d.own {
			d.rest, d.own = append([]byte(nil), d.rest...), true
		}
		return nil, nil
	}
	body := d.rest[lengthSize:size]
	d.rest = d.rest[size:]
	return decode(body, d.own && size >= shareSize)
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
	m := &Msg{Control: new(Control)}
	if err := proto.Unmarshal(body[used:used+int(n)], m.Control); err != nil {
		return nil, fmt.Errorf("%w: control: %w", ErrFormat, err)
	}
	payload := body[used+int(n):]
	switch {
	case len(payload) == 0:
	case share:
		m.Payload = payload[:len(payload):len(payload)]
	default:
		m.Payload = append(make([]byte, 0, len(payload)), payload...)
	}
	return m, nil
}
