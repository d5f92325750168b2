package members

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/internal/await"
)

func TestForm(t *testing.T) {
	n := newNetwork()
	began := time.Now()
	a, b, c := n.member(t, "a"), n.member(t, "b"), n.member(t, "c")
	mustSee(t, "a b c", a, b, c)
	t.Logf("three members see each other after %s", time.Since(began))
	for _, m := range a.List() {
		if m.Err != nil || m.Meta.Python != "cpython-314" || !strings.HasSuffix(m.Meta.Wire, ":1") {
			t.Errorf("%+v", m)
		}
	}
}

// What memberlist has under way when it is closed says nothing any more: whoever takes the lines may be
// gone.
func TestSilentAfterClose(t *testing.T) {
	n := newNetwork()
	c := n.config(t, "a")
	var said bytes.Buffer
	c.Logger = slog.New(slog.NewTextHandler(&said, nil))
	m := start(t, c)
	m.lines.Print("before")
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m.lines.Print("after")
	if text := said.String(); !strings.Contains(text, "before") || strings.Contains(text, "after") {
		t.Errorf("%q", text)
	}
}

func TestWatch(t *testing.T) {
	n := newNetwork()
	a := n.member(t, "a")
	w := a.Watch(t.Context())
	if e := next(t, w); e.Change != Joined || e.Member.Name != "a" || e.Member.Address != a.Addr() {
		t.Errorf("%+v", e)
	}
	b, c := n.member(t, "b"), n.member(t, "c")
	joined := map[string]bool{next(t, w).Member.Name: true, next(t, w).Member.Name: true}
	if !joined["b"] || !joined["c"] {
		t.Errorf("%v joined", joined)
	}
	meta := Meta{Wire: "h:2", CPUs: 1500, Labels: map[string]string{"zone": "north"}}
	if err := b.SetMeta(t.Context(), meta); err != nil {
		t.Fatal(err)
	}
	if e := next(t, w); e.Change != Updated || e.Member.Name != "b" || !reflect.DeepEqual(e.Member.Meta, meta) {
		t.Errorf("%+v", e)
	}
	mustSee(t, "a b c", a, b, c)
	if err := b.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e := next(t, w); e.Change != Updated || !e.Member.Meta.Leaving {
		t.Errorf("%+v", e)
	}
	if e := next(t, w); e.Change != Left || e.Member.Name != "b" {
		t.Errorf("%+v", e)
	}
	began := time.Now()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if e := next(t, w); e.Change != Failed || e.Member.Name != "c" {
		t.Errorf("%+v", e)
	}
	t.Logf("a death is known after %s", time.Since(began))
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if e, ok := <-w; ok {
		t.Errorf("%+v after Close", e)
	}
	if _, ok := <-a.Watch(t.Context()); ok {
		t.Error("a closed one is watched")
	}
}

// Each half forgets the other, and nothing but the seeds brings them together again.
func TestPartition(t *testing.T) {
	n := newNetwork()
	a, b, c := n.member(t, "a"), n.member(t, "b"), n.member(t, "c")
	mustSee(t, "a b c", a, b, c)
	n.cut("127.0.4.3")
	mustSee(t, "a b", a, b)
	mustSee(t, "c", c)
	n.cut()
	mustSee(t, "a b c", a, b, c)
}

func TestComesBackElsewhere(t *testing.T) {
	n := newNetwork()
	member := func(name string) *Members {
		c := n.config(t, name)
		c.tune = nil // the dead are remembered
		m := start(t, c)
		n.add(m.Addr())
		return m
	}
	a, b := member("a"), member("b")
	mustSee(t, "a b", a, b)
	before := b.Addr()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	again := member("b")
	await.That(t, "b is known by its new address", func() bool {
		l := a.List()
		return len(l) == 2 && l[1].Address == again.Addr() && l[1].Address != before
	})
}

// Who sees nobody does not wait as long as the others.
func TestAlone(t *testing.T) {
	n := newNetwork()
	lone := n.config(t, "a")
	lone.Rejoin = time.Hour
	var looked atomic.Int32
	lone.Seeds = func() []string {
		if looked.Add(1) == 1 {
			return nil
		}
		return n.list()
	}
	a := start(t, lone)
	other := n.config(t, "b")
	other.Seeds = func() []string { return nil }
	b := start(t, other)
	n.add(b.Addr())
	mustSee(t, "a b", a, b)
}

func TestLeavesAndComesBack(t *testing.T) {
	n := newNetwork()
	a, b := n.member(t, "a"), n.member(t, "b")
	mustSee(t, "a b", a, b)
	if err := errors.Join(b.Leave(t.Context()), b.Close()); err != nil {
		t.Fatal(err)
	}
	mustSee(t, "a", a)
	again := n.member(t, "b")
	mustSee(t, "a b", a, again)
	await.That(t, "b does not leave any more", func() bool {
		l := a.List()
		return len(l) == 2 && l[1].Address == again.Addr() && !l[1].Meta.Leaving
	})
}

