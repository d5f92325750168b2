// Package wire is the one way in which the store writes commands and records: fields in a
// fixed order, numbers as shortest varints, strings with their length before them. A value
// has one encoding, so encodings can be hashed and compared. There are no field numbers: what
// is added later comes last, and a reader takes what is missing as zero where its format
// says so ([Reader.More]).
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// ErrFormat is wrapped by all errors of a [Reader].
var ErrFormat = errors.New("malformed")

// Writer appends fields to B. The zero value is ready.
type Writer struct{ B []byte }

// Byte appends one byte.
func (w *Writer) Byte(v byte) { w.B = append(w.B, v) }

// Uint appends a varint.
func (w *Writer) Uint(v uint64) { w.B = binary.AppendUvarint(w.B, v) }

// Bool appends 0 or 1.
func (w *Writer) Bool(v bool) {
	if v {
		w.Byte(1)
	} else {
		w.Byte(0)
	}
}

// MaxTime is the last time that can be written, in the year 2262.
var MaxTime = time.Unix(0, math.MaxInt64).UTC()

// HasTime reports whether t can be written: whether it is the zero time, or after 1970 and not
// after MaxTime.
func HasTime(t time.Time) bool {
	return t.IsZero() || t.After(time.Unix(0, 0)) && !t.After(MaxTime)
}

// Time appends nanoseconds since 1970, eight bytes; 0 for the zero time. For a time that
// [HasTime] does not report, what is read is another one.
func (w *Writer) Time(t time.Time) {
	var ns int64
	if !t.IsZero() {
		ns = t.UnixNano()
	}
	w.B = binary.BigEndian.AppendUint64(w.B, uint64(ns))
}

// String appends a length and bytes.
func (w *Writer) String(s string) {
	w.Uint(uint64(len(s)))
	w.B = append(w.B, s...)
}

// Bytes appends a length and bytes.
func (w *Writer) Bytes(b []byte) {
	w.Uint(uint64(len(b)))
	w.B = append(w.B, b...)
}

// Hash appends 32 bytes.
func (w *Writer) Hash(h [32]byte) { w.B = append(w.B, h[:]...) }

// Reader takes fields from bytes. After the first error it yields zeros; ask Err, or
// Done at the end.
type Reader struct {
	b   []byte
	err error
}

// NewReader reads from b, which it does not copy.
func NewReader(b []byte) *Reader { return &Reader{b: b} }

// Err is the first error.
func (r *Reader) Err() error { return r.err }

// More reports whether anything is left, for fields that older encodings lack.
func (r *Reader) More() bool { return r.err == nil && len(r.b) > 0 }

// Done is the first error, or one that says what is left over.
func (r *Reader) Done() error {
	if r.err == nil && len(r.b) > 0 {
		r.fail("%d bytes too many", len(r.b))
	}
	return r.err
}

func (r *Reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: "+format, append([]any{ErrFormat}, args...)...)
	}
	r.b = nil
}

// take yields the next n bytes, nil when there are not as many.
func (r *Reader) take(n uint64) []byte {
	if r.err != nil || n > uint64(len(r.b)) {
		r.fail("ends within a field of %d bytes", n)
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

// Byte takes one byte.
func (r *Reader) Byte() byte {
	if v := r.take(1); v != nil {
		return v[0]
	}
	return 0
}

// Bool takes 0 or 1.
func (r *Reader) Bool() bool {
	v := r.Byte()
	if v > 1 {
		r.fail("a truth value of %d", v)
	}
	return v == 1
}

// Uint takes a varint, in its shortest form.
func (r *Reader) Uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || n > 1 && r.b[n-1] == 0 {
		r.fail("not a shortest varint")
		return 0
	}
	r.b = r.b[n:]
	return v
}

// Time takes a time, in UTC.
func (r *Reader) Time() time.Time {
	v := r.take(8)
	if v == nil {
		return time.Time{}
	}
	if ns := int64(binary.BigEndian.Uint64(v)); ns != 0 {
		return time.Unix(0, ns).UTC()
	}
	return time.Time{}
}

// Bytes takes a length, at most most, and that many bytes, of the Reader's own.
func (r *Reader) Bytes(most int) []byte {
	n := r.Uint()
	if n > uint64(most) {
		r.fail("a field of %d bytes; %d is the most", n, most)
		return nil
	}
	return r.take(n)
}

// String takes a string of at most most bytes.
func (r *Reader) String(most int) string { return string(r.Bytes(most)) }

// Hash takes 32 bytes.
func (r *Reader) Hash() (h [32]byte) {
	copy(h[:], r.take(32))
	return h
}
