package pki

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// TokenPrefix begins each join token. Another format would have another.
const TokenPrefix = "pyjoin1_"

const (
	// MaxAddresses is how many addresses a token can carry.
	MaxAddresses = 8
	// maxAddress is the longest: a domain name, a colon and a port.
	maxAddress = 253 + 1 + 5

	tokenID     = 8
	tokenSecret = 32
	tokenCheck  = 4
	tokenFixed  = tokenID + tokenSecret + sha256.Size + 1 // and the number of addresses
)

var tokenText = base64.RawURLEncoding.Strict()

// Token is what a new node joins with: where the cluster is, how to recognise it, and a secret.
// It prints as its id.
type Token struct {
	// Authority is the fingerprint of the cluster's authority.
	Authority Fingerprint
	// Addresses of nodes to join at, 1 to [MaxAddresses], as host:port.
	Addresses []string

	id     [tokenID]byte
	secret [tokenSecret]byte
}

// NewToken makes a token with a random secret.
func NewToken(authority Fingerprint, addresses []string) (Token, error) {
	if err := checkAddresses(addresses); err != nil {
		return Token{}, fmt.Errorf("make a join token: %w", err)
	}
	t := Token{Authority: authority, Addresses: addresses}
	_, _ = rand.Read(t.id[:])
	_, _ = rand.Read(t.secret[:])
	return t, nil
}

func checkAddresses(list []string) error {
	if len(list) == 0 || len(list) > MaxAddresses {
		return fmt.Errorf("%d addresses, 1 to %d are right", len(list), MaxAddresses)
	}
	for _, a := range list {
		if err := ValidAddress(a); err != nil {
			return err
		}
	}
	return nil
}

// ValidAddress tells why a text is not host:port of something to connect to.
func ValidAddress(a string) error {
	host, port, err := net.SplitHostPort(a)
	n, perr := strconv.ParseUint(port, 10, 16)
	if err != nil || perr != nil || n == 0 || host == "" || len(a) > maxAddress {
		return fmt.Errorf("%.80q is not an address: host:port is right", a)
	}
	for _, c := range []byte(a) {
		if c <= ' ' || c > '~' {
			return fmt.Errorf("%.80q is not an address: it has a character that none has", a)
		}
	}
	return nil
}

// ID is the public part, 16 hexadecimal digits. It names the [Invite].
func (t Token) ID() string { return hex.EncodeToString(t.id[:]) }

// Secret is what the joining node shows, beside the id, to the cluster and nobody else.
func (t Token) Secret() []byte { return t.secret[:] }

// String is the id, so that a token that is printed by mistake stays secret.
func (t Token) String() string { return "join token " + t.ID() }

// GoString is String.
func (t Token) GoString() string { return t.String() }

// Reveal is the whole token, as operators pass it on.
func (t Token) Reveal() string {
	raw := append([]byte(nil), t.id[:]...)
	raw = append(raw, t.secret[:]...)
	raw = append(raw, t.Authority[:]...)
	raw = append(raw, byte(len(t.Addresses)))
	for _, a := range t.Addresses {
		raw = append(raw, byte(len(a)>>8), byte(len(a)))
		raw = append(raw, a...)
	}
	check := tokenSum(raw)
	return TokenPrefix + tokenText.EncodeToString(append(raw, check[:]...))
}

func tokenSum(raw []byte) [tokenCheck]byte {
	sum := sha256.Sum256(append([]byte("pyisolate join token check\x00"), raw...))
	return [tokenCheck]byte(sum[:])
}

// ParseToken reads what [Token.Reveal] wrote. The error is [ErrMalformed] and says what is
// wrong, and nothing of the secret.
func ParseToken(text string) (Token, error) {
	body, found := strings.CutPrefix(text, TokenPrefix)
	if !found {
		return Token{}, fmt.Errorf("%w: it does not begin with %q", ErrMalformed, TokenPrefix)
	}
	const longest = tokenFixed + MaxAddresses*(2+maxAddress) + tokenCheck
	if len(body) > tokenText.EncodedLen(longest) {
		return Token{}, fmt.Errorf("%w: it is too long", ErrMalformed)
	}
	raw, err := tokenText.DecodeString(body)
	if err != nil {
		return Token{}, fmt.Errorf("%w: it has a character that none has, or lacks one", ErrMalformed)
	}
	if len(raw) < tokenFixed+tokenCheck {
		return Token{}, fmt.Errorf("%w: it is too short; was part of it left out?", ErrMalformed)
	}
	raw, tail := raw[:len(raw)-tokenCheck], raw[len(raw)-tokenCheck:]
	if sum := tokenSum(raw); subtle.ConstantTimeCompare(sum[:], tail) != 1 {
		return Token{}, fmt.Errorf("%w: its checksum is wrong; was it mistyped, or part of it left out?", ErrMalformed)
	}
	return decodeToken(raw)
}

func decodeToken(raw []byte) (Token, error) {
	var t Token
	raw = raw[copy(t.id[:], raw):]
	raw = raw[copy(t.secret[:], raw):]
	raw = raw[copy(t.Authority[:], raw):]
	count := int(raw[0])
	for raw = raw[1:]; len(raw) >= 2 && len(t.Addresses) < count; {
		n := int(raw[0])<<8 | int(raw[1])
		if n > len(raw)-2 {
			break
		}
		t.Addresses = append(t.Addresses, string(raw[2:2+n]))
		raw = raw[2+n:]
	}
	if len(raw) > 0 || len(t.Addresses) != count {
		return Token{}, fmt.Errorf("%w: its addresses are damaged", ErrMalformed)
	}
	if err := checkAddresses(t.Addresses); err != nil {
		return Token{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return t, nil
}
