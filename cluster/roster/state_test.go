package roster

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/pyisolate/pyisolate/cluster/pki"
)

var now = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func key(n byte) []byte { return bytes.Repeat([]byte{n}, sha256.Size) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// founded is a cluster of node n1.
func founded(t testing.TB) *State {
	t.Helper()
	s := &State{}
	_, err := s.Apply(Command{Op: Found, Name: "n1", Address: "10.0.0.1:7000", Key: key(1), At: now, Until: now.Add(time.Hour)})
	must(t, err)
	_, err = s.Apply(Command{Op: AddKey, Key: key(100)})
	must(t, err)
	return s
}

// invited adds an invitation and returns its token.
func invited(t testing.TB, s *State, name string) pki.Token {
	t.Helper()
	token, err := pki.NewToken(pki.Fingerprint{1}, []string{"10.0.0.1:7000"})
	must(t, err)
	v, err := token.Invite(name, now, time.Hour)
	must(t, err)
	_, err = s.Apply(Command{Op: Invite, Invite: &v, At: now})
	must(t, err)
	return token
}

// An invitation that is repeated because its answer was lost does not make a token good that was used
// meanwhile.
func TestInviteAgain(t *testing.T) {
	s := founded(t)
	token := invited(t, s, "n2")
	v, err := token.Invite("n2", now, time.Hour)
	must(t, err)
	_, err = s.Apply(admit(token, "n2", 2))
	must(t, err)
	out, err := s.Apply(Command{Op: Invite, Invite: &v, At: now})
	if err != nil || out.Invite.Key == nil || len(s.Invites(now)) != 0 {
		t.Errorf("%+v, %v", out.Invite, err)
	}
	_, err = s.Apply(Command{Op: Remove, Name: "n2", At: now})
	must(t, err)
	if _, err := s.Apply(admit(token, "n2", 3)); !errors.Is(err, pki.ErrUsed) {
		t.Errorf("a second node joins with the token: %v", err)
	}
}

// An invitation is one that a node has used from when it joins until it is withdrawn.
func TestUsedBy(t *testing.T) {
	s := founded(t)
	first, other := invited(t, s, "n2"), invited(t, s, "")
	if used := s.UsedBy("n2"); len(used) != 0 {
		t.Errorf("before it joins: %+v", used)
	}
	for _, c := range []Command{admit(first, "n2", 2), admit(other, "n3", 3)} {
		_, err := s.Apply(c)
		must(t, err)
	}
	if used := s.UsedBy("n2"); len(used) != 1 || used[0].ID != first.ID() {
		t.Errorf("%+v", used)
	}
	_, err := s.Apply(Command{Op: Withdraw, ID: first.ID()})
	must(t, err)
	if used := s.UsedBy("n2"); len(used) != 0 {
		t.Errorf("withdrawn: %+v", used)
	}
}

func admit(token pki.Token, name string, k byte) Command {
	return Command{Op: Admit, ID: token.ID(), Secret: token.Secret(), Name: name, Address: "10.0.0.2:7000", Key: key(k), At: now.Add(time.Minute), Until: now.Add(time.Hour)}
}

func TestAdmit(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*State, *Command)
		is     error
	}{
		"as invited":      {func(*State, *Command) {}, nil},
		"another secret":  {func(_ *State, c *Command) { c.Secret = make([]byte, len(c.Secret)) }, pki.ErrToken},
		"another name":    {func(_ *State, c *Command) { c.Name = "n3" }, pki.ErrToken},
		"too late":        {func(_ *State, c *Command) { c.At = now.Add(2 * time.Hour) }, pki.ErrLapsed},
		"withdrawn":       {func(s *State, c *Command) { _, _ = s.Apply(Command{Op: Withdraw, ID: c.ID}) }, ErrNoInvite},
		"without a key":   {func(_ *State, c *Command) { c.Key = nil }, ErrInvalid},
		"a bad address":   {func(_ *State, c *Command) { c.Address = "nowhere" }, ErrInvalid},
		"a bad name":      {func(_ *State, c *Command) { c.Name = "N 2" }, ErrInvalid},
		"again, the same": {func(s *State, c *Command) { _, _ = s.Apply(*c) }, nil},
		"again, another": {func(s *State, c *Command) {
			_, _ = s.Apply(*c)
			c.Key = key(9)
		}, pki.ErrUsed},
	} {
		s := founded(t)
		command := admit(invited(t, s, "n2"), "n2", 2)
		c.change(s, &command)
		if _, err := s.Apply(command); !errors.Is(err, c.is) {
			t.Errorf("%s: %v", name, err)
		}
		if err := s.Allow("n2", [sha256.Size]byte(key(2))); (err == nil) != (c.is == nil || name == "again, another") {
			t.Errorf("%s: allowed: %v", name, err)
		}
	}
	s := founded(t)
	if _, err := s.Apply(admit(invited(t, s, ""), "n1", 2)); !errors.Is(err, ErrTaken) {
		t.Errorf("another's name: %v", err)
	}
}

