package seal

import (
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
)

// SecretSize is the length of a launch secret in bytes.
const SecretSize = 32

const redacted = "[launch secret]"

// Secret is a launch secret: 32 random bytes that one node and one host share
// for one handshake, which destroys it. It never prints its value: every way to
// format, log or marshal it gives a fixed text. Copies of a Secret share one
// value; destroying one destroys all.
type Secret struct {
	key *[SecretSize]byte // nil once destroyed
}

// GenerateSecret makes a new secret from the system's random source.
func GenerateSecret() (*Secret, error) {
	s := &Secret{key: new([SecretSize]byte)}
	if _, err := rand.Read(s.key[:]); err != nil {
		return nil, fmt.Errorf("seal: generate launch secret: %w", err)
	}
	return s, nil
}

// NewSecret takes the secret in b over and overwrites b. It must be SecretSize
// bytes and not all zero.
func NewSecret(b []byte) (*Secret, error) {
	defer clear(b)
	if len(b) != SecretSize {
		return nil, fmt.Errorf("%w: %d bytes, want %d", ErrSecret, len(b), SecretSize)
	}
	s := &Secret{key: new([SecretSize]byte)}
	copy(s.key[:], b)
	if *s.key == [SecretSize]byte{} {
		return nil, fmt.Errorf("%w: all bytes are zero", ErrSecret)
	}
	return s, nil
}

// ReadSecret reads a secret, and not a byte more, from r: the descriptor that a
// host inherits.
func ReadSecret(r io.Reader) (*Secret, error) {
	var b [SecretSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		clear(b[:])
		return nil, fmt.Errorf("%w: read it: %w", ErrSecret, err)
	}
	return NewSecret(b[:])
}

// WriteSecret writes the secret to w, from where ReadSecret takes it. The node
// does so once, on a descriptor that only its host inherits.
func WriteSecret(w io.Writer, s *Secret) error {
	if !s.usable() {
		return ErrSecret
	}
	if _, err := w.Write(s.key[:]); err != nil {
		return fmt.Errorf("seal: write launch secret: %w", err)
	}
	return nil
}

// Destroy overwrites the secret. It may be called more than once, and on nil.
func (s *Secret) Destroy() {
	if s.usable() {
		clear(s.key[:])
		s.key = nil
	}
}

func (s *Secret) usable() bool { return s != nil && s.key != nil && *s.key != [SecretSize]byte{} }

// String returns a fixed text.
func (Secret) String() string { return redacted }

// GoString returns a fixed text.
func (Secret) GoString() string { return redacted }

// Format writes a fixed text, whatever the verb.
func (Secret) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, redacted) // fmt has nowhere to report it either
}

// MarshalText returns a fixed text.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON returns a fixed text.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// LogValue returns a fixed text.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }
