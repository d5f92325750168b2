package seal_test

import (
	"slices"
	"testing"

	"github.com/pyisolate/pyisolate/broker/seal"
)

// Everything in the hello is bound: an attacker in the middle who has stolen the
// launch secret and makes the hello's code anew has the host answer, and still
// the node refuses the answer.
func TestHelloIsBoundByTheAnswer(t *testing.T) {
	both, hybrid, classical := bothSuites, []seal.Suite{seal.XWing}, []seal.Suite{seal.X25519}
	for name, change := range map[string]struct {
		suites []seal.Suite
		edit   func(r *recorded) []byte
	}{
		"randomness":        {both, func(r *recorded) []byte { return flip(r.Hello, 8+1+2) }},
		"share, ML-KEM":     {both, func(r *recorded) []byte { return flip(r.Hello, 8+1+2+32+1184-1) }},
		"share, X25519":     {both, func(r *recorded) []byte { return flip(r.Hello, 8+1+2+32+1184) }},
		"unused top bit":    {classical, func(r *recorded) []byte { return flipTop(r.Hello, 8+1+1+32+31) }},
		"offer, shortened":  {both, func(r *recorded) []byte { return offer(r.Hello, 2, 1) }},
		"offer, extended":   {hybrid, func(r *recorded) []byte { return offer(r.Hello, 1, 1, 2) }},
		"offer, downgraded": {both, downgraded},
	} {
		t.Run(name, func(t *testing.T) {
			r := record(t, change.suites...)
			forged := sign(r, change.edit(r))
			cfg := r.host(t)
			cfg.Suites = both
			host := must(seal.NewResponder(cfg))(t)
			answer, err := host.Answer(forged)
			if err != nil {
				t.Fatalf("the test's attacker is too weak: %v", err)
			}
			wantKind(t, r.receive(t, 1, answer), seal.ErrHandshake)
		})
	}
}

func flip(msg []byte, at int) []byte {
	msg = slices.Clone(msg)
	msg[at] ^= 1
	return msg
}

func flipTop(msg []byte, at int) []byte {
	msg = slices.Clone(msg)
	msg[at] ^= 0x80
	return msg
}

// offer replaces the list of n suites in a hello.
func offer(hello []byte, n int, suites ...byte) []byte {
	return lengthened(slices.Concat(hello[:8], []byte{byte(len(suites))}, suites, hello[9+n:]))
}

// downgraded makes an offer of both suites one of the classical alone, with a
// share of the attacker's.
func downgraded(r *recorded) []byte {
	return lengthened(slices.Concat(
		r.Hello[:8], []byte{1, byte(seal.X25519)}, r.Hello[11:11+32], count(9, 32), make([]byte, 32)))
}

// lengthened puts the message's own length into it.
func lengthened(msg []byte) []byte {
	n := len(msg) - 8
	msg[6], msg[7] = byte(n), byte(n>>8)
	return msg
}

// sign makes the code of a hello anew.
func sign(r *recorded, hello []byte) []byte {
	ref := reference{secret: r.LaunchSecret, shared: r.Shared, hello: hello, answer: r.Answer}
	ref.derive()
	unsigned, _ := cut(hello)
	return append(unsigned, ref.helloCode...)
}

// Everything in the answer is bound: an attacker who knows all secrets of a
// handshake and makes the answer's code anew has the node confirm it, and still
// the host refuses the confirm.
func TestAnswerIsBoundByTheConfirm(t *testing.T) {
	for name, c := range map[string]struct {
		suite seal.Suite
		at    int
		bit   byte
	}{
		"hybrid, randomness":        {seal.XWing, 8 + 1, 1},
		"classical, randomness":     {seal.X25519, 8 + 1 + 31, 1},
		"classical, unused top bit": {seal.X25519, 8 + 1 + 32 + 31, 0x80},
	} {
		t.Run(name, func(t *testing.T) {
			r := record(t, c.suite)
			forged := slices.Clone(r.Answer)
			forged[c.at] ^= c.bit
			ref := reference{secret: r.LaunchSecret, shared: r.Shared, hello: r.Hello, answer: forged}
			ref.derive()
			unsigned, _ := cut(forged)
			in, _, err := seal.NewInitiator(r.node(t))
			if err != nil {
				t.Fatal(err)
			}
			confirm, _, err := in.Finish(append(unsigned, ref.answerCode...))
			if err != nil {
				t.Fatalf("the test's attacker is too weak: %v", err)
			}
			wantKind(t, r.receive(t, 2, confirm), seal.ErrHandshake)
		})
	}
}

