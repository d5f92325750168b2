package seal

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"hash"
)

// prologue begins every transcript: protocol, version and who has which role.
const prologue = "pyisolate/seal/1 initiator=node responder=host"

// Labels of the key schedule. A derivation's info is the length of the label, the
// label, and a context: the transcript's hash, a number of frames, or nothing.
const (
	labelHello      = "pyisolate/seal/1 hello code"
	labelMain       = "pyisolate/seal/1 main salt"
	labelAnswer     = "pyisolate/seal/1 answer code"
	labelConfirm    = "pyisolate/seal/1 confirm code"
	labelSession    = "pyisolate/seal/1 session id"
	labelNodeToHost = "pyisolate/seal/1 node to host"
	labelHostToNode = "pyisolate/seal/1 host to node"
	labelKey        = "pyisolate/seal/1 key"
	labelSalt       = "pyisolate/seal/1 salt"
	labelNext       = "pyisolate/seal/1 next epoch"
)

const hashSize = sha256.Size

var errCode = errors.New("code does not match: another launch secret, or a message was changed")

// extract and expand are HKDF-SHA256. They write to out, so that the caller can
// overwrite what they give. Their inputs are of fixed size and cannot fail.
func extract(out *[hashSize]byte, salt, secret []byte) {
	prk, err := hkdf.Extract(sha256.New, secret, salt)
	give(out[:], prk, err)
}

func expand(out, key []byte, label string, context []byte) {
	info := append([]byte{byte(len(label))}, label...)
	info = append(info, context...)
	okm, err := hkdf.Expand(sha256.New, key, string(info), len(out))
	give(out, okm, err)
}

func give(out, derived []byte, err error) {
	if err != nil {
		panic("seal: HKDF with constant sizes: " + err.Error())
	}
	copy(out, derived)
	clear(derived)
}

// transcript is the hash of all that was said.
type transcript struct{ h hash.Hash }

func newTranscript() transcript {
	t := transcript{sha256.New()}
	t.add([]byte(prologue))
	return t
}

func (t transcript) add(b []byte) { _, _ = t.h.Write(b) } // a hash does not fail

func (t transcript) sum() []byte { return t.h.Sum(nil) }

// schedule is the key schedule of one handshake. It has two stages: early, from
// the launch secret alone, and main, which the key exchange joins.
type schedule struct {
	early [hashSize]byte
	main  [hashSize]byte
}

// begin derives the early stage.
func (s *schedule) begin(secret *Secret) error {
	if !secret.usable() {
		return ErrSecret
	}
	extract(&s.early, nil, secret.key[:])
	return nil
}

// join derives the main stage and overwrites the shared secret and the early stage.
func (s *schedule) join(shared *[sharedSize]byte) {
	var salt [hashSize]byte
	expand(salt[:], s.early[:], labelMain, nil)
	extract(&s.main, salt[:], shared[:])
	clear(salt[:])
	clear(shared[:])
	clear(s.early[:])
}

// helloCode, answerCode and confirmCode return the code over all that was said
// before it. Only a holder of the launch secret, and for the latter two of the
// key exchange's secret, can compute it.
func (s *schedule) helloCode(t transcript) []byte { return code(&s.early, labelHello, nil, t) }

func (s *schedule) answerCode(t transcript) []byte { return code(&s.main, labelAnswer, t.sum(), t) }

func (s *schedule) confirmCode(t transcript) []byte { return code(&s.main, labelConfirm, t.sum(), t) }

func code(stage *[hashSize]byte, label string, context []byte, t transcript) []byte {
	var key [hashSize]byte
	defer clear(key[:])
	expand(key[:], stage[:], label, context)
	mac := hmac.New(sha256.New, key[:])
	_, _ = mac.Write(t.sum()) // a hash does not fail
	return mac.Sum(nil)
}

// sameCode compares in constant time.
func sameCode(want, got []byte) error {
	if !hmac.Equal(want, got) {
		return errCode
	}
	return nil
}

func (s *schedule) erase() {
	clear(s.early[:])
	clear(s.main[:])
}
