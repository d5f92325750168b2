package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"runtime"
	"time"

	"github.com/pyisolate/pyisolate/api/server"
	"github.com/pyisolate/pyisolate/cell/pydist"
	"github.com/pyisolate/pyisolate/cluster"
	"github.com/pyisolate/pyisolate/cluster/members"
	"github.com/pyisolate/pyisolate/cluster/wire"
	"github.com/pyisolate/pyisolate/kernel/numa"
	"github.com/pyisolate/pyisolate/kernel/probe"
	"github.com/pyisolate/pyisolate/kernel/stack"
	"github.com/pyisolate/pyisolate/node/fabric"
	"github.com/pyisolate/pyisolate/telemetry"
)

// ClusterDir is where in its data directory a node has what it needs as a member of a cluster. A
// node without it is a node by itself.
const ClusterDir = "cluster"

// openCluster takes part in the cluster that the node is a member of, if it is one. It does not wait
// for the others.
func (n *Node) openCluster(ctx context.Context) (err error) {
	dir := filepath.Join(n.config.Data, ClusterDir)
	if !cluster.Exists(dir) {
		return nil
	}
	n.hosts.set(1) // until there is a lease, none is valid
	n.fabric = fabric.New(fabric.Config{Node: tenant{n}, Margin: n.config.ClusterLease / 3, Inherit: n.heir.inherit, Logger: n.logger})
	n.cluster, err = cluster.Open(ctx, cluster.Config{
		Dir: dir, Listen: n.config.ClusterListen, Advertise: n.config.ClusterAdvertise,
		Gossip: n.config.GossipListen, GossipAdvertise: n.config.GossipAdvertise, Seeds: n.config.GossipSeeds,
		Meta: n.meta, Tenant: n.fabric, Changed: n.fabric.Changed,
		TTL: n.config.ClusterLease, Timeout: n.config.ClusterTimeout, Logger: n.logger,
	})
	if err != nil {
		return err
	}
	n.cells.may, n.cells.session = n.mayRun, n.fabric.Session
	return n.fabric.Bind(n.cluster)
}

// joinCluster has the server's cells be the cluster's.
func (n *Node) joinCluster(c *server.Config) {
	if n.cluster == nil {
		return
	}
	c.Cluster, c.Drain = n.cluster, n.Drain
	c.Fabric, c.Directory = n.fabric, n.fabric.Names()
}

// attach has the other nodes reach this one's cells.
func (n *Node) attach() error {
	if n.cluster == nil {
		return nil
	}
	n.fabric.Follow(n.server.Actors())
	n.heir.begin(n.server.Inherit)
	n.serving.Go(func() {
		if err := n.server.ServeNodes(n.cluster.Wire().Listener(wire.API), peerOf); err != nil {
			n.logger.Error("calls of other nodes' clients are not answered any more", slog.Any("error", err))
		}
	})
	return n.cluster.Attach(n.server.Actors())
}

// peerOf is the node at the other end of a connection of the wire.
func peerOf(c net.Conn) (string, error) {
	on, is := c.(*wire.Conn)
	if !is {
		return "", fmt.Errorf("a %T is not from the port between nodes", c)
	}
	return on.Peer().Name, nil
}

// leaveWithin is how long a node that ends waits for the others, for each of the two leads that it may
// have: those may have ended, too.
const leaveWithin = 3 * time.Second

// closeCluster ends the node's part, when it has no cells any more, and the store.
func (n *Node) closeCluster() (err error) {
	if n.store != nil {
		n.handOver()
		err = n.store.Close()
	}
	if n.fabric != nil {
		n.fabric.Close()
	}
	if n.cluster != nil {
		ctx, cancel := context.WithTimeout(context.Background(), leaveWithin)
		defer cancel()
		err = errors.Join(err, n.cluster.Close(ctx))
	}
	return err
}

// handOver has another node lead the policies' group, if this one does.
func (n *Node) handOver() {
	if n.cluster == nil || !n.store.Leads() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveWithin)
	defer cancel()
	if err := n.store.HandOver(ctx); err != nil {
		n.logger.Info("the lead of the policies is not handed over", slog.Any("error", err))
	}
}

// mayRun says why a cell of a cluster's node may not be started now.
func (n *Node) mayRun() error {
	if err := n.fabric.Valid(); err != nil {
		return err
	}
	if err := n.store.Fresh(); err != nil {
		return fmt.Errorf("this node may have old policies: %w", err)
	}
	return nil
}

