package cluster

import (
	"bytes"
	"errors"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cluster/directory"
	"github.com/pyisolate/pyisolate/cluster/members"
	"github.com/pyisolate/pyisolate/cluster/pki"
	"github.com/pyisolate/pyisolate/cluster/roster"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/internal/loopback"
)

// The key of gossip is replaced while a node is down, which follows when it is back.
func TestRotateKeys(t *testing.T) {
	t.Parallel()
	nodes := form(t, 3)
	before := nodes[0].Status().Keys
	nodes[2].kill()
	await.That(t, "it is missed", func() bool { return nodes[0].presence.of("n3") != Alive })
	for _, n := range nodes[:2] { // somebody who has the key says otherwise
		n.presence.set("n3", Alive, "")
	}
	must(t, nodes[0].rotates(t))
	after := nodes[1].Status().Keys
	if len(before) != 1 || len(after) != 1 || slices.Equal(before, after) || !slices.Equal(nodes[0].Status().Keys, after) {
		t.Errorf("%v, then %v", before, after)
	}
	nodes[2] = nodes[2].again()
	settled(t, nodes, 3)
	await.That(t, "it has the new key alone", func() bool { return slices.Equal(nodes[2].Status().Keys, after) })
	// Two at once are one after the other.
	done := make(chan error, 2)
	for _, n := range nodes[:2] {
		go func() { done <- n.rotates(t) }()
	}
	must(t, errors.Join(<-done, <-done))
	last := nodes[1].Status().Keys
	if slices.Equal(last, after) || len(last) != 1 || !slices.Equal(nodes[2].Status().Keys, last) {
		t.Errorf("%v after %v", last, after)
	}
	// What somebody has added, or is left of a rotation that was not ended, does not come to be used: who was
	// removed may have it.
	var planted []string
	for n := range byte(2) {
		key := bytes.Repeat([]byte{n + 1}, members.KeySize)
		_, err := nodes[0].enrol(soon(t), roster.Command{Op: roster.AddKey, Key: key})
		must(t, err)
		planted = append(planted, members.KeyID(key))
	}
	must(t, nodes[2].rotates(t))
	if keys := nodes[0].Status().Keys; len(keys) != 1 || slices.Equal(keys, last) || slices.Contains(planted, keys[0]) {
		t.Errorf("%v after %v, when %v were planted", keys, last, planted)
	}
}

// rotates has a node replace the key of gossip, anew when the leader that it asked is lost, which says no more than that.
func (n *node) rotates(t *testing.T) (err error) {
	t.Helper()
	ctx := soon(t)
	await.Within(20*time.Second, func() bool {
		err = n.RotateKeys(ctx)
		return err == nil
	})
	return err
}

// again is the node after it was ended, with its files.
func (n *node) again(change ...func(*Config)) *node {
	n.t.Helper()
	next := &node{t: n.t, name: n.name, dir: n.dir, at: n.at}
	next.open(change...)
	return next
}

// All stop and start again, one of them at another address.
func TestRestart(t *testing.T) {
	t.Parallel()
	nodes := form(t, 3)
	cell := directory.Cell{Tenant: "acme", Name: "one"}
	nodes[0].claims(t, cell)
	for _, n := range nodes {
		n.close()
	}
	moved := loopback.Address()
	nodes[2] = nodes[2].again(func(c *Config) { c.Advertise = moved })
	nodes[1] = nodes[1].again()
	nodes[0] = nodes[0].again()
	settled(t, nodes, 3)
	await.That(t, "it is known where the node is", func() bool {
		m, _ := nodes[0].roster().Member("n3")
		return m.Address == moved
	})
	must(t, nodes[1].Group().Fence(soon(t)))
	if r, ok := nodes[1].Group().Find(cell); !ok || r.Phase != directory.Suspended {
		t.Errorf("%+v, %v", r, ok)
	}
}

// All stop and start again, each at another address, and none knows more of the others than where one gossips.
func TestAllElsewhere(t *testing.T) {
	t.Parallel()
	nodes := form(t, 3)
	for _, n := range nodes {
		n.close()
	}
	at := map[string]string{}
	for _, n := range nodes {
		at[n.name] = loopback.Address()
	}
	seed, err := after(at["n2"])
	must(t, err)
	for i, n := range nodes {
		nodes[i] = n.again(func(c *Config) { c.Advertise, c.Seeds = at[n.name], []string{seed} })
	}
	settled(t, nodes, 3)
	for _, n := range nodes {
		await.That(t, n.name+" knows where all are", func() bool {
			return !slices.ContainsFunc(n.roster().Members(), func(m roster.Member) bool { return m.Address != at[m.Name] })
		})
	}
	for i, n := range nodes { // and have no need of it any more
		n.close()
		nodes[i] = n.again(func(c *Config) { c.Advertise = at[n.name] })
	}
	settled(t, nodes, 3)
}

// While a node is down all others get other keys, and one that it has never heard of leads. It finds
// back: a member whose certificate is newer than those it knows is let in until it has caught up.
func TestReturnOfAStranger(t *testing.T) {
	t.Parallel()
	nodes := form(t, 3)
	n1, n2, n3 := nodes[0], nodes[1], nodes[2]
	n3.kill()
	for _, n := range []*node{n1, n2} {
		begun := time.Now().Unix()
		await.That(t, "another second, for certificates count in those", func() bool { return time.Now().Unix() > begun })
		must(t, n.identity.Renew(soon(t), n.renewal()))
	}
	n4 := join(t, n1, "n4")
	n4.open()
	await.That(t, "it is added", func() bool {
		servers, err := (directoryGroup{leader(t, nodes[:2]).Cluster}).Servers()
		return err == nil && len(servers) == 4
	})
	n3 = n3.again()
	settled(t, []*node{n1, n2, n3, n4}, 3)
	// From now on a newer certificate is not enough.
	key := pki.Peer{Node: pki.Node{Cluster: n3.ID(), Name: "n1"}, NotAfter: time.Now().Add(pki.MaxLife)}
	if err := n3.allow(key); err == nil {
		t.Error("a key that the roster does not have is let in")
	}
	for _, n := range []*node{n1, n2, n3} {
		if keys := len(must1(n.roster().Member("n2")).Keys); keys != 2 {
			t.Errorf("at %s: node n2 has %d keys", n.name, keys)
		}
	}
}

func must1[T any](v T, _ bool) T { return v }

// The others hear what a node says of itself.
func TestMeta(t *testing.T) {
	t.Parallel()
	n1 := found(t, "n1")
	var cells atomic.Uint64
	cells.Store(7)
	n1.open(func(c *Config) {
		c.Meta = func() members.Meta {
			return members.Meta{Cells: cells.Load(), Labels: map[string]string{"zone": "a"}}
		}
	})
	leader(t, []*node{n1})
	n2 := join(t, n1, "n2")
	n2.open()
	await.That(t, "it is known", func() bool { return n2.Status().Alive == 2 })
	cells.Store(8)
	await.That(t, "it is known what it has", func() bool {
		m := n2.Members()
		return len(m) == 2 && m[0].Meta.Cells == 8 && m[0].Meta.Labels["zone"] == "a" && m[0].Meta.Wire == n1.at
	})
	if note, err := readNote(n2.dir); err != nil || note.Founder || !n1.Founder() {
		t.Errorf("%+v, %v", note, err)
	}
	if _, err := readRoster(filepath.Join(n2.dir)); err != nil {
		t.Error(err)
	}
}
