package policystore

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
)

// changePolicy makes a version.
func (a *application) changePolicy() (v Version, refusal, err error) {
	if refusal, err = a.authority(PolicyAdmin, NameTenant(a.name)); refusal != nil || err != nil {
		return v, refusal, err
	}
	if v, refusal, err = a.repeated(); v.Number != 0 || refusal != nil || err != nil {
		return v, refusal, err
	}
	p, err := a.policy(a.name)
	if err != nil {
		return v, nil, err
	}
	if refusal = a.expected(p); refusal != nil {
		return v, refusal, nil
	}
	if v, refusal, err = a.next(p); refusal != nil || err != nil {
		return Version{}, refusal, err
	}
	if refusal, err = a.admitVersion(p, v); refusal != nil || err != nil {
		return Version{}, refusal, err
	}
	if p, err = a.policy(a.name); err != nil { // room may have dropped versions of it
		return Version{}, nil, err
	}
	if v.Number, err = a.nextNumber(p); err != nil {
		return Version{}, nil, err
	}
	return v, nil, a.store(p, v)
}

// nextNumber is the next version's.
func (a *application) nextNumber(p policyRecord) (uint64, error) {
	if p.newest > 0 {
		return p.newest + 1, nil
	}
	u, err := a.usage(NameTenant(a.name))
	return u.floor + 1, err
}

// admitVersion finds room for a version and its text. A rollback holds its text first, which
// the version that it is of could lose.
func (a *application) admitVersion(p policyRecord, v Version) (refusal, err error) {
	if a.action == RollbackPolicy {
		if err := a.holdText(v); err != nil {
			return nil, err
		}
	}
	refusal, err = a.room(p, v)
	switch {
	case err != nil:
	case refusal != nil && a.action == RollbackPolicy:
		err = a.releaseText(v)
	case refusal == nil && a.action == PutPolicy:
		err = a.holdText(v)
	}
	return refusal, err
}

// next is the version that the command makes, without its number: that is known when there
// is room.
func (a *application) next(p policyRecord) (v Version, refusal, err error) {
	v = Version{
		Name: a.name, Index: a.index,
		Author: a.principal.Name, Comment: a.comment, Time: a.now, Source: a.source,
	}
	switch a.action {
	case PutPolicy:
		v.Hash = sha256.Sum256(a.text)
	case DeletePolicy:
		v.Deleted = true
		if p.newest == 0 || p.deleted {
			refusal = fmt.Errorf("%w: there is no policy %s to delete", ErrNotFound, a.name)
		}
	case RollbackPolicy:
		v.Source = rollbackSource + strconv.FormatUint(a.to, 10)
		v.Hash, refusal, err = a.rollbackTo()
	}
	return v, refusal, err
}

// policy is where a policy stands; zero when there never was one.
func (t *transaction) policy(name string) (policyRecord, error) {
	body, err := t.get(policyBucket, []byte(name))
	if err != nil || body == nil {
		return policyRecord{}, err
	}
	p, err := decodePolicy(body)
	if err != nil {
		return p, t.damage("policy %s: %v", name, err)
	}
	return p, nil
}

// version is one version without its text; number 0 when there is none.
func (t *transaction) version(name string, number uint64) (Version, error) {
	body, err := t.get(versionBucket, versionKey(name, number))
	if err != nil || body == nil {
		return Version{}, err
	}
	v, err := decodeVersion(name, body)
	if err == nil && v.Number != number {
		err = fmt.Errorf("it calls itself %d", v.Number)
	}
	if err != nil {
		return v, t.damage("version %d of policy %s: %v", number, name, err)
	}
	return v, nil
}

// expected compares the newest version's number with the one that the request expects.
func (a *application) expected(p policyRecord) error {
	if !a.hasExpect || a.expect == p.newest || a.expect == 0 && p.deleted {
		return nil
	}
	if p.newest == 0 {
		return fmt.Errorf("%w: policy %s does not exist; version %d was expected", ErrConflict, a.name, a.expect)
	}
	return fmt.Errorf("%w: the newest version of policy %s is %d; %d was expected", ErrConflict, a.name, p.newest, a.expect)
}

// rollbackTo is the hash of the text to roll back to.
func (a *application) rollbackTo() (hash [32]byte, refusal, err error) {
	p, err := a.policy(a.name)
	if err != nil {
		return hash, nil, err
	}
	old, err := a.version(a.name, a.to)
	switch {
	case err != nil:
	case p.dropped(a.to):
		refusal = p.isDropped(a.to)
	case old.Number == 0:
		refusal = fmt.Errorf("%w: policy %s has no version %d", ErrNotFound, a.name, a.to)
	case old.Deleted:
		refusal = fmt.Errorf("%w: version %d of policy %s is a deletion; there is nothing to roll back to", ErrInvalid, a.to, a.name)
	}
	return old.Hash, refusal, err
}

// store writes a version, whose text is held already, and all that goes with it.
func (a *application) store(p policyRecord, v Version) error {
	before, err := a.version(a.name, p.newest)
	if err != nil {
		return err
	}
	now := policyRecord{newest: v.Number, index: v.Index, deleted: v.Deleted, first: p.first}
	if p.newest == 0 {
		now.first = v.Number
	}
	return errors.Join(
		a.queueVersions(p, before, v),
		a.use(NameTenant(v.Name), func(u *usage) {
			u.versions++
			if p.newest == 0 {
				u.policies++
			}
		}),
		a.put(policyBucket, []byte(v.Name), now.encode()),
		a.put(versionBucket, versionKey(v.Name, v.Number), encodeVersion(v)),
		a.noteChange(v),
		a.remember(v),
		a.record(AuditRecord{
			Name: v.Name, Comment: v.Comment,
			Before: Change{before.Number, before.Hash}, After: Change{v.Number, v.Hash},
		}),
		a.keepFew(now))
}

// queueVersions notes what may be dropped from now on.
func (a *application) queueVersions(p policyRecord, before, v Version) error {
	var errs []error
	if p.newest != 0 {
		errs = append(errs, a.supersede(before))
	}
	if p.deleted {
		errs = append(errs, a.remove(deletedBucket, queueKey(v.Name, before.Index)))
	}
	if v.Deleted {
		errs = append(errs, a.queue(deletedBucket, v))
	}
	return errors.Join(errs...)
}

// keepFew drops the oldest version when a policy has too many.
func (a *application) keepFew(p policyRecord) error {
	if p.newest-p.first < a.limits.perPolicy {
		return nil
	}
	return a.dropFirst(a.name, p)
}

// noteChange keeps the change for watchers, and forgets the oldest beyond the limit.
func (a *application) noteChange(v Version) error {
	if err := a.put(changeBucket, indexKey(v.Index), reference{name: v.Name, number: v.Number, index: v.Index}.encode()); err != nil {
		return err
	}
	for a.head.changes++; a.head.changes > a.limits.changes; a.head.changes-- {
		oldest, body := a.tx.Bucket(changeBucket).Cursor().First()
		oldest = append([]byte(nil), oldest...)
		if body == nil {
			return a.damage("changes are counted that are not there")
		}
		a.head.compacted = keyIndex(oldest)
		if err := a.remove(changeBucket, oldest); err != nil {
			return err
		}
	}
	return nil
}
