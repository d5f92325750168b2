package checkpoint

import (
	"crypto/subtle"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"
)

// maxAdopted bounds how many keys of other rings a ring has of one tenant, and maxAdoptedAll of all.
const (
	maxAdopted    = 64
	maxAdoptedAll = 4096
)

// adoptedAge is how long an adopted key is kept that no file needs: its file may be on its way.
const adoptedAge = time.Hour

// SharedKey is a tenant's key in the clear, for another node's ring. Whoever has it opens all of the
// tenant's checkpoints that were sealed with it, so it goes over the channel between nodes only, and
// into no log: it formats without the key.
type SharedKey struct {
	Tenant string
	ID     string // as in [KeyInfo]
	Key    []byte // 32 bytes
}

// String tells whose key it is, and not the key.
func (k SharedKey) String() string {
	return fmt.Sprintf("key %s of tenant %s", k.ID, k.Tenant)
}

// Format implements fmt.Formatter for each verb, as String.
func (k SharedKey) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, k.String()) }

// LogValue implements slog.LogValuer, as String.
func (k SharedKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

func (k SharedKey) valid() error {
	switch {
	case k.Tenant == "" || len(k.Tenant) > 64 || k.ID == "" || len(k.ID) > 64:
		return fmt.Errorf("%w: a shared key names its tenant and itself, in 1 to 64 bytes each", ErrKey)
	case len(k.Key) != keySize:
		return fmt.Errorf("%w: %s has %d bytes; it must have %d", ErrKey, k, len(k.Key), keySize)
	}
	return nil
}

// Share returns a tenant's key for another ring to adopt: the one of that id, which may itself be
// adopted, or for "" the one that the next checkpoint is sealed with. ErrKey says that there is none of
// the id.
func (r *Ring) Share(tenant, keyID string) (SharedKey, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var w wrapped
	var err error
	if keyID == "" {
		w, err = r.newest(tenant)
	} else {
		w, err = r.find(tenant, keyID)
	}
	if err != nil {
		return SharedKey{}, err
	}
	key, err := r.plain(w)
	if err != nil {
		return SharedKey{}, err
	}
	return SharedKey{Tenant: tenant, ID: w.ID, Key: slices.Clone(key)}, nil
}

// Adopt takes in a key of another ring: it opens what was sealed with it, and seals nothing here. To
// adopt a key that is here does nothing. ErrKey says that it is none, or that another has its id;
// ErrFull, that the tenant has 64 of them, or all tenants 4096.
func (r *Ring) Adopt(k SharedKey) error {
	if err := k.valid(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	adopted, all := 0, 0
	for _, w := range r.held.Tenants {
		if w.ID == k.ID {
			r.asked[k.ID] = time.Now()
			return r.same(w, k)
		}
		if w.Adopted {
			all++
		}
		if w.Adopted && w.Tenant == k.Tenant {
			adopted++
		}
	}
	if adopted >= maxAdopted || all >= maxAdoptedAll {
		return fmt.Errorf("%w: the key ring %s has %d keys of other nodes, %d for tenant %s; %d and %d are the most: remove checkpoints that came from elsewhere",
			ErrFull, r.path, all, adopted, k.Tenant, maxAdoptedAll, maxAdopted)
	}
	_, err := r.put(wrapped{ID: k.ID, Tenant: k.Tenant, Created: time.Now().UTC(), Adopted: true}, k.Key)
	return err
}

// same says whether what is held is the key that is shared. The caller holds mu.
func (r *Ring) same(w wrapped, k SharedKey) error {
	key, err := r.plain(w)
	if err != nil {
		return err
	}
	if w.Tenant != k.Tenant || subtle.ConstantTimeCompare(key, k.Key) != 1 {
		return fmt.Errorf("%w: another key than %s has its id in the key ring %s", ErrKey, k, r.path)
	}
	return nil
}

// shed removes adopted keys that nothing needs any more.
func (r *Ring) shed(needed func(keyID string) bool, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := r.held
	next.Tenants = slices.DeleteFunc(slices.Clone(next.Tenants), func(w wrapped) bool {
		return w.Adopted && now.Sub(w.Created) > adoptedAge && now.Sub(r.asked[w.ID]) > adoptedAge && !needed(w.ID)
	})
	maps.DeleteFunc(r.asked, func(_ string, at time.Time) bool { return now.Sub(at) > adoptedAge })
	if len(next.Tenants) == len(r.held.Tenants) {
		return nil
	}
	return r.keep(next)
}
