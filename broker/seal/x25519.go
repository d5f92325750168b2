package seal

import (
	"errors"
	"fmt"
	"io"

	"github.com/cloudflare/circl/dh/x25519"
)

// errLowOrder: the peer's public value would fix the secret, whatever our key.
var errLowOrder = errors.New("share is a point of low order")

// x25519KEM uses the same implementation as X-Wing does; its keys are plain
// arrays, which can be overwritten.
type x25519KEM struct{}

func (x25519KEM) name() string    { return "x25519" }
func (x25519KEM) shareSize() int  { return x25519.Size }
func (x25519KEM) answerSize() int { return x25519.Size }

func (x25519KEM) generate(random io.Reader) (privateKey, []byte, error) {
	key := new(x25519Key)
	if _, err := io.ReadFull(random, key.private[:]); err != nil {
		return nil, nil, fmt.Errorf("read randomness: %w", err)
	}
	var public x25519.Key
	x25519.KeyGen(&public, &key.private)
	return key, public[:], nil
}

func (k x25519KEM) encapsulate(random io.Reader, share []byte) (*[sharedSize]byte, []byte, error) {
	key, answer, err := k.generate(random)
	if err != nil {
		return nil, nil, err
	}
	defer key.erase()
	shared, err := key.decapsulate(share)
	return shared, answer, err
}

type x25519Key struct{ private x25519.Key }

func (k *x25519Key) decapsulate(share []byte) (*[sharedSize]byte, error) {
	shared := new([sharedSize]byte)
	public := x25519.Key(share)
	if !x25519.Shared((*x25519.Key)(shared), &k.private, &public) {
		return nil, errLowOrder
	}
	return shared, nil
}

func (k *x25519Key) erase() { clear(k.private[:]) }
