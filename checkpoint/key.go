package checkpoint

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

const (
	keySize  = chacha20poly1305.KeySize
	saltSize = 32
	// maxChunks is what the nonce can count.
	maxChunks = 1<<32 - 1
)

// Keys seal and open checkpoints: a [Ring], a [Recipient], or an [Identity].
type Keys interface {
	// seal makes a new secret for a checkpoint, and says in the header how it is found.
	seal(h *Header) (secret []byte, err error)
	// open finds the secret of a checkpoint.
	open(h Header) (secret []byte, err error)
}

// aeadOf makes of a secret the cipher of one file.
func aeadOf(secret []byte, h Header) (cipher.AEAD, error) {
	info, err := json.Marshal([]any{"pyisolate checkpoint", magic, h.Tenant, h.Cell, h.Epoch})
	if err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, secret, h.Key.Salt, string(info), keySize)
	if err != nil {
		return nil, err
	}
	return chacha20poly1305.New(key)
}

func newSalt() []byte {
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt) // it never fails
	return salt
}

// ---- exports ------------------------------------------------------------------------------------

// Identity opens checkpoints that were exported to it.
type Identity struct{ key hpke.PrivateKey }

// Recipient is the public half of an Identity: checkpoints can be sealed to it.
type Recipient struct{ key hpke.PublicKey }

func kem() hpke.KEM { return hpke.MLKEM768X25519() }

// NewIdentity makes one.
func NewIdentity() (*Identity, error) {
	k, err := kem().GenerateKey()
	if err != nil {
		return nil, err
	}
	return &Identity{k}, nil
}

const (
	identityPrefix  = "pyisolate-key-1:"
	recipientPrefix = "pyisolate-to-1:"
)

// Text is the identity as a secret on one line.
func (i *Identity) Text() (string, error) {
	b, err := i.key.Bytes()
	if err != nil {
		return "", err
	}
	return identityPrefix + hex.EncodeToString(b), nil
}

// ParseIdentity reads what Text returned.
func ParseIdentity(text string) (*Identity, error) {
	b, err := unprefixed(text, identityPrefix)
	if err != nil {
		return nil, err
	}
	k, err := kem().NewPrivateKey(b)
	if err != nil {
		return nil, fmt.Errorf("%w: the identity is damaged: %w", ErrKey, err)
	}
	return &Identity{k}, nil
}

// Recipient is its public half.
func (i *Identity) Recipient() *Recipient { return &Recipient{i.key.PublicKey()} }

// Text is the recipient on one line.
func (r *Recipient) Text() string { return recipientPrefix + hex.EncodeToString(r.key.Bytes()) }

// ParseRecipient reads what Text returned.
func ParseRecipient(text string) (*Recipient, error) {
	b, err := unprefixed(text, recipientPrefix)
	if err != nil {
		return nil, err
	}
	k, err := kem().NewPublicKey(b)
	if err != nil {
		return nil, fmt.Errorf("%w: the recipient is damaged: %w", ErrKey, err)
	}
	return &Recipient{k}, nil
}

func unprefixed(text, prefix string) ([]byte, error) {
	if len(text) < len(prefix) || text[:len(prefix)] != prefix {
		return nil, fmt.Errorf("%w: it does not begin with %q", ErrKey, prefix)
	}
	b, err := hex.DecodeString(text[len(prefix):])
	if err != nil {
		return nil, fmt.Errorf("%w: after %q: %w", ErrKey, prefix, err)
	}
	return b, nil
}

// id is short for a recipient, so that a file says whose it is.
func (r *Recipient) id() string {
	sum := sha256.Sum256(r.key.Bytes())
	return "to-" + hex.EncodeToString(sum[:8])
}

const exportInfo = "pyisolate checkpoint export"

func (r *Recipient) seal(h *Header) ([]byte, error) {
	secret := make([]byte, keySize)
	_, _ = rand.Read(secret)
	h.Key = KeyInfo{ID: r.id(), Salt: newSalt()}
	var err error
	h.Key.Sealed, err = hpke.Seal(r.key, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), []byte(exportInfo), secret)
	return secret, err
}

func (r *Recipient) open(Header) ([]byte, error) {
	return nil, fmt.Errorf("%w: a recipient's public half opens nothing", ErrKey)
}

func (i *Identity) seal(h *Header) ([]byte, error) { return i.Recipient().seal(h) }

func (i *Identity) open(h Header) ([]byte, error) {
	if own := i.Recipient().id(); h.Key.ID != own {
		return nil, fmt.Errorf("%w: it is sealed to %.64q, this identity is %s", ErrKey, h.Key.ID, own)
	}
	secret, err := hpke.Open(i.key, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), []byte(exportInfo), h.Key.Sealed)
	if err != nil || len(secret) != keySize {
		return nil, fmt.Errorf("%w: what is sealed to this identity cannot be opened", ErrDamaged)
	}
	return secret, nil
}
