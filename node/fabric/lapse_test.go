package fabric

import (
	"context"
	"testing"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/cluster/directory"
	"github.com/pyisolate/pyisolate/internal/await"
)

// A cell may be on its way to a node whose lease is over before the node has found out whether it is: nothing is noted of
// it then. Nobody would take that away, and the cell be passed over when it comes again.
func TestWhatComesWhenTheLeaseIsOverIsNotNoted(t *testing.T) {
	n := newWorld(t, 2).nodes["n2"] // it does not lead: see below
	g, err := n.spawn(soon(t), web, "r1")
	must(t, err)
	must(t, n.Save(soon(t), web, g.epoch, "c1", []string{"n2"}))
	n.fresh(t)
	r, _ := n.cluster.Group().Find(cellOf(web))
	await.That(t, "nobody asks what was agreed", func() bool {
		n.refreshes.mu.Lock()
		defer n.refreshes.mu.Unlock()
		if n.refreshes.running {
			return false
		}
		n.refreshes.running = true // nobody hears it
		return true
	})
	n.Fabric.mu.Lock()
	delete(n.owned, web) // what the node hears late of it may be told of as well, and waits, too
	n.Fabric.mu.Unlock()
	g.Kill("it is gone")
	await.That(t, "it gives its name up", func() bool {
		n.forget(web)
		_, here := n.names.local.Lookup(web)
		return !here
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.inherit(web, r)
	}()
	await.That(t, "it waits to know what was agreed", func() bool {
		n.refreshes.mu.Lock()
		defer n.refreshes.mu.Unlock()
		return n.refreshes.next != nil
	})
	noTime, cancel := context.WithCancel(context.Background())
	cancel()
	_ = n.cluster.Lease().Release(noTime) // the leader does not hear of it, and ends the session later
	n.refreshes.run(n.life, n.cluster.Group())
	<-done
	if now, _ := n.cluster.Group().Find(cellOf(web)); now.Owner != r.Owner {
		t.Skipf("the session has ended already: %+v", now)
	}
	if has := n.has(web); has.Epoch != 0 {
		t.Errorf("the node has %+v, in a session that it has not", has)
	}
	if len(n.inherited) > 0 {
		t.Errorf("it is told of %+v", <-n.inherited)
	}
}

// has is what a node takes for its own.
func (n *node) has(a actors.Address) directory.Record {
	n.Fabric.mu.Lock()
	defer n.Fabric.mu.Unlock()
	return n.owned[a]
}
