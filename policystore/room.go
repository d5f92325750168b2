package policystore

import (
	"bytes"
	"fmt"
	"slices"
)

// maxDrops is how many versions one change may drop, so that none takes long.
const maxDrops = 5000

// room makes room for a version by dropping the oldest that are not a policy's newest, and
// deleted policies. It refuses the version, and drops nothing, when that is not enough.
func (a *application) room(p policyRecord, v Version) (refusal, err error) {
	if v.Deleted {
		return nil, nil // it needs little, and is the way out
	}
	tenant := NameTenant(a.name)
	asked := counts{versions: 1}
	if p.newest == 0 {
		asked.policies = 1
	}
	for looked := false; ; looked = true {
		// Again each time: what is dropped may have had the same text.
		if asked.textBytes, err = a.textNeeds(v); err != nil {
			return nil, err
		}
		b, err := a.over(tenant, asked, counts{})
		if b == (bound{}) || err != nil {
			return nil, err
		}
		made := looked
		if !looked {
			made, err = a.canMakeRoom(tenant, asked, b)
		}
		if made && err == nil {
			made, err = a.makeRoom(tenant, b)
		}
		if err != nil {
			return nil, err
		}
		if !made {
			return fmt.Errorf("%w: there would be %s, and too little that may be dropped; delete some policies", ErrLimited, b), nil
		}
	}
}

// makeRoom drops something old.
func (a *application) makeRoom(tenant string, b bound) (made bool, err error) {
	for _, prefix := range a.droppable(tenant) {
		if b.what != policiesBound {
			made, err = a.dropOldest(prefix)
		}
		if !made && err == nil {
			made, err = a.forgetDeleted(prefix)
		}
		if made || err != nil {
			return made, err
		}
	}
	return false, nil
}

// droppable are the keys' prefixes of what makes room: the tenant's, and if it has nothing and
// the principal is of all tenants, everybody's.
func (a *application) droppable(tenant string) [][]byte {
	own := tenantKey(tenant, nil)
	if a.principal.Tenant == "" {
		return [][]byte{own, nil}
	}
	return [][]byte{own}
}

// canMakeRoom reports whether makeRoom will make enough, and soon.
func (a *application) canMakeRoom(tenant string, asked counts, b bound) (bool, error) {
	look := lookAhead{application: a, tenant: tenant, asked: asked, next: map[string]uint64{}, uses: map[string]uint64{}}
	buckets := [][]byte{supersededBucket, deletedBucket}
	if b.what == policiesBound {
		slices.Reverse(buckets)
	}
	for _, prefix := range a.droppable(tenant) {
		for _, bucket := range buckets {
			if enough, err := look.through(bucket, prefix); enough || err != nil {
				return enough, err
			}
		}
	}
	return false, nil
}

// lookAhead adds up what dropping would free.
type lookAhead struct {
	*application
	tenant       string
	asked, freed counts
	next         map[string]uint64 // by policy: the first version that is not counted yet
	uses         map[string]uint64 // that are left of texts
	steps        int
}

// through looks at what has a prefix in a bucket, until that is enough.
func (l *lookAhead) through(bucket, prefix []byte) (enough bool, err error) {
	own := tenantKey(l.tenant, nil)
	c := l.tx.Bucket(bucket).Cursor()
	for k, v := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix) && l.steps < maxDrops; k, v = c.Next() {
		if prefix == nil && bytes.HasPrefix(k, own) {
			continue // it was looked at
		}
		if err := l.free(bucket, k, v); err != nil {
			return false, err
		}
		if b, err := l.over(l.tenant, l.asked, l.freed); b == (bound{}) || err != nil {
			return err == nil, err
		}
	}
	return false, nil
}

// free counts what dropping a version, or forgetting a policy, frees.
func (l *lookAhead) free(bucket, k, sealed []byte) error {
	body, err := l.open(bucket, k, sealed)
	if err != nil {
		return err
	}
	r, err := decodeReference(body)
	if err != nil {
		return l.damage("record %x of %s: %v", k, bucket, err)
	}
	if bytes.Equal(bucket, deletedBucket) {
		l.freed.policies++
	}
	p, err := l.policy(r.name)
	if err != nil {
		return err
	}
	for n := max(p.first, l.next[r.name]); n <= r.number; n++ {
		l.steps++
		l.next[r.name] = n + 1
		if err := l.freeVersion(r.name, n); err != nil {
			return err
		}
	}
	return nil
}

// freeVersion counts a version, and its text if that was the text's last use.
func (l *lookAhead) freeVersion(name string, number uint64) error {
	l.freed.versions++
	v, err := l.version(name, number)
	if err != nil || v.Deleted {
		return err
	}
	key := textKey(v)
	u, err := l.textUse(key)
	if err != nil {
		return err
	}
	left, known := l.uses[string(key)]
	if !known {
		left = u.versions
	}
	if left--; left == 0 {
		l.freed.textBytes += u.size
	}
	l.uses[string(key)] = left
	return nil
}
