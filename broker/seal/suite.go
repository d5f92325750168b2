package seal

import (
	"fmt"
	"io"
	"slices"
)

// Suite names the key exchange of a handshake. Everything else is fixed:
// HKDF-SHA256, HMAC-SHA256 and ChaCha20-Poly1305. The number is the one on the
// wire, and a smaller number is the stronger suite.
type Suite uint8

const (
	// XWing is the hybrid of X25519 and ML-KEM-768 and the default. It holds as
	// long as either of the two does.
	XWing Suite = 1
	// X25519 is the classical exchange alone. Who records the traffic and has a
	// quantum computer and the launch secret later reads it. A policy must allow
	// it by name.
	X25519 Suite = 2
)

// sharedSize is the length of the secret that every key exchange yields.
const sharedSize = 32

// kem is one key exchange in the form of a key encapsulation: the initiator
// sends a share, the responder answers with one, and both have a secret.
type kem interface {
	name() string
	shareSize() int  // of the initiator's share
	answerSize() int // of the responder's share
	generate(random io.Reader) (key privateKey, share []byte, err error)
	// encapsulate refuses a share that is not a valid one; share has shareSize.
	encapsulate(random io.Reader, share []byte) (shared *[sharedSize]byte, answer []byte, err error)
}

// privateKey is the initiator's half of an exchange, good for one answer.
type privateKey interface {
	// decapsulate refuses an answer that is not a valid share; answer has answerSize.
	decapsulate(answer []byte) (shared *[sharedSize]byte, err error)
	erase()
}

var kems = map[Suite]kem{XWing: xwingKEM{}, X25519: x25519KEM{}}

// ParseSuite returns the suite that a policy calls by name: "xwing" or "x25519".
func ParseSuite(name string) (Suite, error) {
	for s, k := range kems {
		if k.name() == name {
			return s, nil
		}
	}
	return 0, fmt.Errorf("%w: no suite is called %q; there are xwing and x25519", ErrConfig, name)
}

// String returns the name of the suite.
func (s Suite) String() string {
	if k, ok := kems[s]; ok {
		return k.name()
	}
	return fmt.Sprintf("suite %d", uint8(s))
}

// policy returns the allowed suites in the order of the wire, strongest first.
func policy(allowed []Suite) ([]Suite, error) {
	if len(allowed) == 0 {
		return []Suite{XWing}, nil
	}
	for _, s := range allowed {
		if _, ok := kems[s]; !ok {
			return nil, fmt.Errorf("%w: there is no %v", ErrConfig, s)
		}
	}
	sorted := slices.Clone(allowed)
	slices.Sort(sorted)
	return slices.Compact(sorted), nil
}
