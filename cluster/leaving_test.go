package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cluster/directory"
	"github.com/pyisolate/pyisolate/cluster/enroll"
	"github.com/pyisolate/pyisolate/cluster/group"
	"github.com/pyisolate/pyisolate/cluster/pki"
	"github.com/pyisolate/pyisolate/cluster/roster"
	"github.com/pyisolate/pyisolate/cluster/wire"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/internal/loopback"
)

// A node is removed while it runs: nobody talks to it any more, its guests end, and its cells are
// not its own.
func TestRemove(t *testing.T) {
	t.Parallel()
	nodes := form(t, 3)
	n1, n3 := nodes[0], nodes[2]
	cell := directory.Cell{Tenant: "acme", Name: "one"}
	seat := n3.claims(t, cell)
	if err := n1.Remove(soon(t), "n9", false); !errors.Is(err, roster.ErrNoMember) {
		t.Errorf("nobody is removed: %v", err)
	}
	if err := n1.Remove(soon(t), "n1", true); err == nil || !strings.Contains(err.Error(), "leave") {
		t.Errorf("a node removes itself: %v", err)
	}
	_, _, err := n3.Invite(soon(t), "", 0)
	must(t, err)
	n1.removes(t, "n3", false)
	if open := n1.Invites(); len(open) != 0 {
		t.Errorf("it can come back by an invitation of its own: %+v", open)
	}
	if servers, err := (directoryGroup{n1.Cluster}).Servers(); err != nil || len(servers) != 2 {
		t.Errorf("%v, %v", servers, err)
	}
	for _, n := range nodes[:2] {
		await.That(t, n.name+" refuses it", func() bool {
			_, err := n3.Wire().Dial(soon(t), n.name, wire.Control)
			return err != nil
		})
	}
	await.That(t, "its guests end", func() bool {
		n3.mu.Lock()
		defer n3.mu.Unlock()
		return slices.Contains(n3.lost, seat)
	})
	await.That(t, "its cell is nobody's", func() bool {
		r, ok := n1.Group().Find(cell)
		return ok && r.Phase == directory.Suspended && r.Epoch == 2
	})
	// Another may have the name, and not the keys.
	n3.kill()
	again := join(t, nodes[1], "n3")
	again.open()
	settled(t, []*node{n1, nodes[1], again}, 3)
}

// Who was removed, or has left, is not let in again with the token that it joined with, nor when its first key is
// remembered no more.
func TestAUsedTokenIsGoodForNobody(t *testing.T) {
	t.Parallel()
	n1 := found(t, "n1")
	n1.open()
	settled(t, []*node{n1}, 1)
	for name, end := range map[string]func(){
		"n2": func() { must(t, n1.Remove(soon(t), "n2", false)) },
		"n3": func() {
			_, err := n1.Group().Enrol(soon(t), roster.Command{Op: roster.Retire, Name: "n3"})
			must(t, err)
			_, err = n1.answerFarewell(soon(t), "n3", nil)
			must(t, err)
			await.That(t, "it is struck", func() bool { return !n1.isMember("n3") })
		},
	} {
		text, _, err := n1.Invite(soon(t), name, 0)
		must(t, err)
		token := parsed(t, text)
		request, err := pki.NewRequest(name)
		must(t, err)
		join := func() error {
			_, _, err := enroll.Join(soon(t), token, request, loopback.Address(), "")
			return err
		}
		must(t, join())
		must(t, join()) // its answer may have been lost
		for n := range byte(4) {
			must(t, n1.noteKey(soon(t), name, [32]byte{n}, time.Now().Add(time.Hour)))
		}
		end()
		if err := join(); !errors.Is(err, pki.ErrToken) || n1.isMember(name) {
			t.Errorf("%s is back: %v", name, err)
		}
	}
}

// The node that leads is removed by another.
func TestRemoveTheLeader(t *testing.T) {
	t.Parallel()
	nodes := form(t, 3)
	leads := leader(t, nodes)
	var rest []*node
	for _, n := range nodes {
		if n != leads {
			rest = append(rest, n)
		}
	}
	rest[0].removes(t, leads.name, false)
	leads.kill()
	for _, n := range rest {
		await.That(t, n.name+" has a leader", func() bool {
			s := n.Status()
			return s.Leader != "" && s.Leader != leads.name && s.Members == 2 && s.Leased
		})
	}
}

// What a member that does not vote says of the groups cuts nobody off: they would count on a node that nobody
// talks to.
func TestRemovalByAnInsidersWord(t *testing.T) {
	t.Parallel()
	nodes := form(t, 2)
	leads := leader(t, nodes) // it goes, so that the groups take a while
	stays := nodes[0]
	if stays == leads {
		stays = nodes[1]
	}
	n3 := join(t, stays, "n3")
	fill(t, leads) // so that what lacks all of it does not come to vote
	id, err := pki.LoadIdentity(filepath.Join(n3.dir, identityFile))
	must(t, err)
	in := newInsider(t, id, n3.at, stays)
	must(t, in.Handle(topicReport, func(context.Context, string, []byte) ([]byte, error) {
		return json.Marshal(report{Directory: []string{stays.name}, Policies: []string{stays.name}})
	}))
	await.That(t, "its word is heard", func() bool {
		r, err := stays.ask(soon(t), "n3")
		return err == nil && without(r.Directory, leads.name)
	})
	stays.removes(t, leads.name, false)
	await.That(t, "who stays leads alone", func() bool { return stays.group.Leading() })
	if servers, err := (directoryGroup{stays.Cluster}).Servers(); err != nil || servers["n3"] || slices.Contains(names(directoryGroup{stays.Cluster}), leads.name) {
		t.Errorf("%v, %v", servers, err)
	}
	must(t, stays.Group().Fence(soon(t)))
}

