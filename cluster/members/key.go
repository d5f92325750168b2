package members

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// KeyID names a key in listings and logs: 16 hexadecimal digits of a hash.
func KeyID(key []byte) string {
	sum := sha256.Sum256(append([]byte("pyisolate gossip key\x00"), key...))
	return hex.EncodeToString(sum[:8])
}

func checkKey(key []byte) error {
	if len(key) != KeySize {
		return fmt.Errorf("members: a gossip key of %d bytes, %d are right", len(key), KeySize)
	}
	return nil
}

// Keys are the ids of the keys that open, the one that seals first.
func (m *Members) Keys() []string {
	var ids []string
	for _, k := range m.ring.GetKeys() {
		ids = append(ids, KeyID(k))
	}
	return ids
}

// AddKey makes packets open with another key, too. It is the first step of a rotation, on all
// nodes. A key that is there already is no error.
func (m *Members) AddKey(key []byte) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if err := m.ring.AddKey(key); err != nil {
		return fmt.Errorf("members: add key %s: %w", KeyID(key), err)
	}
	return nil
}

// UseKey seals with a key from now on, which was added before. It is the second step: all nodes
// must have the key.
func (m *Members) UseKey(key []byte) error {
	if err := m.ring.UseKey(key); err != nil {
		return fmt.Errorf("members: use key %s: %w; add it on all nodes first", KeyID(key), err)
	}
	return nil
}

// RemoveKey forgets a key that does not seal. It is the third step: no node may seal with it. A
// key that is not there is no error.
func (m *Members) RemoveKey(key []byte) error {
	if err := m.ring.RemoveKey(key); err != nil {
		return fmt.Errorf("members: remove key %s: %w; use another first", KeyID(key), err)
	}
	return nil
}
