package seal_test

import (
	"bytes"
	"fmt"
	"iter"
	"slices"
	"testing"

	"github.com/pyisolate/pyisolate/broker/seal"
)

var bothSuites = []seal.Suite{seal.XWing, seal.X25519}

func TestHandshake(t *testing.T) {
	for name, c := range map[string]struct {
		node, host []seal.Suite
		want       seal.Suite
	}{
		"default on both sides":       {nil, nil, seal.XWing},
		"named hybrid and default":    {[]seal.Suite{seal.XWing}, nil, seal.XWing},
		"classical on both sides":     {[]seal.Suite{seal.X25519}, []seal.Suite{seal.X25519}, seal.X25519},
		"both on both sides":          {bothSuites, bothSuites, seal.XWing},
		"both, in whatever order":     {[]seal.Suite{seal.X25519, seal.XWing, seal.X25519}, bothSuites, seal.XWing},
		"the host allows more":        {nil, bothSuites, seal.XWing},
		"classical, host allows more": {[]seal.Suite{seal.X25519}, bothSuites, seal.X25519},
	} {
		t.Run(name, func(t *testing.T) {
			node, host := sessionsOf(t, config(t, c.node...), config(t, c.host...))
			if node.Suite != c.want || host.Suite != c.want {
				t.Errorf("suites %v and %v, want %v", node.Suite, host.Suite, c.want)
			}
			if node.ID != host.ID || node.ID == [32]byte{} {
				t.Errorf("session ids\n%x and\n%x", node.ID, host.ID)
			}
			passes(t, node, host)
			passes(t, host, node)
		})
	}
}

// passes sends one frame and expects it to arrive.
func passes(t testing.TB, from, to *seal.Session) {
	t.Helper()
	want := []byte("plaintext of a frame")
	got := must(to.In.Open(must(from.Out.Seal(nil, want))(t)))(t)
	same(t, "plaintext", got, want)
}

// No two sessions are alike, even with the same launch secret.
func TestSessionsDiffer(t *testing.T) {
	a, _ := sessions(t)
	b, _ := sessions(t)
	if a.ID == b.ID {
		t.Errorf("two sessions have the id %x", a.ID)
	}
	if bytes.Equal(must(a.Out.Seal(nil, nil))(t), must(b.Out.Seal(nil, nil))(t)) {
		t.Error("two sessions seal alike")
	}
}

func TestPolicyRefusesOffer(t *testing.T) {
	for name, c := range map[string]struct{ node, host []seal.Suite }{
		"classical, host has the default":   {[]seal.Suite{seal.X25519}, nil},
		"both, host has the default":        {bothSuites, nil},
		"both, host allows classical alone": {bothSuites, []seal.Suite{seal.X25519}},
		"hybrid, host allows classical":     {nil, []seal.Suite{seal.X25519}},
	} {
		t.Run(name, func(t *testing.T) {
			_, hello, err := seal.NewInitiator(config(t, c.node...))
			if err != nil {
				t.Fatal(err)
			}
			r := must(seal.NewResponder(config(t, c.host...)))(t)
			answer, err := r.Answer(hello)
			wantKind(t, err, seal.ErrHandshake)
			if answer != nil {
				t.Errorf("the peer is told %x", answer)
			}
		})
	}
}

func TestInvalidConfigIsRefusedAndTakesTheSecret(t *testing.T) {
	for name, change := range map[string]func(*seal.Config){
		"unknown suite":          func(c *seal.Config) { c.Suites = []seal.Suite{3} },
		"suite zero":             func(c *seal.Config) { c.Suites = []seal.Suite{seal.XWing, 0} },
		"too many frames":        func(c *seal.Config) { c.RekeyFrames = seal.MaxRekeyFrames + 1 },
		"too long an epoch":      func(c *seal.Config) { c.RekeyAfter = seal.MaxRekeyAfter + 1 },
		"negative time":          func(c *seal.Config) { c.RekeyAfter = -1 },
		"randomness that is cut": func(c *seal.Config) { *c = c.WithRandom(bytes.NewReader(make([]byte, 40))) },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(t)
			change(&cfg)
			if _, _, err := seal.NewInitiator(cfg); err == nil {
				t.Error("accepted")
			}
			if err := seal.WriteSecret(new(bytes.Buffer), cfg.Secret); err == nil {
				t.Error("the launch secret is still there")
			}
		})
	}
}

