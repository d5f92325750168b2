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
	if same, found, err := a.findToken(t.info.ID); err != nil || found && same.hash == t.hash {
		return same.info, nil, err // the request was made before: nobody else knows the secret
	}
	if refusal, err = a.roomForToken(t.info); refusal != nil || err != nil {
		return t.info, refusal, err
	}
	a.head.hasFirst = a.head.hasFirst || a.action == FirstToken
	return t.info, nil, errors.Join(
		a.put(tokenBucket, []byte(t.info.ID), t.encode()),
		a.use(t.info.Tenant, func(u *usage) { u.tokens++ }),
		a.record(AuditRecord{Name: t.info.ID, Comment: t.info.grant(), After: Change{1, t.digest()}}))
}

// roomForToken removes tokens that have ended when there are too many; the audit log
// still tells of them.
func (a *application) roomForToken(i TokenInfo) (refusal, err error) {
	if _, found, err := a.findToken(i.ID); err != nil || found {
		return fmt.Errorf("%w: there is a token %s", ErrConflict, i.ID), err
	}
	b, err := a.over(i.Tenant, counts{tokens: 1}, counts{})
	if b == (bound{}) || err != nil {
		return nil, err
	}
	if err := a.removeEnded(); err != nil {
		return nil, err
	}
	if b, err = a.over(i.Tenant, counts{tokens: 1}, counts{}); b != (bound{}) {
		refusal = fmt.Errorf("%w: there would be %s; revoke some", ErrLimited, b)
	}
	return refusal, err
}

func (a *application) removeEnded() error {
	var ended []TokenInfo
	err := a.eachToken(func(t tokenRecord) {
		if !t.info.Revoked.IsZero() || t.info.expired(a.now) {
			ended = append(ended, t.info)
		}
	})
	if err != nil {
		return err
	}
	for _, i := range ended {
		err := errors.Join(
			a.remove(tokenBucket, []byte(i.ID)),
			a.use(i.Tenant, func(u *usage) { u.tokens-- }))
		if err != nil {
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
		a.record(AuditRecord{Name: id, Comment: t.info.grant(), Before: Change{1, before}, After: Change{2, t.digest()}}))
}

// digest is a hash of all that is stored of a token.
func (t tokenRecord) digest() [32]byte { return sha256.Sum256(t.encode()) }
