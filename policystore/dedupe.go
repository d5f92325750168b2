package policystore

import (
	"fmt"

	"github.com/pyisolate/pyisolate/policystore/internal/wire"
)

// requestKey keeps the requests of different principals apart: by their token if they have one,
// as an admin of a tenant chooses what its tokens are called.
func (c *command) requestKey() []byte {
	var w wire.Writer
	w.String(c.principal.Tenant)
	w.String(c.principal.TokenID)
	if c.principal.TokenID == "" {
		w.String(c.principal.Name)
	}
	w.String(c.requestID)
	return w.B
}

// repeated returns the version that the same request made before, if it is remembered.
func (a *application) repeated() (v Version, refusal, err error) {
	if a.requestID == "" {
		return v, nil, nil
	}
	body, err := a.get(requestBucket, a.requestKey())
	if err == nil && body == nil {
		refusal, err = a.forgotten()
	}
	if err != nil || body == nil {
		return v, refusal, err
	}
	made, err := decodeReference(body)
	if err != nil {
		return v, nil, a.damage("request %q: %v", a.requestID, err)
	}
	if made.request != a.fingerprint() {
		return v, fmt.Errorf("%w: request id %q was used for another request; take a new one", ErrInvalid, a.requestID), nil
	}
	v, err = a.version(made.name, made.number)
	if err != nil || v.Number != 0 {
		return v, nil, err
	}
	p, err := a.policy(made.name)
	switch {
	case err != nil:
	case p.newest == 0 || p.dropped(made.number): // no more is known of it
		v = Version{Name: made.name, Number: made.number, Index: made.index}
	default:
		err = a.damage("request %q made version %d of policy %s, which is missing", a.requestID, made.number, made.name)
	}
	return v, nil, err
}

// forgotten refuses a request that was made before if what it made may have been forgotten since:
// making it again could be the second time.
func (a *application) forgotten() (refusal, err error) {
	if a.since == 0 || a.head.requests < a.limits.requests {
		return nil, nil
	}
	index, _ := a.tx.Bucket(expiringBucket).Cursor().First()
	if index == nil {
		return nil, a.damage("requests are counted that are not there")
	}
	if oldest := keyIndex(index); oldest > a.since {
		return fmt.Errorf("%w: request %q was made after index %d, and those that are remembered begin with %d", ErrUncertain, a.requestID, a.since, oldest), nil
	}
	return nil, nil
}

// remember keeps what a request made, and forgets the oldest beyond the limit.
func (a *application) remember(v Version) error {
	if a.requestID == "" {
		return nil
	}
	key := a.requestKey()
	made := reference{name: v.Name, number: v.Number, request: a.fingerprint(), index: v.Index}
	if err := a.put(requestBucket, key, made.encode()); err != nil {
		return err
	}
	if err := a.put(expiringBucket, indexKey(v.Index), key); err != nil {
		return err
	}
	for a.head.requests++; a.head.requests > a.limits.requests; a.head.requests-- {
		if err := a.forgetOldest(); err != nil {
			return err
		}
	}
	return nil
}

func (a *application) forgetOldest() error {
	index, sealed := a.tx.Bucket(expiringBucket).Cursor().First()
	if sealed == nil {
		return a.damage("requests are counted that are not there")
	}
	index = append([]byte(nil), index...)
	key, err := a.open(expiringBucket, index, sealed)
	if err != nil {
		return err
	}
	if err := a.remove(requestBucket, append([]byte(nil), key...)); err != nil {
		return err
	}
	return a.remove(expiringBucket, index)
}