func TestRemove(t *testing.T) {
	s := founded(t)
	_, err := s.Apply(admit(invited(t, s, ""), "n2", 2))
	must(t, err)
	_, err = s.Apply(Command{Op: Remove, Name: "n2", At: now})
	must(t, err)
	if err := s.Allow("n2", [sha256.Size]byte(key(2))); !errors.Is(err, ErrNoMember) {
		t.Errorf("a removed node: %v", err)
	}
	if _, err := s.Apply(admit(invited(t, s, ""), "n2", 2)); !errors.Is(err, ErrTaken) {
		t.Errorf("it comes back with its key: %v", err)
	}
	_, err = s.Apply(admit(invited(t, s, ""), "n2", 3))
	must(t, err)
	if _, err := s.Apply(Command{Op: Remove, Name: "n9"}); !errors.Is(err, ErrNoMember) {
		t.Errorf("nobody: %v", err)
	}
	_, err = s.Apply(Command{Op: Remove, Name: "n2", At: now})
	must(t, err)
	if _, err := s.Apply(Command{Op: Remove, Name: "n1", At: now}); !errors.Is(err, ErrLast) {
		t.Errorf("the last: %v", err)
	}
}

func TestRenew(t *testing.T) {
	s := founded(t)
	for n := byte(2); n < 9; n++ {
		_, err := s.Apply(Command{Op: Renew, Name: "n1", Key: key(n), At: now, Until: now.Add(time.Hour)})
		must(t, err)
	}
	for n, allowed := range map[byte]bool{1: false, 8: true, 7: true} {
		if err := s.Allow("n1", [sha256.Size]byte(key(n))); (err == nil) != allowed {
			t.Errorf("key %d: %v", n, err)
		}
	}
	_, err := s.Apply(Command{Op: Renew, Name: "n1", Key: key(20), At: now.Add(2 * time.Hour), Until: now.Add(3 * time.Hour)})
	must(t, err)
	if err := s.Allow("n1", [sha256.Size]byte(key(8))); err == nil {
		t.Error("a key that has lapsed is good")
	}
}

func TestGossipKeys(t *testing.T) {
	s := founded(t)
	first := s.Gossip()[0].ID
	_, err := s.Apply(Command{Op: AddKey, Key: key(101)})
	must(t, err)
	second := s.Gossip()[1].ID
	for _, step := range []struct {
		c  Command
		is error
	}{
		{Command{Op: DropKey, ID: first}, ErrNoKey}, // it is in use
		{Command{Op: UseKey, ID: "nobody's"}, ErrNoKey},
		{Command{Op: UseKey, ID: second}, nil},
		{Command{Op: DropKey, ID: second}, ErrNoKey},
		{Command{Op: DropKey, ID: first}, nil},
		{Command{Op: DropKey, ID: first}, ErrNoKey},
		{Command{Op: AddKey, Key: []byte("short")}, ErrInvalid},
	} {
		if _, err := s.Apply(step.c); !errors.Is(err, step.is) {
			t.Errorf("%+v: %v", step.c, err)
		}
	}
	if g := s.Gossip(); len(g) != 1 || g[0].ID != second || !g[0].Used {
		t.Errorf("left are %+v", g)
	}
}

func TestBounds(t *testing.T) {
	s := founded(t)
	for i := range maxInvites {
		v := pki.Invite{ID: fmt.Sprint(i), Hash: key(1), Expires: now.Add(time.Hour)}
		_, err := s.Apply(Command{Op: Invite, Invite: &v, At: now})
		must(t, err)
	}
	v := pki.Invite{ID: "more", Hash: key(1), Expires: now.Add(3 * time.Hour)}
	if _, err := s.Apply(Command{Op: Invite, Invite: &v, At: now}); !errors.Is(err, ErrLimited) {
		t.Errorf("one more: %v", err)
	}
	if _, err := s.Apply(Command{Op: Invite, Invite: &v, At: now.Add(2 * time.Hour)}); err != nil {
		t.Errorf("when the others have lapsed: %v", err)
	}
	if _, err := s.Apply(Command{Op: Found, Name: "n2", Address: "10.0.0.2:7000", Key: key(1), Until: now}); !errors.Is(err, ErrFounded) {
		t.Errorf("founded again: %v", err)
	}
}

