package policystore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"time"
)

// maxAudit bounds one answer of Audit.
const maxAudit = 1000

// Audit returns records in order: at most limit (1 to 1,000), from a sequence number on.
// It is Linearizable. Whose right it is to read them is the caller's affair.
func (s *Store) Audit(ctx context.Context, from uint64, limit int) (records []AuditRecord, err error) {
	if limit < 1 || limit > maxAudit {
		return nil, fmt.Errorf("read audit log: %w: limit %d must be 1 to %d", ErrInvalid, limit, maxAudit)
	}
	err = s.read(ctx, Linearizable, func(t *transaction) error {
		for seq := max(from, 1); seq <= t.head.audit && len(records) < limit; seq++ {
			r, err := t.auditRecord(seq)
			if err != nil {
				return err
			}
			records = append(records, r)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read audit log: %w", err)
	}
	return records, nil
}

func (t *transaction) auditRecord(seq uint64) (AuditRecord, error) {
	body, err := t.must(auditBucket, indexKey(seq))
	if err != nil {
		return AuditRecord{}, err
	}
	r, err := decodeAudit(body)
	if err == nil && r.Seq != seq {
		err = fmt.Errorf("it calls itself %d", r.Seq)
	}
	if err != nil {
		return r, t.damage("audit record %d: %v", seq, err)
	}
	return r, nil
}

// AuditSummary is what a chain that holds says.
type AuditSummary struct {
	Records uint64
	// Head is the last record's hash. Whoever kept an earlier head can find it as the
	// Hash of record Records of that time, if nobody changed what was before.
	Head        [32]byte
	First, Last time.Time // of the records
	Versions    uint64    // that are kept, each with the text that the records tell of
}

// VerifyAudit walks the whole chain: each record's hash is of itself and the one before, the
// last is the one that the state names, each version there is was made by one record, and
// its text has the hash that the record has. The error for one that does not hold is a
// [*CorruptError]. It is Linearizable, and takes time in proportion to everything stored.
func (s *Store) VerifyAudit(ctx context.Context) (sum AuditSummary, err error) {
	err = s.read(ctx, Linearizable, func(t *transaction) (err error) {
		sum, err = t.verifyAudit(ctx)
		return err
	})
	if err != nil {
		return AuditSummary{}, fmt.Errorf("verify audit log: %w", err)
	}
	return sum, nil
}

func (t *transaction) verifyAudit(ctx context.Context) (sum AuditSummary, err error) {
	for seq := uint64(1); seq <= t.head.audit; seq++ {
		if err := ctx.Err(); err != nil {
			return sum, err
		}
		r, err := t.auditRecord(seq)
		if err != nil {
			return sum, err
		}
		if r.Hash != r.chain(sum.Head) {
			return sum, t.damage("audit record %d does not match its hash and the record before", seq)
		}
		kept, err := t.verifyVersion(r)
		if err != nil {
			return sum, err
		}
		if kept {
			sum.Versions++
		}
		if seq == 1 {
			sum.First = r.Time
		}
		sum.Records, sum.Head, sum.Last = seq, r.Hash, r.Time
	}
	switch {
	case sum.Head != t.head.auditHash:
		return sum, t.damage("the last audit record is not the one that was written last")
	case sum.Versions != t.head.counts.versions:
		return sum, t.damage("audit records tell of %d versions, and there are %d", sum.Versions, t.head.counts.versions)
	}
	return sum, t.verifyTexts(ctx)
}

// ofVersion reports whether the record tells of a version that was made.
func (r *AuditRecord) ofVersion() bool {
	return r.denial == allowed && (r.Action == PutPolicy || r.Action == DeletePolicy || r.Action == RollbackPolicy)
}

// verifyVersion holds the version that a record tells of against it, if it is still kept.
func (t *transaction) verifyVersion(r AuditRecord) (kept bool, err error) {
	if !r.ofVersion() {
		return false, nil
	}
	p, err := t.policy(r.Name)
	if err != nil || p.newest == 0 || p.dropped(r.After.Number) {
		return false, err
	}
	v, err := t.version(r.Name, r.After.Number)
	if err != nil {
		return false, err
	}
	if v.Number == 0 || v.Hash != r.After.Hash || v.Author != r.Principal || v.Index != r.Index || !v.Time.Equal(r.Time) || v.Comment != r.Comment {
		return false, t.damage("version %d of policy %s is not as audit record %d has it", r.After.Number, r.Name, r.Seq)
	}
	return true, nil
}

// verifyTexts hashes every text.
func (t *transaction) verifyTexts(ctx context.Context) error {
	return t.tx.Bucket(textBucket).ForEach(func(k, v []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		text, err := t.open(textBucket, k, v)
		if err != nil {
			return err
		}
		if hash := sha256.Sum256(text); !bytes.HasSuffix(k, hash[:]) {
			return t.damage("text %x has another hash", k)
		}
		return nil
	})
}
