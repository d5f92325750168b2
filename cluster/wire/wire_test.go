package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cluster/pki"
	"github.com/pyisolate/pyisolate/internal/await"
)

func TestStreams(t *testing.T) {
	f := newFabric(t)
	one, two := f.node(t, "one", Limits{}), f.node(t, "two", Limits{})
	for _, s := range []Stream{Policy, Directory, Actors, Control} {
		l := two.Listener(s)
		if l != two.Listener(s) || l.Addr().String() != two.Addr().String() {
			t.Errorf("%s: another listener", s)
		}
		out, err := one.Dial(t.Context(), "two", s)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		in := raw.(*Conn)
		if in.Stream() != s || in.Peer().Name != "one" || out.Stream() != s || out.Peer().Name != "two" || in.Peer().Cluster != f.authority.Cluster() {
			t.Errorf("%s: %+v, %+v", s, in.Peer(), out.Peer())
		}
		if _, err := in.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(s))
		if _, err := out.Read(got); err != nil || string(got) != string(s) {
			t.Errorf("%s: %q, %v", s, got, err)
		}
		if one.Stats().Open != 1 || two.Stats().Open != 1 {
			t.Errorf("%s: %+v, %+v", s, one.Stats(), two.Stats())
		}
		if err := errors.Join(out.Close(), in.Close()); err != nil && !strings.Contains(err.Error(), "broken pipe") && !strings.Contains(err.Error(), "reset") {
			t.Error(err)
		}
	}
	if got := two.Stats(); got.Accepted != 4 || got.Open != 0 || got.Failed+got.Refused+got.Evicted+got.TurnedAway != 0 {
		t.Errorf("%+v", got)
	}
}

func TestDialFails(t *testing.T) {
	f := newFabric(t)
	one, two := f.node(t, "one", Limits{}), f.node(t, "two", Limits{})
	echo(t, two, Actors)
	f.place("misplaced", two.Addr().String())
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	f.place("silent", silent.Addr().String())
	f.place("down", "127.0.0.1:1") // where nobody listens
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for name, c := range map[string]struct {
		ctx    context.Context
		node   string
		stream Stream
		says   string
		is     error
	}{
		"unknown":       {t.Context(), "three", Actors, "no node three", nil},
		"not served":    {t.Context(), "two", Policy, "", ErrNoStream},
		"never served":  {t.Context(), "two", "bogus", "", nil},
		"another there": {t.Context(), "misplaced", Actors, "not misplaced.", nil},
		"down":          {t.Context(), "down", Actors, "connection refused", nil},
		"silent":        {short, "silent", Actors, "", context.DeadlineExceeded},
		"join":          {t.Context(), "two", Join, "not a stream", nil},
		"no name":       {t.Context(), "", Actors, "not a stream", nil},
	} {
		_, err := one.Dial(c.ctx, c.node, c.stream)
		if err == nil || !strings.Contains(err.Error(), c.says) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := one.Stats().Open; n != 0 {
		t.Errorf("%d connections are left", n)
	}
}

func TestClose(t *testing.T) {
	f := newFabric(t)
	one, two := f.node(t, "one", Limits{}), f.node(t, "two", Limits{})
	echo(t, two, Actors)
	idle := two.Listener(Control)
	c := mustTalk(t, one, "two", Actors)
	waiting, err := one.Dial(t.Context(), "two", Control)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(two.Close(), two.Close()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(hangsUp(c), hangsUp(waiting)); err != nil {
		t.Error(err)
	}
	if _, err := idle.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept: %v", err)
	}
	if _, err := two.Dial(t.Context(), "one", Actors); !errors.Is(err, ErrClosed) {
		t.Errorf("dial: %v", err)
	}
	if _, err := two.Listener(Actors).Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a listener of a closed wire: %v", err)
	}
	if _, err := one.Listener("bogus").Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a listener of no stream: %v", err)
	}
}

func TestListenerCloses(t *testing.T) {
	f := newFabric(t)
	one, two := f.node(t, "one", Limits{}), f.node(t, "two", Limits{})
	l := two.Listener(Actors)
	c, err := one.Dial(t.Context(), "two", Actors)
	if err != nil {
		t.Fatal(err)
	}
	await.That(t, "the connection waits to be accepted", func() bool { return len(l.(*listener).queue) == 1 })
	if err := errors.Join(l.Close(), l.Close()); err != nil {
		t.Fatal(err)
	}
	if err := hangsUp(c); err != nil {
		t.Error(err)
	}
	if _, err := one.Dial(t.Context(), "two", Actors); !errors.Is(err, ErrNoStream) {
		t.Errorf("closed: %v", err)
	}
	echo(t, two, Actors)
	mustTalk(t, one, "two", Actors)
}

