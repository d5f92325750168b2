package seal

import (
	"crypto/cipher"
	"io"
	"time"
)

// What tests need of the inside.

// WithRandom makes the handshake take its randomness from r.
func (c Config) WithRandom(r io.Reader) Config {
	c.random = r
	return c
}

// WithClock makes the Sealer ask clock for the time.
func (c Config) WithClock(clock func() time.Duration) Config {
	c.clock = clock
	return c
}

// SetEpoch moves both ends of a direction to a late epoch.
func SetEpoch(from *Sealer, to *Opener, epoch uint32) { from.epoch, to.epoch = epoch, epoch }

// SetCount moves both ends of a direction to a late frame of the epoch.
func SetCount(from *Sealer, to *Opener, count uint64) { from.count, to.count = count, count }

// EncodeHello, EncodeAnswer and EncodeConfirm return what a decoded message
// encodes to, with its code.
func EncodeHello(msg []byte) ([]byte, error) {
	h, err := decodeHello(msg)
	if err != nil {
		return nil, err
	}
	return append(h.encode(), h.code...), nil
}

func EncodeAnswer(msg []byte) ([]byte, error) {
	a, err := decodeAnswer(msg)
	if err != nil {
		return nil, err
	}
	return append(a.encode(), a.code...), nil
}

func EncodeConfirm(msg []byte) ([]byte, error) {
	code, err := decodeConfirm(msg)
	if err != nil {
		return nil, err
	}
	return append(encodeConfirm(), code...), nil
}

// ReadMessage reads one message of the given kind.
func ReadMessage(r io.Reader, k uint8) ([]byte, error) { return readMessage(r, kind(k)) }

// Keys returns the cipher and the secrets that a direction holds now.
func (d *direction) Keys() (aead cipher.AEAD, secret, nonce []byte, salt uint64) {
	return d.aead, d.secret[:], d.nonce[:], d.salt
}

// Erase overwrites what p points to.
func Erase(p any) { erase(p) }

// Secrets returns what a handshake still knows.
func (h *handshake) Secrets() (early, main []byte) { return h.keys.early[:], h.keys.main[:] }

// PrivateKey returns the initiator's ephemeral key, or nil.
func (in *Initiator) PrivateKey() any {
	switch k := in.key.(type) {
	case *xwingKey:
		return k.private
	case *x25519Key:
		return &k.private
	}
	return nil
}