// cutOff are the reasons of a cluster's node for starting no cells.
func (n *Node) cutOff() []string {
	if n.cluster == nil {
		return nil
	}
	if err := n.mayRun(); err != nil {
		return []string{err.Error()}
	}
	return nil
}

// Cluster is the node's part in its cluster; nil of a node by itself.
func (n *Node) Cluster() *cluster.Cluster { return n.cluster }

// ---- what it says of itself ----------------------------------------------------------------------

// tellSelf finds out what does not change while the node runs.
func (n *Node) tellSelf() {
	m := &members.Meta{CPUs: uint64(runtime.NumCPU()) * 1000, Memory: uint64(n.config.CapacityMemory), Cells: uint64(cmp.Or(n.config.Cells, MaxCells)),
		Python: abi(n.python), Backends: []string{"subinterpreter", "process"}, NUMA: 1, Labels: n.config.Labels}
	if t, err := numa.Read(); err == nil {
		m.NUMA = uint64(max(len(t.Nodes), 1))
	}
	findings, _ := stack.CheckAll(probe.Host())
	for _, f := range findings {
		if f.Met {
			m.Layers = append(m.Layers, word(f.Requirement))
		}
	}
	if n.kernel.Facts().Layer != "" {
		m.Layers = append(m.Layers, "programs")
	}
	n.self.Store(m)
}

// abi is the Python's as its modules have it.
func abi(d pydist.Dist) string {
	threads := ""
	if d.FreeThreaded {
		threads = "t"
	}
	return fmt.Sprintf("cpython-%d%d%s", d.Major, d.Minor, threads)
}

// word is a name without spaces.
func word(name string) string {
	out := []byte(name)
	for i, c := range out {
		if c <= ' ' || c > '~' {
			out[i] = '-'
		}
	}
	return string(out[:min(len(out), 63)])
}

// say tells the others that its state is another.
func (n *Node) say() {
	if n.cluster != nil {
		n.cluster.Say()
	}
}

// meta is what the node says of itself to the others.
func (n *Node) meta() members.Meta {
	m := members.Meta{Labels: n.config.Labels}
	if self := n.self.Load(); self != nil {
		m = *self
	}
	room := n.cells.capacity.room()
	m.Running, m.Taken = uint64(room.CellsUsed), uint64(room.MemoryUsed)
	m.Closed = n.closedFor()
	return m
}

// closedFor is a word for why the node takes no cells; "": it does.
func (n *Node) closedFor() string {
	switch s := n.State(); {
	case s != Ready:
		return string(s)
	case n.store.Fresh() != nil:
		return "behind"
	}
	return ""
}

// tenant is the node as what runs cells for the cluster.
type tenant struct{ *Node }

var _ fabric.Node = tenant{}

// Kill implements fabric.Node.
func (t tenant) Kill(ctx context.Context, reason string) error {
	return t.cells.capacity.kill(ctx, reason)
}

// Lease implements fabric.Node. It comes before there is a launcher, too.
func (t tenant) Lease(until time.Duration) { t.hosts.set(until) }

// Meta implements fabric.Node.
func (t tenant) Meta() members.Meta { return t.meta() }

// Room implements fabric.Node.
func (t tenant) Room() fabric.Room {
	r := t.cells.capacity.room()
	r.Cells = cmp.Or(r.Cells, MaxCells)
	if why := t.closedFor(); why != "" {
		r.Closed = "it is " + why
	}
	return r
}

// clusterStats are for metrics.
func (n *Node) clusterStats() telemetry.ClusterStats {
	s := n.cluster.Status()
	out := telemetry.ClusterStats{Members: s.Members, Voters: s.Voters, Alive: s.Alive, Leads: s.Leader == s.Self, Led: s.Leader != "",
		PoliciesLed: s.PolicyLeader != "", Voter: s.Voter, Leased: s.Leased, Applied: s.Applied, Failed: s.Failure != "",
		Certificate: s.Certificate, Wire: s.Wire, Lapses: n.fabric.Lapses()}
	if n.store != nil {
		out.Staleness = n.store.Staleness()
		all, _ := n.store.Members() // none while it starts
		for _, m := range all {
			if m.Voter {
				out.PolicyVoters++
			}
		}
	}
	if r := n.cluster.Remote(); r != nil {
		out.Remote = r.Stats()
	}
	return out
}
