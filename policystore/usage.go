package policystore

import (
	"fmt"

	"github.com/pyisolate/pyisolate/policystore/internal/wire"
)

// usage is what a tenant has; "" is the tenant of what all share.
type usage struct {
	counts
	// floor is the highest number of a version of any policy of the tenant that was forgotten:
	// a new one's versions begin above it, so that no number means two things.
	floor uint64
}

func (u usage) encode() []byte {
	var w wire.Writer
	w.Uint(u.policies)
	w.Uint(u.versions)
	w.Uint(u.textBytes)
	w.Uint(u.tokens)
	w.Uint(u.floor)
	return w.B
}

func decodeUsage(b []byte) (usage, error) {
	r := wire.NewReader(b)
	u := usage{counts{r.Uint(), r.Uint(), r.Uint(), r.Uint()}, r.Uint()}
	return u, r.Done()
}

// tenantKey begins all keys of a tenant in buckets that are ordered by tenants.
func tenantKey(tenant string, rest []byte) []byte {
	return append(append([]byte(tenant), 0), rest...)
}

func (t *transaction) usage(tenant string) (usage, error) {
	body, err := t.get(usageBucket, tenantKey(tenant, nil))
	if err != nil || body == nil {
		return usage{}, err
	}
	u, err := decodeUsage(body)
	if err != nil {
		return u, t.damage("usage of tenant %q: %v", tenant, err)
	}
	return u, nil
}

// use changes what a tenant has, and what all have.
func (t *transaction) use(tenant string, change func(*usage)) error {
	before, err := t.usage(tenant)
	if err != nil {
		return err
	}
	after := before
	change(&after)
	t.head.counts.subtract(before.counts)
	t.head.counts.add(after.counts)
	if after == (usage{}) {
		return t.remove(usageBucket, tenantKey(tenant, nil))
	}
	return t.put(usageBucket, tenantKey(tenant, nil), after.encode())
}

// over is the bound that the tenant, or all together, would exceed with more. A
// principal of one tenant may fill that tenant's share, and leaves a reserve.
func (a *application) over(tenant string, more counts) (bound, error) {
	own, err := a.usage(tenant)
	if err != nil {
		return bound{}, err
	}
	own.add(more)
	all := a.head.counts
	all.add(more)
	if a.principal.Tenant == "" {
		return all.exceeds(a.limits, 1, 1), nil
	}
	if b := own.exceeds(a.limits, 1, share); b != (bound{}) {
		b.tenant = tenant
		return b, nil
	}
	return all.exceeds(a.limits, share-1, share), nil
}

// room makes room for a version by dropping the oldest that are not a policy's newest, and
// deleted policies. It refuses the version when the rest leaves no room; what was dropped by then
// stays dropped.
func (a *application) room(p policyRecord, v Version) (refusal, err error) {
	if v.Deleted {
		return nil, nil // it needs little, and is the way out
	}
	tenant := NameTenant(a.name)
	more := counts{versions: 1}
	if p.newest == 0 {
		more.policies = 1
	}
	for {
		// Again each time: what is dropped may have had the same text.
		if more.textBytes, err = a.textNeeds(tenant, v); err != nil {
			return nil, err
		}
		b, err := a.over(tenant, more)
		if b == (bound{}) || err != nil {
			return nil, err
		}
		made, err := a.makeRoom(tenant, b)
		if err != nil {
			return nil, err
		}
		if !made {
			return fmt.Errorf("%w: there would be %s, and nothing that may be dropped; delete some policies", ErrLimited, b), nil
		}
	}
}

// makeRoom drops something old of a tenant's. A principal of all tenants drops what others
// have when that tenant has nothing.
func (a *application) makeRoom(tenant string, b bound) (made bool, err error) {
	prefixes := [][]byte{tenantKey(tenant, nil)}
	if a.principal.Tenant == "" {
		prefixes = append(prefixes, nil)
	}
	for _, prefix := range prefixes {
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
