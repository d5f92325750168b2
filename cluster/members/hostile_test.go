package members

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
)

// Whoever lacks the key or is of another cluster sees nobody and is seen by nobody.
func TestStrangers(t *testing.T) {
	n := newNetwork()
	a := n.member(t, "a")
	for name, change := range map[string]func(*Config){
		"key":     func(c *Config) { c.Keys = [][]byte{newKey} },
		"cluster": func(c *Config) { c.Cluster = "other" },
		"clear": func(c *Config) {
			tune := c.tune
			c.tune = func(l *memberlist.Config, t memberlist.NodeAwareTransport) { tune(l, t); l.Keyring = nil }
		},
	} {
		c := n.config(t, "stranger-"+name)
		change(&c)
		m := start(t, c)
		m.visit(t.Context())
		if got := names(m); got != "stranger-"+name {
			t.Errorf("%s: it sees %s", name, got)
		}
	}
	b := n.member(t, "b")
	mustSee(t, "a b", a, b)
}

func TestGarbage(t *testing.T) {
	n := newNetwork()
	a, b := n.member(t, "a"), n.member(t, "b")
	mustSee(t, "a b", a, b)
	texts := []string{"", "x", strings.Repeat("\x00", 1400), strings.Repeat("\xff", 1400), "\xf4\x04test" + strings.Repeat("\x0a", 60), "\x0a\x01" + strings.Repeat("y", 60)}
	for _, text := range texts {
		for _, kind := range []string{"udp", "tcp"} {
			c, err := net.Dial(kind, a.Addr())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(c, text); err != nil {
				t.Error(err)
			}
			_ = c.Close()
		}
	}
	c := n.member(t, "c")
	mustSee(t, "a b c", a, b, c)
}

// Connections that say nothing are few, and end.
func TestIdle(t *testing.T) {
	n := newNetwork()
	alone := n.config(t, "a")
	alone.Seeds = func() []string { return nil } // the others have to get in
	a := start(t, alone)
	n.add(a.Addr())
	var idle []net.Conn
	for range 4 * maxStreams {
		c, err := net.Dial("tcp", a.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		idle = append(idle, c)
	}
	mustSee(t, "a b", a, n.member(t, "b"))
	for i, c := range idle {
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := c.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
			t.Fatalf("the %dth is still open: %v", i, err)
		}
	}
}

func TestView(t *testing.T) {
	v := newView(slog.New(slog.DiscardHandler))
	node := func(name string, meta []byte) *memberlist.Node {
		return &memberlist.Node{Name: name, Addr: net.IPv4(192, 0, 2, 1), Port: 7, Meta: meta}
	}
	for _, name := range []string{"", "A", "a b", strings.Repeat("n", 64)} {
		if v.NotifyAlive(node(name, nil)) == nil {
			t.Errorf("%q is believed in", name)
		}
	}
	slow := v.watch(t.Context())
	for i := range MaxMembers {
		n := node(fmt.Sprint("n", i), []byte{metaVersion})
		if err := v.NotifyAlive(n); err != nil {
			t.Fatal(err)
		}
		v.NotifyJoin(n)
	}
	if v.NotifyAlive(node("one-more", nil)) == nil {
		t.Error("one too many is believed in")
	}
	if err := v.NotifyAlive(node("n7", nil)); err != nil {
		t.Error(err)
	}
	seen := 0
	for range slow {
		seen++
	}
	if seen != behind {
		t.Errorf("the slow watcher saw %d, %d are right", seen, behind)
	}
	if got := len(v.watch(t.Context())); got != MaxMembers {
		t.Errorf("a new watcher begins with %d", got)
	}
	v.NotifyUpdate(node("n7", []byte("\x63later")))
	if m := v.list(); len(m) != MaxMembers || m[len(m)-224].Name != "n7" && !hasErr(m, "n7") {
		t.Error("metadata that cannot be read is no error")
	}
	v.close()
}

func hasErr(list []Member, name string) bool {
	for _, m := range list {
		if m.Name == name {
			return m.Err != nil && m.Meta.Wire == ""
		}
	}
	return false
}

func TestLog(t *testing.T) {
	var b bytes.Buffer
	l := stdLogger(slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug})))
	for line, want := range map[string]string{
		"[DEBUG] memberlist: x": "level=DEBUG msg=x component=gossip",
		"[ERR] memberlist: y":   "level=WARN msg=y",
		"z":                     "level=INFO msg=z",
	} {
		b.Reset()
		l.Print(line)
		if !strings.Contains(b.String(), want) {
			t.Errorf("%s: %s", line, b.String())
		}
	}
}
