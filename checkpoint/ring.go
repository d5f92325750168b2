package checkpoint

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/pyisolate/pyisolate/internal/durable"
	"github.com/pyisolate/pyisolate/internal/strictjson"
)

// Ring has a key for each tenant, wrapped under a master key. Its methods may be called from any
// goroutine.
//
// Whoever can read the file has all keys, unless it was opened with a secret that is kept
// elsewhere. Rotating the master wraps the tenants' keys anew and leaves checkpoints as they
// are; rotating a tenant's key is for those that come.
type Ring struct {
	path  string
	outer []byte // wraps the masters; nil: nothing does

	mu    sync.Mutex
	held  ring
	asked map[string]time.Time // when adopted keys, by their ids, were last brought
}

// ring is the file.
type ring struct {
	Version int       `json:"pyisolate_keyring"`
	Master  master    `json:"master"`
	Tenants []wrapped `json:"tenants"` // of one tenant the newest is last
}

type master struct {
	ID      string    `json:"id"`
	Key     []byte    `json:"key"` // 32 bytes, or with a secret those sealed
	Created time.Time `json:"created"`
}

// wrapped is a tenant's key under the master.
type wrapped struct {
	ID      string    `json:"id"`
	Tenant  string    `json:"tenant"`
	Key     []byte    `json:"key"`
	Created time.Time `json:"created"`
	// Adopted is of another ring's keys: it opens, and seals nothing.
	Adopted bool `json:"adopted,omitempty"`
}

// use is what the key is wrapped for: neither its tenant nor where it comes from can be exchanged.
func (w wrapped) use() []string {
	if w.Adopted {
		return []string{"adopted", w.Tenant, w.ID}
	}
	return []string{"tenant", w.Tenant, w.ID}
}

const ringVersion = 1

// OpenRing reads a ring, or makes one. With a secret, of at least 16 bytes, the file alone opens
// nothing.
func OpenRing(path string, secret []byte) (*Ring, error) {
	r := &Ring{path: path, asked: map[string]time.Time{}}
	if secret != nil {
		if len(secret) < 16 {
			return nil, fmt.Errorf("%w: the ring's secret has %d bytes; 16 is the least", ErrKey, len(secret))
		}
		var err error
		if r.outer, err = hkdf.Key(sha256.New, secret, nil, "pyisolate key ring", keySize); err != nil {
			return nil, err
		}
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, r.Rotate()
	}
	if err != nil {
		return nil, fmt.Errorf("key ring: %w", err)
	}
	if err := strictjson.Unmarshal(text, &r.held); err != nil {
		return nil, fmt.Errorf("%w: the key ring %s: %w", ErrKey, path, err)
	}
	if r.held.Version != ringVersion {
		return nil, fmt.Errorf("%w: the key ring %s has version %d, this one reads %d", ErrKey, path, r.held.Version, ringVersion)
	}
	_, err = r.masterKey()
	return r, err
}

// masterKey is the master without its wrapping. The caller holds mu, or has the ring alone.
func (r *Ring) masterKey() ([]byte, error) {
	if r.outer == nil {
		if len(r.held.Master.Key) != keySize {
			return nil, fmt.Errorf("%w: the key ring %s needs the secret that it was made with", ErrKey, r.path)
		}
		return r.held.Master.Key, nil
	}
	key, err := unwrap(r.outer, r.held.Master.Key, "master", r.held.Master.ID)
	if err != nil {
		return nil, fmt.Errorf("%w: the key ring %s was made with another secret, or without one", ErrKey, r.path)
	}
	return key, nil
}

// wrap seals a key for one use.
func wrap(under, key []byte, use ...string) ([]byte, error) {
	aead, err := chacha20poly1305.NewX(under)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce)
	return aead.Seal(nonce, nonce, key, purpose(use)), nil
}

func unwrap(under, sealed []byte, use ...string) ([]byte, error) {
	aead, err := chacha20poly1305.NewX(under)
	if err != nil {
		return nil, err
	}
	if len(sealed) < aead.NonceSize() {
		return nil, ErrDamaged
	}
	key, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], purpose(use))
	if err != nil || len(key) != keySize {
		return nil, ErrDamaged
	}
	return key, nil
}

