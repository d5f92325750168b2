package policystore

import (
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

// over is the bound that the tenant, or all together, would exceed with what is asked for, if
// something were freed. A principal of one tenant may fill that tenant's share, and leaves a
// reserve.
func (a *application) over(tenant string, asked, freed counts) (bound, error) {
	own, err := a.usage(tenant)
	if err != nil {
		return bound{}, err
	}
	all := a.head.counts
	for _, c := range []*counts{&own.counts, &all} {
		c.add(asked)
		c.subtract(freed)
	}
	if a.principal.Tenant == "" {
		return all.exceeds(a.limits, asked, 1, 1), nil
	}
	if b := own.exceeds(a.limits, asked, 1, share); b != (bound{}) {
		b.tenant = tenant
		return b, nil
	}
	return all.exceeds(a.limits, asked, share-1, share), nil
}