func TestSecretServesOnce(t *testing.T) {
	cfg := config(t)
	if _, _, err := seal.NewInitiator(cfg); err != nil {
		t.Fatal(err)
	}
	if _, _, err := seal.NewInitiator(cfg); err == nil {
		t.Error("a second initiator was made of one secret")
	}
	cfg = config(t)
	must(seal.NewResponder(cfg))(t)
	if _, err := seal.NewResponder(cfg); err == nil {
		t.Error("a second responder was made of one secret")
	}
	if _, err := seal.NewResponder(seal.Config{}); err == nil {
		t.Error("a responder was made of no secret")
	}
}

func TestWrongSecret(t *testing.T) {
	for bit := range seal.SecretSize * 8 {
		other := launchSecret()
		other[bit/8] ^= 1 << (bit % 8)
		_, hello, err := seal.NewInitiator(config(t, seal.X25519))
		if err != nil {
			t.Fatal(err)
		}
		r := must(seal.NewResponder(seal.Config{
			Secret: must(seal.NewSecret(other))(t), Suites: []seal.Suite{seal.X25519}}))(t)
		_, err = r.Answer(hello)
		wantKind(t, err, seal.ErrHandshake)
	}
}

// recorded is a handshake whose sides can be made again, with the same keys.
type recorded struct {
	vector
	messages [3][]byte // hello, answer, confirm
}

func record(t testing.TB, suites ...seal.Suite) *recorded {
	t.Helper()
	v := inputs("recorded", "", 64)
	for _, s := range suites {
		v.Offer = append(v.Offer, int(s))
	}
	v.fill(t)
	return &recorded{v, [3][]byte{v.Hello, v.Answer, v.Confirm}}
}

// receive gives msg as message number n to a side that has come that far, and
// returns its error.
func (r *recorded) receive(t testing.TB, n int, msg []byte) error {
	if n == 1 {
		in, _, err := seal.NewInitiator(r.node(t))
		if err != nil {
			t.Fatal(err)
		}
		confirm, s, err := in.Finish(msg)
		if (err == nil) != (s != nil) || (err == nil) != (confirm != nil) {
			t.Fatalf("error %v with session %v and confirm %x", err, s, confirm)
		}
		return err
	}
	host := must(seal.NewResponder(r.host(t)))(t)
	if n == 0 {
		answer, err := host.Answer(msg)
		if (err == nil) != (answer != nil) {
			t.Fatalf("error %v with answer %x", err, answer)
		}
		return err
	}
	must(host.Answer(r.Hello))(t)
	s, err := host.Finish(msg)
	if (err == nil) != (s != nil) {
		t.Fatalf("error %v with session %v", err, s)
	}
	return err
}

// damaged yields msg with every bit flipped, cut at every length and extended.
// With a step above 1 it leaves bits and lengths out.
func damaged(msg []byte, step int) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for bit := 0; bit < len(msg)*8; bit += step {
			flipped := slices.Clone(msg)
			flipped[bit/8] ^= 1 << (bit % 8)
			if !yield(fmt.Sprintf("bit %d of byte %d flipped", bit%8, bit/8), flipped) {
				return
			}
		}
		for n := 0; n < len(msg); n += step {
			if !yield(fmt.Sprintf("cut to %d bytes", n), msg[:n:n]) {
				return
			}
		}
		for _, n := range []int{1, 2, 32, len(msg), 1 << 16} {
			if !yield(fmt.Sprintf("extended by %d bytes", n), slices.Concat(msg, make([]byte, n))) {
				return
			}
		}
	}
}

// Every damage to every message is refused by its receiver. The short run takes
// every 11th bit of the hybrid's messages; 11 is odd, so each bit of a byte comes.
func TestDamagedMessages(t *testing.T) {
	for _, suites := range [][]seal.Suite{{seal.XWing}, {seal.X25519}, bothSuites} {
		r := record(t, suites...)
		for n, name := range []string{"hello", "answer", "confirm"} {
			t.Run(fmt.Sprintf("%v %s", suites, name), func(t *testing.T) {
				if err := r.receive(t, n, r.messages[n]); err != nil {
					t.Fatalf("undamaged: %v", err)
				}
				step := 1
				if testing.Short() && len(r.messages[n]) > 1000 {
					step = 11
				}
				for what, msg := range damaged(r.messages[n], step) {
					if err := r.receive(t, n, msg); err == nil {
						t.Errorf("%s: accepted", what)
					} else {
						wantKind(t, err, seal.ErrHandshake)
					}
				}
			})
		}
	}
}

