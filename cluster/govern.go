package cluster

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/cluster/group"
	"github.com/pyisolate/pyisolate/cluster/roster"
)

const (
	// governEvery is how often a leader looks whether its group is as the roster says.
	governEvery = 200 * time.Millisecond
	// changeTime bounds one change of a group.
	changeTime = 5 * time.Second
	// behindBy is how many entries a node may be behind that is to vote.
	behindBy = 64
)

// membership is a group whose servers are to be the nodes of the roster.
type membership interface {
	// Leading tells whether this node leads it.
	Leading() bool
	Servers() (map[string]bool, error)
	AddNonvoter(ctx context.Context, node string) error
	AddVoter(ctx context.Context, node string) error
	Remove(ctx context.Context, node string) error
	HandOver(ctx context.Context) error
	// Behind is how many entries another node lacks, of those that this one has.
	Behind(ctx context.Context, node string, r report) (uint64, error)
}

// govern keeps the groups that this node leads in step with the roster.
func (c *Cluster) govern() {
	tick := time.NewTicker(governEvery)
	defer tick.Stop()
	for {
		if d := (directoryGroup{c}); d.Leading() {
			c.reconcile(d, true)
		}
		if p := c.policies.Load(); p != nil && p.Leading() {
			c.reconcile(p, false)
		}
		select {
		case <-c.life.Done():
			return
		case <-tick.C:
		}
	}
}

// reconcile does what there is to do in a group.
func (c *Cluster) reconcile(g membership, decides bool) {
	steps, err := c.steps(c.life, g, decides)
	if err == nil && len(steps) > 0 {
		// A leader of the policies may know an older roster, by which it would remove a new node.
		ctx, cancel := context.WithTimeout(c.life, changeTime)
		defer cancel()
		if err = c.group.Fence(ctx); err == nil {
			steps, err = c.steps(ctx, g, decides)
		}
	}
	for _, s := range steps {
		if err != nil {
			break
		}
		err = c.take(g, s)
	}
	if err != nil && c.life.Err() == nil {
		c.log.Info("the membership of a group is not yet as the roster says", "error", err)
	}
}

// steps finds out what to do in a group.
func (c *Cluster) steps(ctx context.Context, g membership, decides bool) ([]step, error) {
	servers, err := g.Servers()
	if err != nil {
		return nil, err
	}
	s := situation{
		self: c.Self(), members: c.group.Roster().Members(), servers: servers, ready: map[string]bool{}, decides: decides,
	}
	if s.other, err = c.votersBeside(decides); err != nil {
		return nil, err
	}
	var asked []string
	for _, m := range s.members {
		if !servers[m.Name] {
			asked = append(asked, m.Name)
		}
	}
	for name, r := range c.reports(ctx, asked) {
		s.ready[name] = false
		if _, added := servers[name]; added {
			behind, err := g.Behind(ctx, name, r)
			s.ready[name] = err == nil && behind <= behindBy
		}
	}
	return s.plan(), nil
}

// votersBeside are those of the policies for who decides in the directory, and the other way round, as
// this node knows, and whether they vote. It is nil when there are no policies.
func (c *Cluster) votersBeside(decides bool) (map[string]bool, error) {
	if !decides {
		return directoryGroup{c}.Servers()
	}
	if p := c.policies.Load(); p != nil {
		return p.Servers()
	}
	return nil, nil
}

func (c *Cluster) take(g membership, s step) error {
	ctx, cancel := context.WithTimeout(c.life, changeTime)
	defer cancel()
	var err error
	switch s.do {
	case addServer:
		err = g.AddNonvoter(ctx, s.node)
	case promoteServer:
		err = g.AddVoter(ctx, s.node)
	case removeServer:
		err = g.Remove(ctx, s.node)
	case handLead:
		err = g.HandOver(ctx)
	case notePromotion:
		_, err = c.group.Enrol(ctx, roster.Command{Op: roster.Promote, Name: s.node})
	}
	if err != nil {
		return fmt.Errorf("%s node %s: %w", s.do, s.node, err)
	}
	c.log.Info("a group's membership changes", "change", string(s.do), "node", s.node)
	return nil
}

// directoryGroup is the Raft group of directory and roster.
type directoryGroup struct{ c *Cluster }

var _ membership = directoryGroup{}

// Leading implements membership.
func (d directoryGroup) Leading() bool { return d.c.group.Leading() }

// Servers implements membership.
func (d directoryGroup) Servers() (map[string]bool, error) {
	f := d.c.group.Raft().GetConfiguration()
	if err := f.Error(); err != nil {
		return nil, err
	}
	all := map[string]bool{}
	for _, s := range f.Configuration().Servers {
		all[string(s.ID)] = s.Suffrage == raft.Voter
	}
	return all, nil
}

// AddNonvoter implements membership.
func (d directoryGroup) AddNonvoter(ctx context.Context, node string) error {
	return group.Settle(ctx, d.c.group.Raft().AddNonvoter(raft.ServerID(node), raft.ServerAddress(node), 0, changeTime))
}

// AddVoter implements membership.
func (d directoryGroup) AddVoter(ctx context.Context, node string) error {
	return group.Settle(ctx, d.c.group.Raft().AddVoter(raft.ServerID(node), raft.ServerAddress(node), 0, changeTime))
}

// Remove implements membership.
func (d directoryGroup) Remove(ctx context.Context, node string) error {
	return group.Settle(ctx, d.c.group.Raft().RemoveServer(raft.ServerID(node), 0, changeTime))
}

// HandOver implements membership.
func (d directoryGroup) HandOver(ctx context.Context) error {
	d.c.handOver(ctx)
	return nil
}

// Behind implements membership.
func (d directoryGroup) Behind(_ context.Context, _ string, r report) (uint64, error) {
	now := d.c.group.Applied()
	return now - min(now, r.Applied), nil
}
