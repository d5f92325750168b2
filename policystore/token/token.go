package token

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Prefix begins each secret.
const Prefix = "pyi_"

const (
	idSize     = 8
	randomSize = 32
	checkSize  = 4
	size       = idSize + randomSize + checkSize
)

// ErrMalformed: it is not a token, or it was mistyped. The error says what is wrong, and
// nothing of the secret.
var ErrMalformed = errors.New("not a token")

var encoding = base64.RawURLEncoding.Strict()

// Secret is a token in memory. It prints as its id.
type Secret struct{ raw [idSize + randomSize]byte }

// New makes a secret.
func New() Secret {
	var s Secret
	_, _ = rand.Read(s.raw[:]) // it never fails: the runtime ends the process first
	return s
}

// Parse reads what [Secret.Reveal] wrote.
func Parse(text string) (Secret, error) {
	body, found := strings.CutPrefix(text, Prefix)
	if !found {
		return Secret{}, fmt.Errorf("%w: it does not begin with %q", ErrMalformed, Prefix)
	}
	if want := encoding.EncodedLen(size); len(body) != want {
		return Secret{}, fmt.Errorf("%w: it has %d characters, %d are right; was part of it left out?", ErrMalformed, len(text), len(Prefix)+want)
	}
	raw, err := encoding.DecodeString(body)
	if err != nil {
		return Secret{}, fmt.Errorf("%w: it has a character that none has", ErrMalformed)
	}
	s := Secret{raw: [idSize + randomSize]byte(raw)}
	if check := s.check(); !bytes.Equal(raw[len(s.raw):], check[:]) {
		return Secret{}, fmt.Errorf("%w: its checksum is wrong; was it mistyped?", ErrMalformed)
	}
	return s, nil
}

func (s Secret) check() [checkSize]byte {
	sum := sha256.Sum256(append([]byte("pyisolate token check\x00"), s.raw[:]...))
	return [checkSize]byte(sum[:])
}

// ID is the public part, 16 hexadecimal digits.
func (s Secret) ID() string { return hex.EncodeToString(s.raw[:idSize]) }

// Reveal is the whole secret, as clients show it.
func (s Secret) Reveal() string {
	check := s.check()
	return Prefix + encoding.EncodeToString(append(s.raw[:], check[:]...))
}

// String is the id, so that a secret that is printed by mistake stays one.
func (s Secret) String() string { return "token " + s.ID() }

// GoString is String.
func (s Secret) GoString() string { return s.String() }

// Hash is what a verifier keeps.
func (s Secret) Hash() [32]byte {
	return sha256.Sum256(append([]byte("pyisolate token\x00"), s.raw[:]...))
}

// Matches reports whether the secret has a hash, in a time that does not depend on how
// much of it is right.
func (s Secret) Matches(hash [32]byte) bool {
	own := s.Hash()
	return subtle.ConstantTimeCompare(own[:], hash[:]) == 1
}

// ValidID reports whether id looks like a token's.
func ValidID(id string) bool {
	raw, err := hex.DecodeString(id)
	return err == nil && len(raw) == idSize && strings.ToLower(id) == id
}