// A node that offers both suites does not take the weaker one, even from a host
// that has the launch secret.
func TestAnswerWithAnotherSuite(t *testing.T) {
	r := record(t, bothSuites...)
	classical := record(t, seal.X25519)
	for name, msg := range map[string][]byte{
		"weaker": classical.Answer, "unknown": flipTop(r.Answer, 8), "zero": flip(r.Answer, 8),
	} {
		t.Run(name, func(t *testing.T) { wantKind(t, r.receive(t, 1, msg), seal.ErrHandshake) })
	}
}

// A hello that a holder of the launch secret made, but not as the text says.
func TestHelloNotInForm(t *testing.T) {
	r := record(t, bothSuites...)
	for name, msg := range map[string][]byte{
		"another version":  flip(r.Hello, 4),
		"another kind":     flipTop(r.Hello, 5),
		"no suite":         offer(r.Hello, 2),
		"falling order":    offer(r.Hello, 2, 2, 1),
		"a suite twice":    offer(r.Hello, 2, 1, 1),
		"an unknown suite": offer(r.Hello, 2, 1, 3),
		"suite zero":       offer(r.Hello, 2, 0, 1),
		"too many suites":  offer(r.Hello, 2, 1, 2, 3),
		"a share too long": lengthened(slices.Concat(r.Hello, []byte{0})),
		"share of another": offer(r.Hello, 2, 2),
	} {
		t.Run(name, func(t *testing.T) { wantKind(t, r.receive(t, 0, sign(r, msg)), seal.ErrHandshake) })
	}
	same(t, "the test's own signature", sign(r, r.Hello), r.Hello)
}

// A side that gave up has no keys. It must not take a peer that computes with
// keys of zero for one that knows its own.
func TestErasedKeysAreNotKeys(t *testing.T) {
	r := record(t, seal.X25519)
	zero := make([]byte, 32)
	unsigned, _ := cut(r.Hello)
	forged := mac(refExpand(zero, "hello code", nil, 32), refTranscript(unsigned))
	hello := append(slices.Clone(unsigned), forged...)
	host := must(seal.NewResponder(r.host(t)))(t)
	host.Destroy()
	_, err := host.Answer(hello)
	wantKind(t, err, seal.ErrHandshake)

	host = must(seal.NewResponder(r.host(t)))(t)
	must(host.Answer(r.Hello))(t)
	host.Destroy()
	confirm, _ := cut(r.Confirm)
	th := refTranscript(r.Hello, r.Answer, confirm)
	forged = mac(refExpand(zero, "confirm code", th, 32), th)
	_, err = host.Finish(append(slices.Clone(confirm), forged...))
	wantKind(t, err, seal.ErrHandshake)
}

// Public values that would make the X25519 secret known to everybody.
func TestLowOrderShares(t *testing.T) {
	one := append([]byte{1}, make([]byte, 31)...)
	zero := make([]byte, 32)
	for name, point := range map[string][]byte{
		"zero": zero, "one": one, "zero, top bit": flipTop(zero, 31),
	} {
		t.Run(name, func(t *testing.T) {
			r := record(t, seal.X25519)
			hello := slices.Concat(r.Hello[:8+1+1+32], point, make([]byte, 32))
			wantKind(t, r.receive(t, 0, sign(r, hello)), seal.ErrHandshake)
			answer := slices.Concat(r.Answer[:8+1+32], point, make([]byte, 32))
			wantKind(t, r.receive(t, 1, answer), seal.ErrHandshake)
		})
	}
}

// An X-Wing share must be a reduced ML-KEM key, as FIPS 203 asks.
func TestShareThatIsNotAKey(t *testing.T) {
	r := record(t, seal.XWing)
	hello := slices.Clone(r.Hello)
	for i := range 1184 {
		hello[8+1+1+32+i] = 0xff
	}
	wantKind(t, r.receive(t, 0, sign(r, hello)), seal.ErrHandshake)
}
