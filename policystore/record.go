package policystore

import (
	"encoding/binary"
	"fmt"

	"github.com/pyisolate/pyisolate/policystore/internal/wire"
)

// policyRecord is where a policy stands.
type policyRecord struct {
	newest  uint64 // version
	index   uint64 // of that version
	deleted bool
	first   uint64 // version that is kept
}

// dropped reports whether there was a version that is no longer kept.
func (p policyRecord) dropped(number uint64) bool { return number > 0 && number < p.first }

func (p policyRecord) isDropped(number uint64) error {
	return fmt.Errorf("%w: version %d and its text are no longer kept; those from %d on are, and the audit log has its hash", ErrNotFound, number, p.first)
}

func (p policyRecord) encode() []byte {
	var w wire.Writer
	w.Uint(p.newest)
	w.Uint(p.index)
	w.Bool(p.deleted)
	w.Uint(p.first)
	return w.B
}

func decodePolicy(b []byte) (policyRecord, error) {
	r := wire.NewReader(b)
	p := policyRecord{newest: r.Uint(), index: r.Uint(), deleted: r.Bool(), first: r.Uint()}
	return p, r.Done()
}

func versionKey(name string, number uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte(name), 0), number)
}

// encodeVersion leaves out the name, which is in the key, and the text.
func encodeVersion(v Version) []byte {
	var w wire.Writer
	w.Uint(v.Number)
	w.Uint(v.Index)
	w.Hash(v.Hash)
	w.String(v.Author)
	w.String(v.Comment)
	w.Time(v.Time)
	w.Bool(v.Deleted)
	w.String(v.Source)
	return w.B
}

func decodeVersion(name string, b []byte) (Version, error) {
	r := wire.NewReader(b)
	v := Version{
		Name: name, Number: r.Uint(), Index: r.Uint(), Hash: r.Hash(), Author: r.String(maxPrincipal),
		Comment: r.String(maxComment), Time: r.Time(), Deleted: r.Bool(), Source: r.String(maxSource),
	}
	return v, r.Done()
}

// reference names a version, in records of changes and requests.
type reference struct {
	name   string
	number uint64
	// request is a hash of the request that made it.
	request [32]byte
	index   uint64
}

func (f reference) encode() []byte {
	var w wire.Writer
	w.String(f.name)
	w.Uint(f.number)
	w.Hash(f.request)
	w.Uint(f.index)
	return w.B
}

func decodeReference(b []byte) (reference, error) {
	r := wire.NewReader(b)
	f := reference{name: r.String(maxName), number: r.Uint(), request: r.Hash(), index: r.Uint()}
	return f, r.Done()
}

func indexKey(index uint64) []byte { return binary.BigEndian.AppendUint64(nil, index) }

// tokenRecord is a token without its secret.
type tokenRecord struct {
	info TokenInfo
	hash [32]byte
}

func (t tokenRecord) encode() []byte {
	var w wire.Writer
	w.String(t.info.ID)
	w.String(t.info.Name)
	w.Byte(byte(t.info.Role))
	w.String(t.info.Tenant)
	w.Time(t.info.Created)
	w.String(t.info.CreatedBy)
	w.Time(t.info.Expires)
	w.Time(t.info.Revoked)
	w.Hash(t.hash)
	return w.B
}

func decodeToken(b []byte) (tokenRecord, error) {
	r := wire.NewReader(b)
	t := tokenRecord{info: TokenInfo{
		ID: r.String(maxTokenID), Name: r.String(maxPrincipal), Role: Role(r.Byte()), Tenant: r.String(maxSegment),
		Created: r.Time(), CreatedBy: r.String(maxPrincipal), Expires: r.Time(), Revoked: r.Time(),
	}, hash: r.Hash()}
	return t, r.Done()
}