func TestTooMany(t *testing.T) {
	f := newFabric(t)
	one, three := f.node(t, "one", Limits{}), f.node(t, "three", Limits{})
	two := f.node(t, "two", Limits{PerPeer: 3})
	l := two.Listener(Actors)
	for range 3 {
		if _, err := one.Dial(t.Context(), "two", Actors); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := one.Dial(t.Context(), "two", Actors); !errors.Is(err, ErrBusy) {
		t.Errorf("the fourth: %v", err)
	}
	if _, err := three.Dial(t.Context(), "two", Actors); err != nil {
		t.Errorf("another node: %v", err)
	}
	two.Listener(Control)
	if _, err := one.Dial(t.Context(), "two", Control); err != nil {
		t.Errorf("another stream: %v", err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	if _, err := one.Dial(t.Context(), "two", Actors); err != nil {
		t.Errorf("after one ended: %v", err)
	}
	if got := two.Stats(); got.Refused != 1 || got.Open != 5 {
		t.Errorf("%+v", got)
	}
}

func TestNobodyAccepts(t *testing.T) {
	f := newFabric(t)
	one, two := f.node(t, "one", Limits{}), f.node(t, "two", Limits{PerPeer: 2 * backlog})
	l := two.Listener(Actors)
	for range backlog {
		if _, err := one.Dial(t.Context(), "two", Actors); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := one.Dial(t.Context(), "two", Actors); !errors.Is(err, ErrBusy) {
		t.Errorf("one more than wait: %v", err)
	}
	if _, err := l.Accept(); err != nil {
		t.Fatal(err)
	}
	if _, err := one.Dial(t.Context(), "two", Actors); err != nil {
		t.Errorf("after one was taken: %v", err)
	}
}

func TestRecheck(t *testing.T) {
	f := newFabric(t)
	one, two, three := f.node(t, "one", Limits{}), f.node(t, "two", Limits{}), f.node(t, "three", Limits{})
	for _, w := range []*Wire{one, two, three} {
		echo(t, w, Actors)
	}
	in, out, other := mustTalk(t, two, "one", Actors), mustTalk(t, one, "two", Actors), mustTalk(t, one, "three", Actors)
	gone := errors.New("removed")
	f.refuse("two", gone)
	one.Recheck()
	if err := errors.Join(hangsUp(in), hangsUp(out)); err != nil {
		t.Error(err)
	}
	if err := talk(other, "still here"); err != nil {
		t.Errorf("another node's connection: %v", err)
	}
	if _, err := one.Dial(t.Context(), "two", Actors); !errors.Is(err, pki.ErrRevoked) || !errors.Is(err, gone) {
		t.Errorf("to the removed node: %v", err)
	}
	f.place("one", one.Addr().String())
	if _, err := two.Dial(t.Context(), "one", Actors); err == nil {
		t.Error("the removed node was let in")
	}
	f.refuse("two", nil)
	mustTalk(t, two, "one", Actors)
}

func TestCut(t *testing.T) {
	t.Parallel()
	f := newFabric(t)
	one, two, three := f.node(t, "one", Limits{}), f.node(t, "two", Limits{}), f.node(t, "three", Limits{})
	for _, w := range []*Wire{one, two, three} {
		echo(t, w, API)
		echo(t, w, Actors)
	}
	in, out := mustTalk(t, two, "one", API), mustTalk(t, one, "two", API)
	others := map[string]net.Conn{
		"another stream": mustTalk(t, two, "one", Actors), "another node": mustTalk(t, three, "one", API), "to another node": mustTalk(t, one, "three", API),
	}
	one.Cut("two", API)
	if err := errors.Join(hangsUp(in), hangsUp(out)); err != nil {
		t.Error(err)
	}
	for name, c := range others {
		if err := talk(c, "still here"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	mustTalk(t, two, "one", API)
}

func TestRecheckByItself(t *testing.T) {
	f := newFabric(t)
	one, two := f.node(t, "one", Limits{}), f.node(t, "two", Limits{Recheck: time.Millisecond})
	echo(t, two, Actors)
	revoked := mustTalk(t, one, "two", Actors)
	f.refuse("one", errors.New("removed"))
	if err := hangsUp(revoked); err != nil {
		t.Errorf("revoked: %v", err)
	}
	await.That(t, "no connection is open", func() bool { return two.Stats().Open == 0 })
}

// A node that is removed between its handshake and the end of it is not let in.
func TestRemovedMeanwhile(t *testing.T) {
	f := newFabric(t)
	one := f.node(t, "one", Limits{})
	asked := 0 // in one handshake
	w, err := Listen(t.Context(), Config{
		Identity: identity(t, f.authority, "two"), Address: "127.0.0.1:0", Lookup: f.lookup,
		Allow: func(pki.Peer) error {
			if asked++; asked > 1 {
				return errors.New("removed")
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	f.place("two", w.Addr().String())
	defer func() { _ = w.Close() }()
	w.Listener(Actors)
	if _, err := one.Dial(t.Context(), "two", Actors); err == nil || !strings.Contains(err.Error(), "refuses") {
		t.Errorf("%v", err)
	}
	if got := w.Stats(); got.Refused != 1 || got.Open != 0 {
		t.Errorf("%+v", got)
	}
}

func TestExpired(t *testing.T) {
	w := newFabric(t).node(t, "one", Limits{})
	for left, ok := range map[time.Duration]bool{time.Minute: true, -time.Second: false} {
		c := &Conn{stream: Actors, peer: pki.Peer{Node: pki.Node{Name: "two"}, NotAfter: time.Now().Add(left)}}
		if err := w.judge(c); (err == nil) != ok {
			t.Errorf("with %s left: %v", left, err)
		}
	}
}

func TestConns(t *testing.T) {
	s := newConns()
	c := &Conn{stream: Actors, counted: true, peer: pki.Peer{Node: pki.Node{Name: "one"}}}
	if _, err := s.add(c, 1); err != nil {
		t.Fatal(err)
	}
	if left := s.close(); len(left) != 1 || left[0] != c {
		t.Errorf("%v", left)
	}
	if _, err := s.add(&Conn{stream: Actors}, 1); !errors.Is(err, ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
	s.remove(c)
	s.remove(c)
	if s.len() != 0 || len(s.from) != 0 {
		t.Errorf("%d open, of %d nodes", s.len(), len(s.from))
	}
}

func TestRenewed(t *testing.T) {
	f := newFabric(t)
	one, two := f.node(t, "one", Limits{}), f.node(t, "two", Limits{})
	echo(t, two, Actors)
	old := mustTalk(t, one, "two", Actors)
	i := two.c.Identity
	if err := i.Renew(t.Context(), func(_ context.Context, r []byte) ([]byte, error) {
		return f.authority.Sign(r, "two", time.Hour)
	}); err != nil {
		t.Fatal(err)
	}
	fresh := mustTalk(t, one, "two", Actors)
	if fresh.Peer().Serial.Cmp(i.Serial()) != 0 || old.Peer().Serial.Cmp(i.Serial()) == 0 {
		t.Errorf("serials %x, then %x; it has %x", old.Peer().Serial, fresh.Peer().Serial, i.Serial())
	}
	if err := talk(old, "still open"); err != nil {
		t.Error(err)
	}
}

func TestConfig(t *testing.T) {
	f := newFabric(t)
	good := Config{Identity: identity(t, f.authority, "one"), Address: "127.0.0.1:0", Lookup: f.lookup, Allow: f.allow}
	taken := f.node(t, "taken", Limits{}).Addr().String()
	for name, change := range map[string]func(*Config){
		"no Identity": func(c *Config) { c.Identity = nil },
		"no Lookup":   func(c *Config) { c.Lookup = nil },
		"no Allow":    func(c *Config) { c.Allow = nil },
		"no port":     func(c *Config) { c.Address = "127.0.0.1" },
		"taken":       func(c *Config) { c.Address = taken },
	} {
		c := good
		change(&c)
		if w, err := Listen(t.Context(), c); err == nil {
			t.Errorf("%s: opened", name)
			_ = w.Close()
		}
	}
}

func BenchmarkDial(b *testing.B) {
	f := newFabric(b)
	one, two := f.node(b, "one", Limits{}), f.node(b, "two", Limits{Rate: 1e6, Burst: 1e6})
	echo(b, two, Actors)
	for b.Loop() {
		c, err := one.Dial(b.Context(), "two", Actors)
		if err != nil {
			b.Fatal(err)
		}
		_ = c.Close()
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	for _, size := range []int{64, 1 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			f := newFabric(b)
			one, two := f.node(b, "one", Limits{}), f.node(b, "two", Limits{})
			echo(b, two, Actors)
			c := mustTalk(b, one, "two", Actors)
			text := strings.Repeat("x", size)
			b.SetBytes(int64(size))
			for b.Loop() {
				if err := talk(c, text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
