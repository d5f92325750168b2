package policystore

import (
	"bytes"
	"errors"
)

// supersede notes that a version is no longer a policy's newest, and may be dropped.
func (t *transaction) supersede(v Version) error {
	return t.queue(supersededBucket, v)
}

// queue puts a version into a bucket that is ordered by tenant and age.
func (t *transaction) queue(bucket []byte, v Version) error {
	return t.put(bucket, queueKey(v.Name, v.Index), reference{name: v.Name, number: v.Number, index: v.Index}.encode())
}

func queueKey(name string, index uint64) []byte { return tenantKey(NameTenant(name), indexKey(index)) }

// oldest is the first in such a bucket whose key has a prefix; its name is "" when there is none.
func (t *transaction) oldest(bucket, prefix []byte) (reference, error) {
	k, v := t.tx.Bucket(bucket).Cursor().Seek(prefix)
	if k == nil || !bytes.HasPrefix(k, prefix) {
		return reference{}, nil
	}
	body, err := t.open(bucket, k, v)
	if err != nil {
		return reference{}, err
	}
	r, err := decodeReference(body)
	if err != nil {
		return r, t.damage("record %x of %s: %v", k, bucket, err)
	}
	return r, nil
}

// dropOldest drops the oldest version that is not a policy's newest.
func (t *transaction) dropOldest(prefix []byte) (dropped bool, err error) {
	r, err := t.oldest(supersededBucket, prefix)
	if err != nil || r.name == "" {
		return false, err
	}
	p, err := t.policy(r.name)
	if err != nil {
		return false, err
	}
	if p.first != r.number {
		return false, t.damage("version %d of policy %s is the oldest, and the first that is kept is %d", r.number, r.name, p.first)
	}
	return true, t.dropFirst(r.name, p)
}

// dropFirst drops the first version of a policy that is kept. The audit log still has its
// hash.
func (t *transaction) dropFirst(name string, p policyRecord) error {
	v, err := t.version(name, p.first)
	if err != nil {
		return err
	}
	if v.Number == 0 {
		return t.damage("version %d of policy %s is missing", p.first, name)
	}
	p.first++
	return errors.Join(
		t.remove(versionBucket, versionKey(name, v.Number)),
		t.remove(supersededBucket, queueKey(name, v.Index)),
		t.releaseText(v),
		t.put(policyBucket, []byte(name), p.encode()),
		t.use(NameTenant(name), func(u *usage) { u.versions-- }))
}

// forgetDeleted forgets the policy that was deleted first.
func (t *transaction) forgetDeleted(prefix []byte) (forgotten bool, err error) {
	r, err := t.oldest(deletedBucket, prefix)
	if err != nil || r.name == "" {
		return false, err
	}
	for {
		p, err := t.policy(r.name)
		if err != nil {
			return false, err
		}
		if p.first > p.newest {
			break
		}
		if err := t.dropFirst(r.name, p); err != nil {
			return false, err
		}
	}
	return true, errors.Join(
		t.remove(policyBucket, []byte(r.name)),
		t.remove(deletedBucket, queueKey(r.name, r.index)),
		t.use(NameTenant(r.name), func(u *usage) {
			u.policies--
			u.floor = max(u.floor, r.number)
		}))
}
