package policystore

import (
	"crypto/sha256"
	"errors"
	"fmt"
)

// findToken reads a stored token.
func (t *transaction) findToken(id string) (record tokenRecord, found bool, err error) {
	body, err := t.get(tokenBucket, []byte(id))
	if err != nil || body == nil {
		return record, false, err
	}
	if record, err = decodeToken(body); err != nil {
		return record, false, t.damage("token %s: %v", id, err)
	}
	return record, true, nil
}

// createToken stores a token that the leader made.
func (a *application) createToken() (_ TokenInfo, refusal, err error) {
	t := a.token
	t.info.Created, t.info.CreatedBy = a.now, a.principal.Name
	if a.action == FirstToken && a.head.hasFirst {
		return t.info, fmt.Errorf("%w: the first token has been made", ErrConflict), nil
	}
	if refusal, err = a.authority(Admin, t.info.Tenant); refusal != nil || err != nil {
		return t.info, refusal, err
	}
	if refusal, err = a.roomForToken(t.info.ID); refusal != nil || err != nil {
		return t.info, refusal, err
	}
	a.head.tokens++
	a.head.hasFirst = a.head.hasFirst || a.action == FirstToken
	return t.info, nil, errors.Join(
		a.put(tokenBucket, []byte(t.info.ID), t.encode()),
		a.record(AuditRecord{Name: t.info.ID, Comment: t.info.String(), After: Change{1, t.digest()}}))
}

// roomForToken removes tokens that have ended when there are too many; the audit log
// still tells of them.
func (a *application) roomForToken(id string) (refusal, err error) {
	if _, found, err := a.findToken(id); err != nil || found {
		return fmt.Errorf("%w: there is a token %s", ErrConflict, id), err
	}
	if a.head.tokens >= a.limits.tokens {
		if err := a.removeEnded(); err != nil {
			return nil, err
		}
	}
	if a.head.tokens >= a.limits.tokens {
		return fmt.Errorf("%w: there are %d tokens, and there may be no more; revoke some", ErrLimited, a.head.tokens), nil
	}
	return nil, nil
}

func (a *application) removeEnded() error {
	var ended []string
	err := a.eachToken(func(t tokenRecord) {
		if !t.info.Revoked.IsZero() || t.info.expired(a.now) {
			ended = append(ended, t.info.ID)
		}
	})
	if err != nil {
		return err
	}
	for _, id := range ended {
		a.head.tokens--
		if err := a.remove(tokenBucket, []byte(id)); err != nil {
			return err
		}
	}
	return nil
}

// eachToken calls each for all tokens, by id.
func (t *transaction) eachToken(each func(tokenRecord)) error {
	return t.tx.Bucket(tokenBucket).ForEach(func(k, v []byte) error {
		body, err := t.open(tokenBucket, k, v)
		if err != nil {
			return err
		}
		record, err := decodeToken(body)
		if err != nil {
			return t.damage("token %s: %v", k, err)
		}
		each(record)
		return nil
	})
}

// revokeToken ends a token. Whoever came with a token may end that one.
func (a *application) revokeToken() (_ TokenInfo, refusal, err error) {
	id := a.token.info.ID
	t, found, err := a.findToken(id)
	if err != nil {
		return t.info, nil, err
	}
	least := Admin
	if a.principal.TokenID == id {
		least = Viewer
	}
	if refusal, err = a.authority(least, t.info.Tenant); refusal != nil || err != nil {
		return t.info, refusal, err
	}
	if !found {
		return t.info, fmt.Errorf("%w: there is no token %s", ErrNotFound, id), nil
	}
	if !t.info.Revoked.IsZero() {
		return t.info, nil, nil
	}
	before := t.digest()
	t.info.Revoked = a.now
	return t.info, nil, errors.Join(
		a.put(tokenBucket, []byte(id), t.encode()),
		a.record(AuditRecord{Name: id, Comment: t.info.String(), Before: Change{1, before}, After: Change{2, t.digest()}}))
}

// digest is a hash of all that is stored of a token.
func (t tokenRecord) digest() [32]byte { return sha256.Sum256(t.encode()) }
