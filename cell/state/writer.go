package state

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"

	"github.com/pyisolate/pyisolate/cell"
)

// Writer makes a stream, and hands it out in chunks.
type Writer struct {
	to   func([]byte) error
	buf  []byte
	sum  uint32
	size int64
	err  error // of to, the first
}

// NewWriter writes to `to`, whose chunks have [cell.MaxChunk] bytes at most and are its own
// until it returns. After its first error nothing is written any more.
func NewWriter(to func([]byte) error) *Writer {
	w := &Writer{to: to, buf: make([]byte, 0, cell.MaxChunk)}
	w.write(append([]byte(Magic), Version))
	return w
}

// State writes a record of kind Data, CodePart or Code.
func (w *Writer) State(k Kind, p []byte) error { return w.record(k, p) }

// Inbox writes a value that the guest has not received.
func (w *Writer) Inbox(v cell.Value) error { return w.record(Inbox, []byte{byte(v.Type)}, v.Data) }

// Outbox writes what the guest has posted, or how an exec failed.
func (w *Writer) Outbox(i cell.Item) error {
	if i.Err == nil {
		return w.record(Outbox, []byte{byte(i.Value.Type)}, i.Value.Data)
	}
	text, err := json.Marshal(i.Err)
	if err != nil {
		return fmt.Errorf("state: encode a failure: %w", err)
	}
	return w.record(Failure, text)
}

// End writes the last record, and returns s with the stream's size, its End included.
func (w *Writer) End(s cell.Snapshot) (cell.Snapshot, error) {
	s.Size = 0
	text, err := json.Marshal(s)
	if err != nil {
		return s, fmt.Errorf("state: encode the end: %w", err)
	}
	if err := w.record(End, text); err != nil {
		return s, err
	}
	w.flush()
	s.Size = w.size
	return s, w.err
}

func (w *Writer) record(k Kind, parts ...[]byte) error {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	if n > k.most() {
		return fmt.Errorf("state: a record of kind %d of %d bytes is too long", k, n)
	}
	w.write(binary.LittleEndian.AppendUint32([]byte{byte(k)}, uint32(n)))
	for _, p := range parts {
		w.write(p)
	}
	w.write(binary.LittleEndian.AppendUint32(nil, w.sum))
	return w.err
}

// write copies p into chunks.
func (w *Writer) write(p []byte) {
	w.sum = crc32.Update(w.sum, sums, p)
	for len(p) > 0 && w.err == nil {
		n := min(len(p), cap(w.buf)-len(w.buf))
		w.buf = append(w.buf, p[:n]...)
		p = p[n:]
		if len(w.buf) == cap(w.buf) {
			w.flush()
		}
	}
}

func (w *Writer) flush() {
	if w.err != nil || len(w.buf) == 0 {
		return
	}
	w.err = w.to(w.buf)
	w.size += int64(len(w.buf))
	w.buf = w.buf[:0]
}