// Messages of other sessions, of the other side, or at the wrong time.
func TestForeignMessages(t *testing.T) {
	for _, suite := range bothSuites {
		r, other := record(t, suite), foreign(t, suite)
		for at, want := range r.messages {
			for from, msgs := range map[string][3][]byte{"this": r.messages, "another": other} {
				for n, msg := range msgs {
					if bytes.Equal(msg, want) {
						continue
					}
					name := fmt.Sprintf("%v: message %d of %s session as message %d", suite, n, from, at)
					t.Run(name, func(t *testing.T) {
						err := r.receive(t, at, msg)
						if at == 0 && n == 0 {
							replayedHello(t, r, msg, err)
							return
						}
						wantKind(t, err, seal.ErrHandshake)
					})
				}
			}
		}
	}
}

// foreign returns the messages of another session with the same launch secret.
func foreign(t testing.TB, suite seal.Suite) (messages [3][]byte) {
	t.Helper()
	in, hello, err := seal.NewInitiator(config(t, suite))
	if err != nil {
		t.Fatal(err)
	}
	r := must(seal.NewResponder(config(t, suite)))(t)
	answer := must(r.Answer(hello))(t)
	confirm, _, err := in.Finish(answer)
	if err != nil {
		t.Fatal(err)
	}
	must(r.Finish(confirm))(t)
	return [3][]byte{hello, answer, confirm}
}

// A replayed hello is answered, if the launch secret is in use a second time. The
// one who replays it gets no session: the confirm that he recorded does not fit.
func replayedHello(t testing.TB, r *recorded, hello []byte, err error) {
	if err != nil {
		t.Fatal(err)
	}
	host := must(seal.NewResponder(r.host(t)))(t)
	must(host.Answer(hello))(t)
	_, err = host.Finish(r.Confirm)
	wantKind(t, err, seal.ErrHandshake)
}

// Each step can be taken once, in order, and nothing comes after a refusal.
func TestStepsOutOfOrder(t *testing.T) {
	r := record(t, seal.X25519)
	t.Run("confirm first", func(t *testing.T) {
		host := must(seal.NewResponder(r.host(t)))(t)
		_, err := host.Finish(r.Confirm)
		wantKind(t, err, seal.ErrHandshake)
		_, err = host.Answer(r.Hello)
		wantKind(t, err, seal.ErrHandshake)
	})
	t.Run("hello twice", func(t *testing.T) {
		host := must(seal.NewResponder(r.host(t)))(t)
		must(host.Answer(r.Hello))(t)
		_, err := host.Answer(r.Hello)
		wantKind(t, err, seal.ErrHandshake)
		_, err = host.Finish(r.Confirm)
		wantKind(t, err, seal.ErrHandshake)
	})
	t.Run("confirm twice", func(t *testing.T) {
		host := must(seal.NewResponder(r.host(t)))(t)
		must(host.Answer(r.Hello))(t)
		must(host.Finish(r.Confirm))(t)
		_, err := host.Finish(r.Confirm)
		wantKind(t, err, seal.ErrHandshake)
	})
	t.Run("confirm after a wrong one", func(t *testing.T) {
		host := must(seal.NewResponder(r.host(t)))(t)
		must(host.Answer(r.Hello))(t)
		_, err := host.Finish(flip(r.Confirm, 8))
		wantKind(t, err, seal.ErrHandshake)
		_, err = host.Finish(r.Confirm)
		wantKind(t, err, seal.ErrHandshake)
	})
	t.Run("answer after a wrong one", func(t *testing.T) {
		in, _, err := seal.NewInitiator(r.node(t))
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = in.Finish(flip(r.Answer, 8+1))
		wantKind(t, err, seal.ErrHandshake)
		_, _, err = in.Finish(r.Answer)
		wantKind(t, err, seal.ErrHandshake)
	})
}

func TestParseSuite(t *testing.T) {
	for _, s := range bothSuites {
		if got := must(seal.ParseSuite(s.String()))(t); got != s {
			t.Errorf("%v is parsed as %v", s, got)
		}
	}
	for _, name := range []string{"", "XWing", "aes", "suite 3"} {
		_, err := seal.ParseSuite(name)
		wantKind(t, err, seal.ErrConfig)
	}
	if got := seal.Suite(9).String(); got != "suite 9" {
		t.Errorf("an unknown suite is called %q", got)
	}
}