// fill makes the log longer than what a node may lack that is to vote. A busy machine loses leaders meanwhile.
func fill(t *testing.T, n *node) {
	t.Helper()
	ctx, i := soon(t), 0
	await.That(t, "the log is long", func() bool {
		i++
		seat, _ := n.Lease().Seat()
		_, _ = n.Group().Propose(ctx, directory.Command{
			Op: directory.Claim, Cell: directory.Cell{Tenant: "acme", Name: strconv.Itoa(i)}, Seat: seat,
		})
		return n.Group().Applied() > behindBy
	})
}

// A voter does not go when those who stay could not agree.
func TestQuorum(t *testing.T) {
	t.Parallel()
	nodes := form(t, 3)
	n1 := nodes[0]
	nodes[2].kill()
	err := n1.Remove(soon(t), "n2", false)
	if !errors.Is(err, ErrQuorum) || !strings.Contains(err.Error(), "n3") {
		t.Errorf("%v", err)
	}
	if err := nodes[1].MayLeave(soon(t)); !errors.Is(err, ErrQuorum) {
		t.Errorf("it may leave: %v", err)
	}
	if err := nodes[1].Leave(soon(t)); !errors.Is(err, ErrQuorum) {
		t.Errorf("it leaves: %v", err)
	}
	n1.removes(t, "n3", false) // the one that is down may go
	await.That(t, "two are left", func() bool { return n1.Status().Members == 2 && n1.Status().Voters == 2 })
	// By force both are not needed, as long as they can agree on it now.
	n1.removes(t, "n2", true)
	nodes[1].kill()
	await.That(t, "it is alone", func() bool {
		s := n1.Status()
		return s.Members == 1 && s.Voters == 1 && s.Leader == "n1" && s.Leased
	})
	if err := n1.Leave(soon(t)); !errors.Is(err, roster.ErrLast) {
		t.Errorf("the last one leaves: %v", err)
	}
}

// Where no majority is, nobody waits as long as he may for what would need it.
func TestNoMajority(t *testing.T) {
	t.Parallel()
	nodes := form(t, 2)
	n1 := nodes[0]
	nodes[1].kill()
	var asked sync.WaitGroup
	for what, ask := range map[string]func(context.Context) error{
		"remove":          func(ctx context.Context) error { return n1.Remove(ctx, "n2", false) },
		"remove by force": func(ctx context.Context) error { return n1.Remove(ctx, "n2", true) },
		"leave":           n1.Leave,
		"rotate the keys": n1.RotateKeys,
	} {
		asked.Go(func() {
			ctx := soon(t)
			if err := ask(ctx); !errors.Is(err, group.ErrNoLeader) || ctx.Err() != nil {
				t.Errorf("%s: %v; the caller's time: %v", what, err, ctx.Err())
			}
		})
	}
	asked.Wait()
}

// A node leaves, without the others waiting for its lease, and joins again.
func TestLeave(t *testing.T) {
	t.Parallel()
	nodes := form(t, 3)
	leads := leader(t, nodes)
	var rest []*node
	for _, n := range nodes {
		if n != leads {
			rest = append(rest, n)
		}
	}
	await.That(t, "it has the authority", func() bool { return leads.Status().Authority })
	ctx := soon(t)
	await.That(t, "it leaves", func() bool { // again when too few answer in time, or the lead is lost
		err := leads.Leave(ctx)
		if err != nil {
			t.Log(err)
		}
		return err == nil
	})
	leads.close()
	if Exists(leads.dir) {
		t.Error("it is a member still")
	}
	if _, err := os.Stat(filepath.Join(leads.dir, authorityFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it has the authority's key still: %v", err)
	}
	for _, n := range rest {
		await.That(t, n.name+" goes on", func() bool {
			s := n.Status()
			return s.Leader != "" && s.Leader != leads.name && s.Members == 2 && s.Leased && n.Group().Sessions()[leads.name] == 0
		})
	}
	token, _, err := rest[0].Invite(soon(t), leads.name, 0)
	must(t, err)
	again := &node{t: t, name: leads.name, dir: leads.dir, at: loopback.Address()}
	must(t, Join(soon(t), Joining{Dir: again.dir, Node: again.name, Address: again.at, Token: token}))
	again.open()
	settled(t, append(rest, again), 3)
	if err := rest[0].Withdraw(soon(t), "0123456789abcdef"); !errors.Is(err, roster.ErrNoInvite) {
		t.Errorf("%v", err)
	}
	if _, _, err := rest[0].Invite(soon(t), "n9", 2*pki.MaxInvite); err == nil {
		t.Error("an invitation for ever")
	}
}
