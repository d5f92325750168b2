package refresh

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
)

// verify holds the document to what the source says of it.
func (s Source) verify(text, signature []byte) error {
	if len(s.SHA256) > 0 {
		if sum := sha256.Sum256(text); subtle.ConstantTimeCompare(sum[:], s.SHA256) != 1 {
			return fmt.Errorf("%w: %s has SHA-256 %x, not %x", ErrRefused, s.URL, sum, s.SHA256)
		}
	}
	if len(s.Key) == 0 {
		return nil
	}
	raw, err := decodeSignature(signature)
	if err != nil {
		return fmt.Errorf("%w: the signature of %s: %w", ErrRefused, s.URL, err)
	}
	if !ed25519.Verify(s.Key, Signed(s.Name, text), raw) {
		return fmt.Errorf("%w: %s is not signed with the key %x as policy %s", ErrRefused, s.URL, []byte(s.Key), s.Name)
	}
	return nil
}

// Signed is what a signature of a document is of: the name of the policy that it may become, a
// zero byte, and the document. A key that signs several policies' documents lets none stand
// for another.
func Signed(name string, text []byte) []byte {
	return slices.Concat([]byte(name), []byte{0}, text)
}

// decodeSignature takes 64 bytes as they are or in base64, on one line.
func decodeSignature(text []byte) ([]byte, error) {
	if len(text) == ed25519.SignatureSize {
		return text, nil
	}
	raw, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(text)))
	if err != nil || len(raw) != ed25519.SignatureSize {
		return nil, fmt.Errorf("%d bytes are not an Ed25519 signature: write 64 raw bytes, or them in base64", len(text))
	}
	return raw, nil
}

// signatureURL is the document's with ".sig" behind the path.
func signatureURL(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", fmt.Errorf("%w: %s: %w", ErrSource, address, err)
	}
	u.Path += ".sig"
	if u.RawPath != "" {
		u.RawPath += ".sig"
	}
	return u.String(), nil
}