func purpose(use []string) []byte {
	b, err := json.Marshal(use)
	if err != nil { // of strings it has no reason to
		panic(err)
	}
	return b
}

func newID(prefix string) string {
	b := make([]byte, 8)
	_, _ = rand.Read(b)
	return prefix + hex.EncodeToString(b)
}

// Rotate makes another master, and wraps all tenants' keys under it.
func (r *Ring) Rotate() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := make([]byte, keySize)
	_, _ = rand.Read(key)
	next := ring{Version: ringVersion, Master: master{ID: newID("m-"), Key: key, Created: time.Now().UTC()}}
	for _, w := range r.held.Tenants {
		plain, err := r.plain(w)
		if err != nil {
			return err
		}
		if w.Key, err = wrap(key, plain, w.use()...); err != nil {
			return err
		}
		next.Tenants = append(next.Tenants, w)
	}
	if r.outer != nil {
		var err error
		if next.Master.Key, err = wrap(r.outer, key, "master", next.Master.ID); err != nil {
			return err
		}
	}
	return r.keep(next)
}

// plain is a tenant's key. The caller holds mu.
func (r *Ring) plain(w wrapped) ([]byte, error) {
	under, err := r.masterKey()
	if err != nil {
		return nil, err
	}
	key, err := unwrap(under, w.Key, w.use()...)
	if err != nil {
		return nil, fmt.Errorf("%w: the key %s of tenant %s in the key ring %s", ErrDamaged, w.ID, w.Tenant, r.path)
	}
	return key, nil
}

// keep writes the ring, and then has it. The caller holds mu.
func (r *Ring) keep(next ring) error {
	text, err := json.MarshalIndent(next, "", "\t")
	if err != nil {
		return err
	}
	if err := durable.WriteFile(r.path, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("key ring: %w", err)
	}
	r.held = next
	return nil
}

// RotateTenant makes another key for a tenant's checkpoints to come.
func (r *Ring) RotateTenant(tenant string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, err := r.add(tenant)
	return err
}

// Forget removes a tenant's keys: nobody can open its checkpoints any more.
func (r *Ring) Forget(tenant string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := r.held
	next.Tenants = slices.DeleteFunc(slices.Clone(next.Tenants), func(w wrapped) bool { return w.Tenant == tenant })
	return r.keep(next)
}

// add makes a tenant's next key. The caller holds mu.
func (r *Ring) add(tenant string) (wrapped, error) {
	key := make([]byte, keySize)
	_, _ = rand.Read(key)
	return r.put(wrapped{ID: newID("t-"), Tenant: tenant, Created: time.Now().UTC()}, key)
}

// put wraps a key under the master and keeps it. The caller holds mu.
func (r *Ring) put(w wrapped, key []byte) (wrapped, error) {
	under, err := r.masterKey()
	if err != nil {
		return wrapped{}, err
	}
	if w.Key, err = wrap(under, key, w.use()...); err != nil {
		return wrapped{}, err
	}
	next := r.held
	next.Tenants = append(slices.Clone(next.Tenants), w)
	return w, r.keep(next)
}

// newest is the key that a tenant's next checkpoint is sealed with; its first is made. The caller holds
// mu.
func (r *Ring) newest(tenant string) (wrapped, error) {
	for _, w := range slices.Backward(r.held.Tenants) {
		if w.Tenant == tenant && !w.Adopted {
			return w, nil
		}
	}
	return r.add(tenant)
}

// find is a tenant's key by its id. The caller holds mu.
func (r *Ring) find(tenant, id string) (wrapped, error) {
	for _, w := range r.held.Tenants {
		if w.ID == id && w.Tenant == tenant {
			return w, nil
		}
	}
	return wrapped{}, fmt.Errorf("%w: key %.64q of tenant %.64q is not in the key ring %s", ErrKey, id, tenant, r.path)
}

func (r *Ring) seal(h *Header) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w, err := r.newest(h.Tenant)
	if err != nil {
		return nil, err
	}
	h.Key = KeyInfo{ID: w.ID, Salt: newSalt()}
	return r.plain(w)
}

func (r *Ring) open(h Header) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w, err := r.find(h.Tenant, h.Key.ID)
	if err != nil {
		return nil, err
	}
	return r.plain(w)
}
