package cluster

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/cluster/enroll"
	"github.com/pyisolate/pyisolate/cluster/pki"
	"github.com/pyisolate/pyisolate/internal/durable"
	"github.com/pyisolate/pyisolate/internal/loopback"
)

func TestFoundRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*Founding)
		is     string
	}{
		"no directory":          {func(f *Founding) { f.Dir = "" }, "no directory"},
		"something is there":    {func(f *Founding) { must(t, os.WriteFile(filepath.Join(f.Dir, "x"), nil, 0o600)) }, "not empty"},
		"no address":            {func(f *Founding) { f.Address = "" }, "not an address"},
		"no port after it":      {func(f *Founding) { f.Address = "h:65535" }, "no port after"},
		"a name that is none":   {func(f *Founding) { f.Node = "N1" }, "cannot name a node"},
		"gossip at no address":  {func(f *Founding) { f.Gossip = "h" }, "not an address"},
		"a name that is a book": {func(f *Founding) { f.Cluster = strings.Repeat("x", 100) }, "name a cluster"},
	} {
		t.Run(name, func(t *testing.T) {
			f := Founding{Dir: t.TempDir(), Node: "n1", Address: "10.0.0.1:7000"}
			c.change(&f)
			if err := Found(soon(t), f); err == nil || !strings.Contains(err.Error(), c.is) {
				t.Errorf("%v", err)
			}
			if f.Dir == "" {
				return
			}
			if _, err := os.Stat(f.Dir + ".new"); Exists(f.Dir) || !errors.Is(err, os.ErrNotExist) {
				t.Errorf("something is left: %v", err)
			}
		})
	}
}

