package seal

import (
	"fmt"
	"io"

	"github.com/cloudflare/circl/kem/xwing"
)

type xwingKEM struct{}

func (xwingKEM) name() string    { return "xwing" }
func (xwingKEM) shareSize() int  { return xwing.PublicKeySize }
func (xwingKEM) answerSize() int { return xwing.CiphertextSize }

func (xwingKEM) generate(random io.Reader) (privateKey, []byte, error) {
	var seed [xwing.SeedSize]byte
	defer clear(seed[:])
	if _, err := io.ReadFull(random, seed[:]); err != nil {
		return nil, nil, fmt.Errorf("read randomness: %w", err)
	}
	private, public := xwing.DeriveKeyPair(seed[:])
	share := make([]byte, xwing.PublicKeySize)
	public.Pack(share)
	return &xwingKey{private}, share, nil
}

func (xwingKEM) encapsulate(random io.Reader, share []byte) (*[sharedSize]byte, []byte, error) {
	var public xwing.PublicKey
	if err := public.Unpack(share); err != nil {
		return nil, nil, fmt.Errorf("share is not an X-Wing public key: %w", err)
	}
	var seed [xwing.EncapsulationSeedSize]byte
	defer clear(seed[:])
	if _, err := io.ReadFull(random, seed[:]); err != nil {
		return nil, nil, fmt.Errorf("read randomness: %w", err)
	}
	shared, answer := new([sharedSize]byte), make([]byte, xwing.CiphertextSize)
	public.EncapsulateTo(answer, shared[:], seed[:])
	return shared, answer, nil
}

type xwingKey struct{ private *xwing.PrivateKey }

// decapsulate accepts every ciphertext: one that was tampered with gives another
// secret, and the codes of the handshake do not match.
func (k *xwingKey) decapsulate(answer []byte) (*[sharedSize]byte, error) {
	shared := new([sharedSize]byte)
	k.private.DecapsulateTo(shared[:], answer)
	return shared, nil
}

func (k *xwingKey) erase() { erase(k.private) }
