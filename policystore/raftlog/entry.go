package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/policystore/internal/wire"
)

// entryFormat begins each entry.
const entryFormat = 1

// encode makes a record of an entry, without its seal.
func encode(l *raft.Log) []byte {
	w := wire.Writer{B: make([]byte, 0, 48+len(l.Data)+len(l.Extensions))}
	w.Byte(entryFormat)
	w.Byte(byte(l.Type))
	w.Uint(l.Index)
	w.Uint(l.Term)
	w.Time(l.AppendedAt)
	w.Bytes(l.Data)
	w.Bytes(l.Extensions)
	return w.B
}

var errFormat = errors.New("of a format that this version does not know")

// decode reads what encode made. The entry has memory of its own.
func decode(b []byte, l *raft.Log) error {
	r := wire.NewReader(b)
	if format := r.Byte(); r.Err() == nil && format != entryFormat {
		return fmt.Errorf("an entry %w: %d", errFormat, format)
	}
	*l = raft.Log{Type: raft.LogType(r.Byte()), Index: r.Uint(), Term: r.Uint(), AppendedAt: r.Time()}
	l.Data = clone(r.Bytes(math.MaxInt32))
	l.Extensions = clone(r.Bytes(math.MaxInt32))
	return r.Done()
}

// clone copies b; nothing is nil, as Raft has it.
func clone(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return append([]byte(nil), b...)
}

// key orders entries by index.
func key(index uint64) []byte { return binary.BigEndian.AppendUint64(nil, index) }

// span is which entries there are, both inclusive; zero for none.
type span struct{ first, last uint64 }

func (s span) encode() []byte {
	var w wire.Writer
	w.Uint(s.first)
	w.Uint(s.last)
	return w.B
}

func decodeSpan(b []byte) (span, error) {
	r := wire.NewReader(b)
	s := span{r.Uint(), r.Uint()}
	if err := r.Done(); err != nil {
		return s, err
	}
	if s.first > s.last || (s.first == 0) != (s.last == 0) {
		return s, fmt.Errorf("%w: entries %d to %d", wire.ErrFormat, s.first, s.last)
	}
	return s, nil
}

// within is what both have.
func (s span) within(o span) span {
	both := span{max(s.first, o.first), min(s.last, o.last)}
	if both.last == 0 || both.first > both.last {
		return span{}
	}
	return both
}