// What died half way is not a member, and does not keep another attempt from being one.
func TestFoundAgain(t *testing.T) {
	t.Parallel()
	n := &node{t: t, dir: filepath.Join(t.TempDir(), "cluster")}
	must(t, os.MkdirAll(filepath.Join(n.dir+".new", groupDir), 0o700))
	must(t, os.WriteFile(filepath.Join(n.dir+".new", identityFile), []byte("half"), 0o600))
	if Exists(n.dir) {
		t.Fatal("half of one is a member")
	}
	f := Founding{Dir: n.dir, Node: "n1", Address: loopback.Address()}
	must(t, Found(soon(t), f))
	if !Exists(n.dir) {
		t.Fatal("it is not there")
	}
	if err := Found(soon(t), f); !errors.Is(err, ErrMember) {
		t.Errorf("a second time: %v", err)
	}
	if err := Join(soon(t), Joining{Dir: n.dir, Node: "n1", Address: f.Address}); !errors.Is(err, ErrMember) {
		t.Errorf("a member joins: %v", err)
	}
	info, err := os.Stat(filepath.Join(n.dir, rosterFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("keys of gossip are in a file that others may read: %v, %v", info.Mode(), err)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	write := func(file, text string) func(string) {
		return func(dir string) { must(t, durable.WriteFile(filepath.Join(dir, file), []byte(text), 0o600)) }
	}
	remove := func(file string) func(string) {
		return func(dir string) { must(t, os.Remove(filepath.Join(dir, file))) }
	}
	for name, c := range map[string]struct {
		change func(dir string)
		is     string
	}{
		"no member":              {remove(noteFile), ErrNoMember.Error()},
		"a note that is damaged": {write(noteFile, "{"), noteFile},
		"a note of a newer one":  {write(noteFile, `{"pyisolate_node":2,"address":"h:1"}`), "newer"},
		"no identity":            {remove(identityFile), identityFile},
		"no roster":              {remove(rosterFile), "knows nobody"},
		"a roster of nobody":     {write(rosterFile, `{"pyisolate_known_roster":1,"applied":1,"roster":{"pyisolate_roster":1}}`), "names no node"},
		"a damaged authority":    {write(authorityFile, "x"), authorityFile},
		"keys open to others":    {func(dir string) { must(t, os.Chmod(filepath.Join(dir, identityFile), 0o644)) }, "0600"},
	} {
		t.Run(name, func(t *testing.T) {
			n := found(t, "n1")
			c.change(n.dir)
			if _, err := Open(soon(t), n.config()); err == nil || !strings.Contains(err.Error(), c.is) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestJoinRefuses(t *testing.T) {
	t.Parallel()
	n1 := found(t, "n1")
	n1.open()
	leader(t, []*node{n1})
	other := found(t, "n1")
	other.open()
	leader(t, []*node{other})
	invite := func(by *node, name string) string {
		token, _, err := by.Invite(soon(t), name, 0)
		must(t, err)
		return token
	}
	used := invite(n1, "")
	must(t, Join(soon(t), Joining{Dir: filepath.Join(t.TempDir(), "d"), Node: "n2", Address: "127.0.0.1:7000", Token: used}))
	gone := invite(n1, "")
	for _, v := range n1.Invites() {
		must(t, n1.Withdraw(soon(t), v.ID))
	}
	if len(n1.Invites()) != 0 {
		t.Errorf("%d invitations are open", len(n1.Invites()))
	}
	for name, c := range map[string]struct {
		node, token string
		is          error
	}{
		"a token that is none":       {"n3", "x", pki.ErrMalformed},
		"a token that was used":      {"n3", used, pki.ErrUsed},
		"a token that was withdrawn": {"n3", gone, pki.ErrToken},
		"a token for another name":   {"n3", invite(n1, "n4"), pki.ErrToken},
		"a name that is taken":       {"n1", invite(n1, "n1"), enroll.ErrName},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "d")
			err := Join(soon(t), Joining{Dir: dir, Node: c.node, Address: "127.0.0.1:7000", Token: c.token})
			if !errors.Is(err, c.is) || Exists(dir) {
				t.Errorf("%v, %v", err, Exists(dir))
			}
		})
	}
}

// Two nodes cannot be at one address. Who asks for that of another keeps the token.
func TestJoinNotWhereAnotherIs(t *testing.T) {
	t.Parallel()
	n1 := found(t, "n1")
	n1.open()
	leader(t, []*node{n1})
	gossips, err := after(n1.at)
	must(t, err)
	token, _, err := n1.Invite(soon(t), "", 0)
	must(t, err)
	host, port, err := net.SplitHostPort(n1.at)
	must(t, err)
	j := Joining{Dir: filepath.Join(t.TempDir(), "d"), Node: "n2", Token: token}
	for name, at := range map[string]struct{ address, gossip string }{
		"its port":           {n1.at, ""},
		"in other words":     {net.JoinHostPort("::ffff:"+host, port), ""},
		"in other numbers":   {n1.at[:len(n1.at)-len(port)] + "0" + port, ""},
		"where it gossips":   {gossips, ""},
		"gossip at its port": {loopback.Address(), n1.at},
		"gossip with it":     {loopback.Address(), gossips},
	} {
		j.Address, j.Gossip = at.address, at.gossip
		if err := Join(soon(t), j); !errors.Is(err, enroll.ErrAddress) || !strings.Contains(err.Error(), "n1") || Exists(j.Dir) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(n1.Invites()) != 1 || n1.Status().Members != 1 {
		t.Errorf("%d invitations, %d members", len(n1.Invites()), n1.Status().Members)
	}
	j.Address, j.Gossip = loopback.Address(), ""
	must(t, Join(soon(t), j))
}

// A node that could not start where it says that it is keeps its token, and nobody waits for it.
func TestJoinByANameThatNobodyHas(t *testing.T) {
	t.Parallel()
	n1 := found(t, "n1")
	n1.open()
	leader(t, []*node{n1})
	token, _, err := n1.Invite(soon(t), "", 0)
	must(t, err)
	const nobody = "no..host:7700"
	for name, j := range map[string]Joining{"address": {Address: nobody}, "gossip": {Address: loopback.Address(), Gossip: nobody}} {
		j.Dir, j.Node, j.Token = filepath.Join(t.TempDir(), "d"), "n2", token
		if err := Join(soon(t), j); err == nil || !strings.Contains(err.Error(), "look up no..host") || Exists(j.Dir) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(n1.Invites()) != 1 || n1.Status().Members != 1 {
		t.Errorf("%d invitations, %d members", len(n1.Invites()), n1.Status().Members)
	}
}

func TestOnePlaceHasManyAddresses(t *testing.T) {
	t.Parallel()
	for one, other := range map[string]string{
		"localhost:7700": "127.0.0.1:7700", "LocalHost:07700": "127.0.0.1:7700", "[0:0::1]:7700": "[::1]:7700", "[::ffff:10.0.0.1]:1": "10.0.0.1:1",
		"Node.Example.com.:1": "node.example.com:1",
	} {
		if place(one) != place(other) {
			t.Errorf("%s is %s, and %s is %s", one, place(one), other, place(other))
		}
	}
	// Which both can be listened at.
	if place("127.0.0.1:7700") == place("[::1]:7700") || place("127.0.0.1:7700") == place("127.0.0.1:7701") {
		t.Error("two places are one")
	}
}

// Who was let in, and did not come to write it down, joins with the same token again.
func TestJoinAgain(t *testing.T) {
	t.Parallel()
	n1 := found(t, "n1")
	n1.open()
	leader(t, []*node{n1})
	text, _, err := n1.Invite(soon(t), "n2", 0)
	must(t, err)
	token, err := pki.ParseToken(text)
	must(t, err)
	n2 := &node{t: t, name: "n2", dir: filepath.Join(t.TempDir(), "data", "cluster"), at: loopback.Address()}
	j := Joining{Dir: n2.dir, Node: "n2", Address: n2.at, Token: text}
	r, err := j.request(token)
	must(t, err)
	_, _, err = enroll.Join(soon(t), token, r, j.Address, "")
	must(t, err)
	elsewhere := j
	elsewhere.Dir = filepath.Join(t.TempDir(), "cluster")
	if err := Join(soon(t), elsewhere); !errors.Is(err, pki.ErrUsed) {
		t.Errorf("another uses the token: %v", err)
	}
	must(t, Join(soon(t), j))
	n2.open()
	settled(t, []*node{n1, n2}, 2)
	for _, dir := range []string{j.Dir, elsewhere.Dir} {
		left, err := filepath.Glob(dir + ".*")
		if err != nil || len(left) != 0 {
			t.Errorf("%v are left, %v", left, err)
		}
	}
}

// FuzzDecodeRoster: what another node says that it knows.
func FuzzDecodeRoster(f *testing.F) {
	f.Add([]byte(`{"pyisolate_known_roster":1,"applied":1,"roster":{"pyisolate_roster":1,"members":{"n1":{"name":"n1","address":"h:1","keys":[{"hash":"AA==","until":"2026-01-01T00:00:00Z"}],"joined":"2026-01-01T00:00:00Z"}},"invites":null,"gossip":null,"gone":null}}`))
	f.Add([]byte(`{"pyisolate_known_roster":2}`))
	f.Add([]byte(`{`))
	f.Fuzz(func(t *testing.T, text []byte) {
		k, err := decodeRoster(text)
		if err != nil {
			return
		}
		again, err := encodeRoster(k)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeRoster(again); err != nil {
			t.Errorf("%q becomes %q: %v", text, again, err)
		}
	})
}
