package seal_test

import (
	"crypto/ecdh"
	"crypto/hmac"
	"crypto/mlkem"
	"crypto/sha256"
	"crypto/sha3"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// A second implementation of docs/protocol.md, written from that text with other
// libraries and without the package under test. It knows the private inputs of
// both sides, so it can also play an attacker who has stolen all of them.

func mac(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// refExpand is HKDF-Expand for at most one block.
func refExpand(prk []byte, label string, context []byte, n int) []byte {
	label = "pyisolate/seal/1 " + label
	return mac(prk, []byte{byte(len(label))}, []byte(label), context, []byte{1})[:n]
}

func refTranscript(said ...[]byte) []byte {
	h := sha256.New()
	h.Write([]byte("pyisolate/seal/1 initiator=node responder=host"))
	for _, b := range said {
		h.Write(b)
	}
	return h.Sum(nil)
}

func cut(msg []byte) (unsigned, code []byte) { return msg[:len(msg)-32], msg[len(msg)-32:] }

// reference has every value of one handshake.
type reference struct {
	secret, shared         []byte
	hello, answer, confirm []byte
	early, main            []byte
	helloCode, answerCode  []byte
	transcript, id         []byte
	nodeToHost, hostToNode []byte
}

// newReference computes a handshake from the launch secret, the node's key seed
// and the first two messages. It does not look at the codes in them.
func newReference(suite int, secret, nodeKeySeed, hello, answer []byte) (*reference, error) {
	r := &reference{secret: secret, hello: hello, answer: answer}
	offered := int(hello[8])
	nodeShare := hello[9+offered+32 : len(hello)-32]
	hostShare := answer[9+32 : len(answer)-32]
	exchange := refXWing
	if suite == 2 {
		exchange = refX25519
	}
	public, shared, err := exchange(nodeKeySeed, hostShare)
	if err != nil {
		return nil, err
	}
	if string(public) != string(nodeShare) {
		return nil, errors.New("the share is not the public key of the seed")
	}
	r.shared = shared
	r.derive()
	return r, nil
}

func (r *reference) derive() {
	r.early = mac(make([]byte, 32), r.secret)
	hello, helloCode := cut(r.hello)
	answer, answerCode := cut(r.answer)

	r.helloCode = mac(refExpand(r.early, "hello code", nil, 32), refTranscript(hello))
	r.main = mac(refExpand(r.early, "main salt", nil, 32), r.shared)
	th := refTranscript(hello, helloCode, answer)
	r.answerCode = mac(refExpand(r.main, "answer code", th, 32), th)
	preamble := []byte("PYSL\x01\x03\x20\x00")
	th = refTranscript(hello, helloCode, answer, answerCode, preamble)
	r.confirm = append(preamble, mac(refExpand(r.main, "confirm code", th, 32), th)...)

	r.transcript = refTranscript(hello, helloCode, answer, answerCode, r.confirm)
	r.id = refExpand(r.main, "session id", r.transcript, 32)
	r.nodeToHost = refExpand(r.main, "node to host", r.transcript, 32)
	r.hostToNode = refExpand(r.main, "host to node", r.transcript, 32)
}

func refX25519(seed, peer []byte) (public, shared []byte, err error) {
	key, err := ecdh.X25519().NewPrivateKey(seed)
	if err != nil {
		return nil, nil, err
	}
	theirs, err := ecdh.X25519().NewPublicKey(peer)
	if err != nil {
		return nil, nil, err
	}
	shared, err = key.ECDH(theirs)
	return key.PublicKey().Bytes(), shared, err
}

func refXWing(seed, ciphertext []byte) (public, shared []byte, err error) {
	expanded := sha3.SumSHAKE256(seed, 96)
	m, err := mlkem.NewDecapsulationKey768(expanded[:64])
	if err != nil {
		return nil, nil, err
	}
	ctM, ctX := ciphertext[:mlkem.CiphertextSize768], ciphertext[mlkem.CiphertextSize768:]
	ssM, err := m.Decapsulate(ctM)
	if err != nil {
		return nil, nil, err
	}
	pkX, ssX, err := refX25519(expanded[64:], ctX)
	if err != nil {
		return nil, nil, err
	}
	h := sha3.New256()
	for _, b := range [][]byte{ssM, ssX, ctX, pkX, []byte(`\.//^\`)} {
		h.Write(b)
	}
	return append(m.EncapsulationKey().Bytes(), pkX...), h.Sum(nil), nil
}

// epochKeys are the keys of one epoch of a direction.
type epochKeys struct{ Secret, Key, Salt hexBytes }

// refEpochs returns the epochs of a direction whose sender ends each after the
// given number of frames, and the epoch after them.
func refEpochs(secret []byte, frames ...uint64) []epochKeys {
	epochs := []epochKeys{refEpoch(secret)}
	for _, n := range frames {
		secret = refExpand(secret, "next epoch", binary.LittleEndian.AppendUint64(nil, n), 32)
		epochs = append(epochs, refEpoch(secret))
	}
	return epochs
}

func refEpoch(secret []byte) epochKeys {
	return epochKeys{
		Secret: secret,
		Key:    refExpand(secret, "key", nil, 32),
		Salt:   refExpand(secret, "salt", nil, 12),
	}
}

func refFrame(keys epochKeys, id []byte, counter uint64, plaintext []byte) ([]byte, error) {
	header := binary.LittleEndian.AppendUint32(nil, uint32(8+len(plaintext)+16))
	header = binary.LittleEndian.AppendUint64(header, counter)
	nonce := append([]byte(nil), keys.Salt...)
	for i, b := range header[4:] {
		nonce[4+i] ^= b
	}
	aead, err := chacha20poly1305.New(keys.Key)
	if err != nil {
		return nil, fmt.Errorf("key of %d bytes: %w", len(keys.Key), err)
	}
	aad := append(append([]byte(nil), header...), id...)
	return aead.Seal(header, nonce, plaintext, aad), nil
}