// Whatever is said of a node while it leaves, the others hear that it did.
func TestLeaveIsSaidLast(t *testing.T) {
	n := newNetwork()
	a, b := n.member(t, "a"), n.member(t, "b")
	mustSee(t, "a b", a, b)
	heard := a.Watch(t.Context())
	ctx, stop := context.WithCancel(t.Context())
	var saying sync.WaitGroup
	for range 4 {
		saying.Go(func() {
			for ctx.Err() == nil {
				_ = b.SetMeta(ctx, Meta{})
			}
		})
	}
	err := b.Leave(t.Context())
	stop()
	saying.Wait()
	if err := errors.Join(err, b.Close()); err != nil {
		t.Fatal(err)
	}
	for e := next(t, heard); e.Change != Left; e = next(t, heard) {
		if e.Change == Failed {
			t.Fatal("who has left is said to have failed")
		}
	}
}

func TestSameName(t *testing.T) {
	n := newNetwork()
	a, b := n.member(t, "a"), n.member(t, "b")
	mustSee(t, "a b", a, b)
	address := b.Addr()
	start(t, n.config(t, "b")).visit(t.Context()) // it sees the others, and they stay with the first
	c := n.member(t, "c")
	mustSee(t, "a b c", a, b, c)
	if got := a.List()[1].Address; got != address {
		t.Errorf("b is at %s now, and was at %s", got, address)
	}
}

func TestRotation(t *testing.T) {
	n := newNetwork()
	all := []*Members{n.member(t, "a"), n.member(t, "b")}
	mustSee(t, "a b", all...)
	step := func(f func(*Members, []byte) error, key []byte) {
		t.Helper()
		for _, m := range all {
			if err := f(m, key); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := all[0].UseKey(newKey); err == nil {
		t.Error("a key is used that was not added")
	}
	step((*Members).AddKey, newKey)
	step((*Members).AddKey, newKey)
	if err := all[0].RemoveKey(oldKey); err == nil {
		t.Error("the key that seals was removed")
	}
	step((*Members).UseKey, newKey)
	if got, want := all[0].Keys(), []string{KeyID(newKey), KeyID(oldKey)}; !reflect.DeepEqual(got, want) {
		t.Errorf("keys %v, %v are right", got, want)
	}
	step((*Members).RemoveKey, oldKey)
	step((*Members).RemoveKey, oldKey)
	late := n.config(t, "c")
	late.Keys = [][]byte{newKey}
	c := start(t, late)
	start(t, n.config(t, "d")) // with the old key
	mustSee(t, "a b c", append(all, c)...)
	if err := all[0].AddKey([]byte("short")); err == nil {
		t.Error("a short key was added")
	}
}

func TestConfig(t *testing.T) {
	n := newNetwork()
	for name, change := range map[string]func(*Config){
		"name":      func(c *Config) { c.Name = "A" },
		"cluster":   func(c *Config) { c.Cluster = "" },
		"no key":    func(c *Config) { c.Keys = nil },
		"short key": func(c *Config) { c.Keys = append(c.Keys, make([]byte, 16)) },
		"no seeds":  func(c *Config) { c.Seeds = nil },
		"host name": func(c *Config) { c.Address = "localhost:1" },
		"no port":   func(c *Config) { c.Address = "127.0.0.1" },
		"advertise": func(c *Config) { c.Advertise = "h" },
		"meta":      func(c *Config) { c.Meta.Python = "a b" },
		"foreign":   func(c *Config) { c.Address = "192.0.2.1:0" },
	} {
		c := n.config(t, "a")
		change(&c)
		if m, err := Start(t.Context(), c); err == nil {
			t.Errorf("%s: started", name)
			_ = m.Close()
		}
	}
	c := n.config(t, "a")
	c.Advertise = "127.0.0.1:7"
	if got := start(t, c).Addr(); got != c.Advertise {
		t.Errorf("it says that it is at %s", got)
	}
}

func TestClosed(t *testing.T) {
	m := newNetwork().member(t, "a")
	if err := m.SetMeta(t.Context(), Meta{Python: "a b"}); !errors.Is(err, ErrMeta) {
		t.Errorf("set: %v", err)
	}
	if err := errors.Join(m.Close(), m.Close()); err != nil {
		t.Fatal(err)
	}
	if err := m.SetMeta(t.Context(), Meta{}); !errors.Is(err, ErrClosed) {
		t.Errorf("set: %v", err)
	}
	if err := m.Leave(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("leave: %v", err)
	}
}

func TestResolve(t *testing.T) {
	for address, want := range map[string]string{"127.0.0.1:7": "127.0.0.1:7", "[::1]:7": "[::1]:7", "h": "", "no.invalid:7": ""} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		got, err := resolve(ctx, address)
		cancel()
		if want == "" && err == nil || want != "" && (err != nil || got[0] != want) {
			t.Errorf("%s: %v, %v", address, got, err)
		}
	}
}

func BenchmarkForm(b *testing.B) {
	for b.Loop() {
		n := newNetwork()
		all := []*Members{n.member(b, "a"), n.member(b, "b"), n.member(b, "c")}
		mustSee(b, "a b c", all...)
		b.StopTimer()
		for _, m := range all {
			_ = m.Close()
		}
		b.StartTimer()
	}
}
