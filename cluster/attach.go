package cluster

import (
	"context"
	"errors"
	"fmt"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cluster/remote"
	"github.com/pyisolate/pyisolate/cluster/wire"
)

// Attach lets the cells of a System be reached from other nodes, and theirs from here by
// [Cluster.Via]. A process does so for one Cluster at a time, see [remote.Remote]; Close ends it,
// and the System has to live as long.
func (c *Cluster) Attach(system *actors.System) error {
	c.looking.Lock() // so that Close and another Attach wait
	defer c.looking.Unlock()
	switch {
	case c.life.Err() != nil:
		return ErrClosed
	case c.remote.Load() != nil:
		return errors.New("the cluster has a system of actors already")
	}
	r, err := remote.New(remote.Config{System: system, Self: c.Self(), Logger: c.log}.Over(c.wire))
	if err != nil {
		return fmt.Errorf("join the actors of this node to the others': %w", err)
	}
	c.remote.Store(r)
	r.SetPeers(c.others())
	return nil
}

// Remote is what Attach has made, or nil.
func (c *Cluster) Remote() *remote.Remote { return c.remote.Load() }

// Via is the way to the cells of another node, for an entry of actors.Directory. Without Attach
// nothing is reached by it.
func (c *Cluster) Via(node string) actors.Via { return via{c, node} }

type via struct {
	cluster *Cluster
	node    string
}

// Ask implements actors.Via.
func (v via) Ask(ctx context.Context, env actors.Envelope) actors.Reply {
	r := v.cluster.remote.Load()
	if r == nil {
		return actors.Reply{Err: cell.Errorf(cell.Busy, "this node is not joined to node %s", v.node)}
	}
	return r.Ask(ctx, v.node, env)
}

// followPeers keeps links to the nodes that there are.
func (c *Cluster) followPeers() {
	if r := c.remote.Load(); r != nil {
		r.SetPeers(c.others())
	}
}

// gone ends what waits for answers of a node that is known to be dead, or has no session, and what waits here by
// way of it: a receiver whose connection nobody has at its other end would be given what others wait for.
func (c *Cluster) gone(node string) {
	if node == c.Self() {
		return
	}
	if r := c.remote.Load(); r != nil {
		r.Disconnect(node)
	}
	c.wire.Cut(node, wire.API)
}
