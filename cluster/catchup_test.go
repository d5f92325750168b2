package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cluster/pki"
	"github.com/pyisolate/pyisolate/cluster/roster"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/internal/loopback"
)

// A member that lies about who is a node, to one that has just been started and asks: it believes
// nothing that is in the way of the truth, and nothing for good.
func TestForgedRoster(t *testing.T) {
	t.Parallel()
	nodes := form(t, 3)
	n1, n2, n3 := nodes[0], nodes[1], nodes[2]
	for _, n := range nodes {
		n.close()
	}
	honest, err := readRoster(n3.dir)
	must(t, err)
	forged := honest.roster.Copy()
	invented := sha256.Sum256([]byte("somebody"))
	for _, c := range []roster.Command{
		{Op: roster.Remove, Name: "n1"}, {Op: roster.Remove, Name: "n3"}, {Op: roster.Move, Name: "n2", Address: "127.0.0.1:9"},
		{Op: roster.Renew, Name: "n2", Key: invented[:], Until: time.Now().Add(time.Hour)},
	} {
		_, err := forged.Apply(c)
		must(t, err)
	}
	id, err := pki.LoadIdentity(filepath.Join(n2.dir, identityFile))
	must(t, err)
	liar := newInsider(t, id, n2.at, n3)
	must(t, liar.Handle(topicRoster, func(context.Context, string, []byte) ([]byte, error) {
		return encodeRoster(known{forged, math.MaxUint64})
	}))
	file := filepath.Join(n3.dir, rosterFile)
	before, err := os.ReadFile(file)
	must(t, err)

	n3 = n3.again()
	await.That(t, "it is lied to", func() bool { return len(n3.hints.all()) == 1 })
	n1Key := [sha256.Size]byte(member(t, honest.roster, "n1").Keys[0].Hash)
	peer := func(name string, key [sha256.Size]byte) pki.Peer {
		return pki.Peer{Node: pki.Node{Cluster: n3.ID(), Name: name}, Key: key}
	}
	if err := n3.allow(peer("n1", n1Key)); err != nil || !n3.isMember("n1") || !slices.Contains(n3.others(), "n1") {
		t.Errorf("a node is gone because another says so: %v", err)
	}
	await.That(t, "it looks for node n2 where it is, too", func() bool { // others have turns of their own
		at, err := n3.lookup("n2")
		must(t, err)
		return at == n2.at
	})
	if after, err := os.ReadFile(file); err != nil || !bytes.Equal(before, after) {
		t.Errorf("what another says is written down: %s, %v", after, err)
	}

	liar.close()
	nodes = []*node{n1.again(), n2.again(), n3}
	settled(t, nodes, 3)
	if err := n3.allow(peer("n2", invented)); err == nil || len(n3.hints.all()) != 0 {
		t.Errorf("an invented key is let in; %d hints", len(n3.hints.all()))
	}
	if k := n3.known.Load(); k.applied > n3.Group().Applied() {
		t.Errorf("it goes by a roster of change %d; %d are known", k.applied, n3.Group().Applied())
	}
}

func member(t *testing.T, r *roster.State, name string) roster.Member {
	t.Helper()
	m, ok := r.Member(name)
	if !ok {
		t.Fatalf("no node %s", name)
	}
	return m
}

// A node that runs and is not reached while the others get new keys lets them in afterwards.
func TestCutOff(t *testing.T) {
	t.Parallel()
	n1 := found(t, "n1")
	n1.open()
	n2 := join(t, n1, "n2")
	n2.open()
	n3 := &node{t: t, name: "n3", dir: filepath.Join(t.TempDir(), "cluster"), at: loopback.Address()}
	way := newProxy(t, n3.at)
	gossip, err := after(n3.at)
	must(t, err)
	token, _, err := n1.Invite(soon(t), "n3", 0)
	must(t, err)
	must(t, Join(soon(t), Joining{Dir: n3.dir, Node: "n3", Address: way.at(), Gossip: gossip, Token: token}))
	n3.open(func(c *Config) { c.Listen, c.Gossip = n3.at, gossip })
	nodes := []*node{n1, n2, n3}
	settled(t, nodes, 3)
	way.cut(true)
	notLead := func() { // which it may come to on a busy machine, since it reaches the others
		if n3.group.Leading() {
			_ = n3.group.Raft().LeadershipTransfer().Error()
		}
	}
	await.That(t, "it has heard no leader for long", func() bool { notLead(); return !n3.Status().Current })
	for _, n := range []*node{n1, n2} {
		await.That(t, n.name+" has another key", func() bool {
			notLead()
			ctx, cancel := context.WithTimeout(soon(t), 5*time.Second)
			defer cancel()
			return n.identity.Renew(ctx, n.renewal()) == nil
		})
	}
	way.cut(false)
	settled(t, nodes, 3)
	if keys := member(t, n3.roster(), "n1").Keys; len(keys) != 2 {
		t.Errorf("it knows %d keys of node n1", len(keys))
	}
}

// proxy is a way to a node that can be cut.
type proxy struct {
	net.Listener
	to   string
	work sync.WaitGroup

	mu    sync.Mutex
	down  bool
	conns map[net.Conn]bool
}

func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &proxy{Listener: l, to: to, conns: map[net.Conn]bool{}}
	p.work.Go(p.serve)
	t.Cleanup(func() {
		_ = l.Close()
		p.cut(true)
		p.work.Wait()
	})
	return p
}

func (p *proxy) at() string { return p.Addr().String() }

func (p *proxy) cut(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
	for c := range p.conns {
		_ = c.Close()
		delete(p.conns, c)
	}
}

// keep closes what comes while the way is cut.
func (p *proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		_ = c.Close()
		return false
	}
	p.conns[c] = true
	return true
}

func (p *proxy) serve() {
	for {
		from, err := p.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("tcp", p.to)
		if err != nil {
			_ = from.Close()
			continue
		}
		if !p.keep(from) || !p.keep(to) {
			_, _ = from.Close(), to.Close()
			continue
		}
		for _, way := range [][2]net.Conn{{from, to}, {to, from}} {
			p.work.Go(func() {
				_, _ = io.Copy(way[0], way[1])
				_, _ = from.Close(), to.Close()
			})
		}
	}
}
