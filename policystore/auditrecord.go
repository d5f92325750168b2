package policystore

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/pyisolate/pyisolate/policystore/internal/wire"
)

// AuditRecord is one link of the chain: one change that was made, or one that was refused
// when it was applied, since its principal no longer might make it. What is refused when it is
// asked for never reaches the log, and refusals for other reasons leave no record: conflicts
// and limits are nobody's deed.
type AuditRecord struct {
	Seq       uint64 // from 1, without gaps
	Index     uint64 // of the log entry
	Time      time.Time
	Principal string
	Role      Role
	Tenant    string
	TokenID   string // of the principal's token, "" for none
	Action    Action
	Name      string // of the policy, or the token's id
	// Before and After are the versions of the policy, or states of the token; zero
	// for none.
	Before, After Change
	Comment       string // the author's, or what the token grants
	// Denied is why it was refused, "" if it was made. The words may be others in another
	// release: stored and hashed is a number.
	Denied string
	denial denial
	// Hash is of this record and the one before.
	Hash [32]byte
}

// Change is a state of what a record is about.
type Change struct {
	Number uint64
	Hash   [32]byte // of the text of the policy's version, zero for a deletion
}

func (r *AuditRecord) encode() []byte {
	var w wire.Writer
	w.Uint(r.Seq)
	w.Uint(r.Index)
	w.Time(r.Time)
	w.String(r.Principal)
	w.Byte(byte(r.Role))
	w.String(r.Tenant)
	w.String(r.TokenID)
	w.Byte(byte(r.Action))
	w.String(r.Name)
	w.Uint(r.Before.Number)
	w.Hash(r.Before.Hash)
	w.Uint(r.After.Number)
	w.Hash(r.After.Hash)
	w.String(r.Comment)
	w.Byte(byte(r.denial))
	w.Hash(r.Hash)
	return w.B
}

func decodeAudit(b []byte) (AuditRecord, error) {
	r := wire.NewReader(b)
	a := AuditRecord{
		Seq: r.Uint(), Index: r.Uint(), Time: r.Time(), Principal: r.String(maxPrincipal), Role: Role(r.Byte()),
		Tenant: r.String(maxSegment), TokenID: r.String(maxTokenID), Action: Action(r.Byte()), Name: r.String(maxName),
		Before: Change{r.Uint(), r.Hash()}, After: Change{r.Uint(), r.Hash()},
		Comment: r.String(maxComment), denial: denial(r.Byte()), Hash: r.Hash(),
	}
	a.Denied = a.denial.String()
	return a, r.Done()
}

// chain is the hash that a record has behind another.
func (r *AuditRecord) chain(before [32]byte) [32]byte {
	own := *r
	own.Hash = before
	return sha256.Sum256(append([]byte("pyisolate audit\x00"), own.encode()...))
}

// record appends a record about the command that is applied.
func (a *application) record(r AuditRecord) error {
	a.head.audit++
	r.Seq, r.Index, r.Time = a.head.audit, a.index, a.now
	p := a.principal
	r.Principal, r.Role, r.Tenant, r.TokenID, r.Action = p.Name, p.Role, p.Tenant, p.TokenID, a.action
	r.Hash = r.chain(a.head.auditHash)
	a.head.auditHash = r.Hash
	return a.put(auditBucket, indexKey(r.Seq), r.encode())
}

func keyIndex(key []byte) uint64 { return binary.BigEndian.Uint64(key) }
