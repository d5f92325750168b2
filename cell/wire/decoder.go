package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"google.golang.org/protobuf/proto"
)

const readBuffer = 64 << 10

// decoder reads messages from a byte stream.
type decoder struct {
	r       *bufio.Reader
	control []byte
}

func newDecoder(r io.Reader) *decoder { return &decoder{r: bufio.NewReaderSize(r, readBuffer)} }

func appendUvarint(buf []byte, v uint64) []byte { return binary.AppendUvarint(buf, v) }

func putLength(buf []byte, n int) { binary.LittleEndian.PutUint32(buf, uint32(n)) }

// next returns the next message. ErrClosed is an end between two messages.
func (d *decoder) next() (*Msg, error) {
	var length [4]byte
	if _, err := io.ReadFull(d.r, length[:]); err != nil {
		return nil, ended(err)
	}
	total := int64(binary.LittleEndian.Uint32(length[:]))
	if total > MaxControl+MaxPayload+binary.MaxVarintLen32 {
		return nil, fmt.Errorf("%w: length %d", ErrFormat, total)
	}
	n, err := binary.ReadUvarint(d.r)
	if err != nil {
		return nil, fmt.Errorf("%w: length of control: %w", ErrFormat, err)
	}
	rest := total - int64(uvarintLen(n)) - int64(n)
	if n > MaxControl || rest < 0 || rest > MaxPayload {
		return nil, fmt.Errorf("%w: control %d of %d bytes", ErrFormat, n, total)
	}
	m := &Msg{Control: new(Control)}
	if err := d.readControl(int(n), m.Control); err != nil {
		return nil, err
	}
	if rest == 0 {
		return m, nil
	}
	m.Payload, err = d.readPayload(int(rest))
	return m, err
}

func (d *decoder) readControl(n int, into *Control) error {
	if cap(d.control) < n {
		d.control = make([]byte, n)
	}
	buf := d.control[:n]
	if _, err := io.ReadFull(d.r, buf); err != nil {
		return fmt.Errorf("%w: control: %w", ErrFormat, err)
	}
	if err := proto.Unmarshal(buf, into); err != nil {
		return fmt.Errorf("%w: control: %w", ErrFormat, err)
	}
	return nil
}

// readPayload grows with what comes: a length alone makes nobody allocate.
func (d *decoder) readPayload(n int) ([]byte, error) {
	const step = 1 << 20
	buf := make([]byte, 0, min(n, step))
	for len(buf) < n {
		if len(buf) == cap(buf) {
			buf = append(make([]byte, 0, min(n, 2*cap(buf))), buf...)
		}
		at := len(buf)
		buf = buf[:cap(buf)]
		if _, err := io.ReadFull(d.r, buf[at:]); err != nil {
			return nil, fmt.Errorf("%w: payload: %w", ErrFormat, err)
		}
	}
	return buf, nil
}

func uvarintLen(v uint64) int {
	var b [binary.MaxVarintLen64]byte
	return binary.PutUvarint(b[:], v)
}

func ended(err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: cut short", ErrFormat)
	case errors.Is(err, io.EOF), errors.Is(err, os.ErrClosed), errors.Is(err, syscall.ECONNRESET):
		return ErrClosed
	}
	return fmt.Errorf("wire: receive: %w", err)
}