// The same commands make the same state, and a state that is read from its snapshot goes on alike.
func TestDeterminism(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a, b State
		for i := range 40 {
			c := randomCommand(t)
			_, errA := a.Apply(c)
			_, errB := b.Apply(c)
			if (errA == nil) != (errB == nil) {
				t.Fatalf("%+v: %v and %v", c, errA, errB)
			}
			text, err := a.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if i%5 == 0 {
				if err := b.Read(text); err != nil {
					t.Fatal(err)
				}
			}
			if other, _ := b.Encode(); !bytes.Equal(text, other) {
				t.Fatalf("after %+v: %s and %s", c, text, other)
			}
			used := 0
			for _, g := range a.gossip {
				if g.Used {
					used++
				}
			}
			if len(a.gossip) > 0 && used != 1 {
				t.Fatalf("%d gossip keys are in use", used)
			}
		}
	})
}

func randomCommand(t *rapid.T) Command {
	ops := []Op{Found, Invite, Withdraw, Admit, Renew, Move, Promote, Remove, AddKey, UseKey, DropKey}
	n := rapid.ByteRange(1, 4)
	token := n.Draw(t, "token")
	c := Command{Op: rapid.SampledFrom(ops).Draw(t, "op"), Name: fmt.Sprint("n", n.Draw(t, "name")), Address: "10.0.0.1:7000",
		Key: key(n.Draw(t, "key")), At: now, Until: now.Add(time.Hour), ID: fmt.Sprint(token), Secret: []byte("wrong")}
	switch c.Op {
	case Invite:
		c.Invite = &pki.Invite{ID: c.ID, Hash: key(token), Expires: now.Add(time.Hour)}
	case UseKey, DropKey:
		c.ID = keyID(c.Key)
	}
	return c
}

func FuzzDecode(f *testing.F) {
	b, err := Command{Op: Move, Name: "n1", Address: "10.0.0.1:7000"}.Encode()
	must(f, err)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Decode(b)
		if err != nil {
			return
		}
		if _, err := c.Encode(); err != nil {
			t.Fatalf("%q is read and cannot be written: %v", b, err)
		}
		s := founded(t)
		_, _ = s.Apply(c)
		text, err := s.Encode()
		must(t, err)
		must(t, new(State).Read(text))
	})
}

func TestBadSnapshots(t *testing.T) {
	good, err := founded(t).Encode()
	must(t, err)
	must(t, new(State).Read(good))
	for name, b := range map[string][]byte{
		"nothing":          nil,
		"not JSON":         []byte("hello"),
		"a newer format":   bytes.Replace(good, []byte(`_roster":1`), []byte(`_roster":2`), 1),
		"an unknown field": bytes.Replace(good, []byte(`"members"`), []byte(`"color":1,"members"`), 1),
		"another name":     bytes.Replace(good, []byte(`"n1":`), []byte(`"n2":`), 1),
		"more":             append(bytes.Clone(good), '1'),
		"too many keys":    bytes.Replace(good, []byte(`"gossip":[`), []byte(`"gossip":[{},{},{},`), 1),
	} {
		s := founded(t)
		if err := s.Read(b); !errors.Is(err, ErrSnapshot) {
			t.Errorf("%s: %v", name, err)
		}
		if _, there := s.Member("n1"); !there {
			t.Errorf("%s: what there was is gone", name)
		}
	}
	if !json.Valid(good) {
		t.Error("a snapshot is no JSON")
	}
}

// A member that is retired votes no more, whatever comes, and can still be removed.
func TestRetire(t *testing.T) {
	s := founded(t)
	if _, err := s.Apply(Command{Op: Retire, Name: "n1"}); !errors.Is(err, ErrLast) {
		t.Errorf("the last one: %v", err)
	}
	_, err := s.Apply(admit(invited(t, s, ""), "n2", 2))
	must(t, err)
	for _, op := range []Op{Promote, Retire, Promote} {
		_, err := s.Apply(Command{Op: op, Name: "n2"})
		must(t, err)
	}
	m, _ := s.Member("n2")
	if m.Voter || !m.Retired || s.Allow("n2", [sha256.Size]byte(key(2))) != nil {
		t.Errorf("%+v", m)
	}
	if _, err := s.Apply(Command{Op: Retire, Name: "n9"}); !errors.Is(err, ErrNoMember) {
		t.Errorf("nobody: %v", err)
	}
	_, err = s.Apply(Command{Op: Remove, Name: "n2", At: now})
	must(t, err)
}
