package state

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"github.com/pyisolate/pyisolate/cell"
)

// Reader reads a stream. It takes no more memory than a record has bytes.
type Reader struct {
	from io.Reader
	sum  uint32
	step int
	part bool // a code object has begun
	done bool
	// spare is what the payload of the last part of the pickle or of code was in.
	spare []byte
}

// NewReader reads the stream's first bytes. Errors are [ErrFormat] or those of from.
func NewReader(from io.Reader) (*Reader, error) {
	r := &Reader{from: from}
	head := make([]byte, len(Magic)+1)
	if err := r.read(head); err != nil {
		return nil, fmt.Errorf("its beginning: %w", err)
	}
	if string(head[:len(Magic)]) != Magic {
		return nil, fmt.Errorf("%w: this is not a cell's state", ErrFormat)
	}
	if head[len(Magic)] != Version {
		return nil, fmt.Errorf("%w: the state has version %d, this build reads %d", ErrFormat, head[len(Magic)], Version)
	}
	return r, nil
}

// Next returns the next record. Behind the End comes [io.EOF]; the source's own end before it is
// [ErrFormat], and so is whatever a Writer does not write.
func (r *Reader) Next() (Record, error) {
	if r.done {
		return Record{}, io.EOF
	}
	var head [headSize]byte
	if err := r.read(head[:]); err != nil {
		return Record{}, err
	}
	rec, err := r.body(Kind(head[0]), binary.LittleEndian.Uint32(head[1:]))
	if err == nil {
		err = r.check()
	}
	if err == nil {
		err = rec.decode()
	}
	if err != nil {
		return Record{}, err
	}
	r.done = rec.Kind == End
	return rec, nil
}

// body reads a payload after its place in the order has been checked.
func (r *Reader) body(k Kind, n uint32) (Record, error) {
	switch {
	case int64(n) > int64(k.most()):
		return Record{}, fmt.Errorf("%w: a record of kind %d and %d bytes", ErrFormat, k, n)
	case k.step() < r.step, r.part && k != CodePart && k != Code:
		return Record{}, fmt.Errorf("%w: a record of kind %d is out of its order", ErrFormat, k)
	}
	r.step, r.part = k.step(), k == CodePart
	rec := Record{Kind: k}
	if k.step() == 0 {
		rec.Payload = r.spare[:0]
		defer func() { r.spare = rec.Payload }()
	}
	// The length may be a lie: what is not there is not made room for.
	for have := 0; have < int(n); have = len(rec.Payload) {
		more := min(int(n)-have, max(cell.MaxChunk, have))
		rec.Payload = slices.Grow(rec.Payload, more)[:have+more]
		if err := r.read(rec.Payload[have:]); err != nil {
			return Record{}, err
		}
	}
	return rec, nil
}

func (r *Reader) check() error {
	want := r.sum
	var sum [sumSize]byte
	if err := r.read(sum[:]); err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(sum[:]) != want {
		return fmt.Errorf("%w: a record's sum is wrong", ErrFormat)
	}
	return nil
}

func (r *Reader) read(p []byte) error {
	if _, err := io.ReadFull(r.from, p); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("%w: it ends too early", ErrFormat)
		}
		return fmt.Errorf("state: read: %w", err)
	}
	r.sum = crc32.Update(r.sum, sums, p)
	return nil
}

// decode fills in what the payload says.
func (rec *Record) decode() error {
	var err error
	switch rec.Kind {
	case Inbox, Outbox:
		if len(rec.Payload) == 0 || cell.ContentType(rec.Payload[0]) > cell.Bytes {
			return fmt.Errorf("%w: a value of unknown type", ErrFormat)
		}
		rec.Value = cell.Value{Type: cell.ContentType(rec.Payload[0]), Data: rec.Payload[1:]}
	case Failure:
		rec.Err = new(cell.Error)
		if err = json.Unmarshal(rec.Payload, rec.Err); err == nil && !rec.Err.Kind.Known() {
			err = errors.New("of an unknown kind of error")
		}
	case End:
		err = json.Unmarshal(rec.Payload, &rec.Snapshot)
	}
	if err != nil {
		return fmt.Errorf("%w: a record of kind %d: %w", ErrFormat, rec.Kind, err)
	}
	return nil
}
