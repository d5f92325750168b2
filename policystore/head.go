package policystore

import (
	"encoding/binary"
	"math/bits"
	"time"

	"github.com/pyisolate/pyisolate/policystore/internal/wire"
)

// stateFormat is of the state file and of everything in it.
const stateFormat = 1

// head is the one record that sums up the state; it changes with every entry that is
// applied, in the same transaction.
type head struct {
	applied    uint64    // index of the last command that was applied
	time       time.Time // of that command; it never goes back
	audit      uint64    // how many audit records there are
	auditHash  [32]byte  // of the last one
	counts     counts    // of all tenants together
	compacted  uint64    // index up to which changes are no longer kept
	changes    uint64    // that are kept
	requests   uint64    // that are remembered
	hasFirst   bool      // the first token has been made
	records    uint64    // in all buckets
	recordsSum sum       // over all records
}

func (h *head) encode() []byte {
	var w wire.Writer
	w.Byte(stateFormat)
	w.Uint(h.applied)
	w.Time(h.time)
	w.Uint(h.audit)
	w.Hash(h.auditHash)
	w.Uint(h.counts.policies)
	w.Uint(h.counts.versions)
	w.Uint(h.counts.textBytes)
	w.Uint(h.counts.tokens)
	w.Uint(h.compacted)
	w.Uint(h.changes)
	w.Uint(h.requests)
	w.Bool(h.hasFirst)
	w.Uint(h.records)
	w.Hash(h.recordsSum.bytes())
	return w.B
}

func decodeHead(b []byte) (head, error) {
	r := wire.NewReader(b)
	if format := r.Byte(); r.Err() == nil && format != stateFormat {
		return head{}, newer("a state", format, stateFormat)
	}
	h := head{
		applied: r.Uint(), time: r.Time(), audit: r.Uint(), auditHash: r.Hash(),
		counts:    counts{r.Uint(), r.Uint(), r.Uint(), r.Uint()},
		compacted: r.Uint(), changes: r.Uint(), requests: r.Uint(), hasFirst: r.Bool(),
		records: r.Uint(), recordsSum: sumFrom(r.Hash()),
	}
	return h, r.Done()
}

// sum adds hashes up, modulo 2^256, so that it can follow single changes and does not
// depend on their order. It finds accidents; it is no defence against somebody who can
// write to the file.
type sum [4]uint64

func sumFrom(b [32]byte) (s sum) {
	for i := range s {
		s[i] = binary.BigEndian.Uint64(b[8*i:])
	}
	return s
}

func (s sum) bytes() (b [32]byte) {
	for i := range s {
		binary.BigEndian.PutUint64(b[8*i:], s[i])
	}
	return b
}

func (s *sum) add(o sum) {
	var carry uint64
	for i := len(s) - 1; i >= 0; i-- {
		s[i], carry = bits.Add64(s[i], o[i], carry)
	}
}

func (s *sum) subtract(o sum) {
	var borrow uint64
	for i := len(s) - 1; i >= 0; i-- {
		s[i], borrow = bits.Sub64(s[i], o[i], borrow)
	}
}
