package seal_test

import (
	"bytes"
	"crypto/cipher"
	"testing"

	"github.com/cloudflare/circl/dh/x25519"
	"github.com/cloudflare/circl/kem/xwing"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/pyisolate/pyisolate/broker/seal"
)

type cipherAEAD = cipher.AEAD

func isZero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

// hasZeroKey tells whether a cipher works with the key of 32 zero bytes.
func hasZeroKey(t testing.TB, aead cipher.AEAD) bool {
	t.Helper()
	zero := must(chacha20poly1305.New(make([]byte, chacha20poly1305.KeySize)))(t)
	nonce := make([]byte, chacha20poly1305.NonceSize)
	return bytes.Equal(aead.Seal(nil, nonce, nil, nil), zero.Seal(nil, nonce, nil, nil))
}

// keysAreGone checks that nothing of an ended direction's keys is left.
func keysAreGone(t testing.TB, name string, d interface {
	Keys() (cipherAEAD, []byte, []byte, uint64)
}) {
	t.Helper()
	aead, secret, nonce, salt := d.Keys()
	if !hasZeroKey(t, aead) || !isZero(secret) || !isZero(nonce) || salt != 0 {
		t.Fatalf("%s: keys are left after the end", name)
	}
}

func TestOldEpochKeysAreErased(t *testing.T) {
	cfg := config(t)
	cfg.RekeyFrames = 1
	node, host := sessionsOf(t, cfg, config(t))
	must(host.In.Open(must(node.Out.Seal(nil, nil))(t)))(t)
	sealing, _, _, _ := node.Out.Keys()
	opening, _, _, _ := host.In.Keys()
	if hasZeroKey(t, sealing) || hasZeroKey(t, opening) {
		t.Fatal("a key in use is zero")
	}
	must(host.In.Open(must(node.Out.Seal(nil, nil))(t)))(t)
	if !hasZeroKey(t, sealing) || !hasZeroKey(t, opening) {
		t.Error("a key of the last epoch is left")
	}
}

func TestDestroyedSession(t *testing.T) {
	node, host := sessions(t)
	frame := must(host.Out.Seal(nil, nil))(t)
	node.Destroy()
	node.Destroy()
	_, err := node.In.Open(frame)
	isOver(t, node, err)
}

// Destroying one direction ends the other, too.
func TestDestroyedDirection(t *testing.T) {
	node, host := sessions(t)
	node.Out.Destroy()
	_, err := node.In.Open(must(host.Out.Seal(nil, nil))(t))
	isOver(t, node, err)
}

// What the handshake needed is gone when it is over, and the session works on.
func TestHandshakeSecretsAreErased(t *testing.T) {
	for _, suite := range bothSuites {
		t.Run(suite.String(), func(t *testing.T) {
			nodeConfig, hostConfig := config(t, suite), config(t, suite)
			nodeSecret, hostSecret := *nodeConfig.Secret, *hostConfig.Secret // copies share the value
			in, hello, err := seal.NewInitiator(nodeConfig)
			if err != nil {
				t.Fatal(err)
			}
			key := in.PrivateKey()
			if keyIsGone(key) {
				t.Fatal("no private key before the answer")
			}
			r := must(seal.NewResponder(hostConfig))(t)
			answer := must(r.Answer(hello))(t)
			if early, main := r.Secrets(); !isZero(early) || isZero(main) {
				t.Error("the responder's early stage is left after the answer, or there is no main stage")
			}
			confirm, node, err := in.Finish(answer)
			if err != nil {
				t.Fatal(err)
			}
			host := must(r.Finish(confirm))(t)
			if !keyIsGone(key) {
				t.Error("the private key is left")
			}
			type secrets interface{ Secrets() (early, main []byte) }
			for name, h := range map[string]secrets{"initiator": in, "responder": r} {
				if early, main := h.Secrets(); !isZero(early) || !isZero(main) {
					t.Errorf("%s: secrets of the key schedule are left", name)
				}
			}
			for name, s := range map[string]*seal.Secret{"node": &nodeSecret, "host": &hostSecret} {
				if err := seal.WriteSecret(new(bytes.Buffer), s); err == nil {
					t.Errorf("%s: the launch secret is left", name)
				}
			}
			passes(t, node, host)
			passes(t, host, node)
		})
	}
}

func keyIsGone(key any) bool {
	switch k := key.(type) {
	case *x25519.Key:
		return isZero(k[:])
	case *xwing.PrivateKey:
		// Equal compares the parts that Pack does not show: that of ML-KEM by
		// value, through its pointers, and that of X25519.
		var seed [xwing.PrivateKeySize]byte
		k.Pack(seed[:])
		other, _ := xwing.DeriveKeyPair(make([]byte, xwing.SeedSize))
		seal.Erase(other)
		return isZero(seed[:]) && k.Equal(other)
	}
	return true
}

// Erasing one key leaves others, and whatever they share, as they are.
func TestEraseTouchesOneKeyOnly(t *testing.T) {
	seed := count(1, xwing.SeedSize)
	used, public := xwing.DeriveKeyPair(seed)
	packed := make([]byte, xwing.PublicKeySize)
	public.Pack(packed)
	shared, ct, err := xwing.Encapsulate(packed, count(2, xwing.EncapsulationSeedSize))
	if err != nil {
		t.Fatal(err)
	}
	spent, _ := xwing.DeriveKeyPair(count(3, xwing.SeedSize))
	seal.Erase(spent)
	got := make([]byte, xwing.SharedKeySize)
	used.DecapsulateTo(got, ct)
	same(t, "shared secret", got, shared)
	again, ct2, err := xwing.Encapsulate(packed, count(2, xwing.EncapsulationSeedSize))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "shared secret", again, shared)
	same(t, "ciphertext", ct2, ct)
}

func TestEraseFollowsPointersNotSlices(t *testing.T) {
	type inner struct {
		table []byte
		words [2][3]uint16
		far   *[4]byte
	}
	far, table := [4]byte{1, 2, 3, 4}, []byte{5, 6}
	v := struct {
		any  any
		in   *inner
		none *inner
		n    int64
		ok   bool
	}{any: &[1]byte{7}, in: &inner{table: table, words: [2][3]uint16{{1}, {2}}, far: &far}, n: 8, ok: true}
	seal.Erase(&v)
	if far != [4]byte{} || v.in.words != [2][3]uint16{} || v.n != 0 || v.ok ||
		*v.any.(*[1]byte) != [1]byte{} {
		t.Errorf("left over: %v %v %v %v %v", far, v.in.words, v.n, v.ok, v.any)
	}
	if !bytes.Equal(table, []byte{5, 6}) {
		t.Errorf("a slice became %v", table)
	}
}
