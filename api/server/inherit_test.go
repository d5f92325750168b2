package server_test

import (
	"fmt"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/api/server"
	"github.com/pyisolate/pyisolate/checkpoint"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/policystore"
)

// inherits has cells be this node's, of whose checkpoints it has the copies, since the node that had them is gone.
func (n *target) inherits(t *testing.T, count int) (all []server.Place) {
	t.Helper()
	for i := range count {
		name := fmt.Sprintf("c%d", i)
		draft, err := n.archive.Seal(checkpoint.Header{Tenant: "default", Cell: name, Epoch: 7, Python: "cpython-314", Created: time.Now(), Chunk: 1 << 10, Compression: checkpoint.None}, nil, nil)
		must(t, err)
		_, err = draft.Write([]byte("state"))
		must(t, err)
		info, err := draft.Keep()
		must(t, err)
		a := actors.Address{Tenant: "default", Name: name}
		all = append(all, server.Place{Address: a, Node: "n1", Session: sessionOf, Epoch: 8, Claim: name, Phase: server.Active, Checkpoint: info.ID, Copies: []string{"n1"}})
	}
	n.world.mu.Lock()
	for _, p := range all {
		n.world.places[p.Address] = p
	}
	n.world.mu.Unlock()
	for _, p := range all {
		n.server.Inherit(p)
	}
	return all
}

// goOn waits until cells run here, and sees that no other node was given them meanwhile.
func (n *target) goOn(t *testing.T, all []server.Place) {
	t.Helper()
	await.That(t, "all run, or were given up", func() bool {
		lost := int64(0)
		for _, p := range all {
			if n.world.at(p.Address).Node != "n1" {
				lost++
			}
		}
		n.world.mu.Lock()
		defer n.world.mu.Unlock()
		return n.alive.Load()+lost >= int64(len(all)) && n.world.hands == 0
	})
	for _, p := range all {
		now := n.world.at(p.Address)
		if now.Node != "n1" || now.Epoch != 8 {
			t.Errorf("%s is with %q in epoch %d", p.Address, now.Node, now.Epoch)
		}
		n.world.mu.Lock()
		if !n.world.ran[p.Address] {
			t.Errorf("it is not said that %s runs: its end would be none", p.Address)
		}
		n.world.mu.Unlock()
	}
}

// A node that is gone may have had many cells of one tenant. Their heir has all of them, some at a time.
func TestManyAreInherited(t *testing.T) {
	n := newTarget(t)
	all := n.inherits(t, 40)
	for made := range len(all) - 8 {
		await.That(t, "as many are made as may be", func() bool { return len(n.asked) >= made+8 })
		if got := len(n.asked) - made; got != 8 {
			t.Fatalf("%d are made at once", got)
		}
		n.making <- struct{}{}
	}
	close(n.making)
	n.goOn(t, all)
}

// What is kept for cells on their way from other nodes is nothing that an heir is refused for.
func TestInheritedBesideMoves(t *testing.T) {
	n := newTarget(t)
	close(n.making)
	from := n.peer("n2")
	for i := range 33 {
		name := fmt.Sprintf("m%d", i)
		a := actors.Address{Tenant: "default", Name: name}
		n.world.mu.Lock()
		n.world.places[a] = server.Place{Address: a, Node: "n2", Session: sessionOf, Epoch: 7, Claim: name, Phase: server.Active}
		n.world.mu.Unlock()
		err := reserve(t.Context(), from, wanted(name, name))
		if full := connect.CodeOf(err) == connect.CodeResourceExhausted; full != (i == 32) || !full && err != nil {
			t.Fatalf("cell %d on its way: %v", i, err)
		}
	}
	before := n.alive.Load()
	all := n.inherits(t, 1)
	await.That(t, "it is brought up", func() bool { return n.alive.Load() > before || n.world.at(all[0].Address).Node != "n1" })
	n.goOn(t, all)
}

// What passes costs a cell no heir.
func TestInheritedAgain(t *testing.T) {
	for name, refusal := range map[string]error{
		"a host that is busy":   nil,
		"policies on their way": fmt.Errorf("%w: no leader was heard of yet", policystore.ErrStale),
	} {
		t.Run(name, func(t *testing.T) {
			n := newTarget(t)
			close(n.making)
			n.busy.Store(3)
			n.refusal = refusal
			n.goOn(t, n.inherits(t, 1))
			if got := n.busy.Load(); got != -1 {
				t.Errorf("%d tries are left", got)
			}
		})
	}
}
