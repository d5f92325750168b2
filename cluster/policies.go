package cluster

import (
	"context"
	"errors"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/cluster/wire"
	"github.com/pyisolate/pyisolate/policystore"
)

// PolicyGroup is the Raft group of the policies, as Govern needs it. Servers are named as nodes. Its
// methods may be called from any goroutine.
type PolicyGroup interface {
	// Leader of the group, or "".
	Leader() string
	// Servers of the group, and whether each of them votes.
	Servers() (map[string]bool, error)
	// AddNonvoter, AddVoter and Remove change them, at the leader. AddVoter promotes.
	AddNonvoter(ctx context.Context, node string) error
	AddVoter(ctx context.Context, node string) error
	Remove(ctx context.Context, node string) error
	// Hand gives the lead to another voter.
	Hand(ctx context.Context) error
	// Progress tells which entry of the log was applied here, and which is the last here.
	Progress() (applied, last uint64)
	// Answer does at the leader what another node has forwarded.
	Answer(ctx context.Context, from string, request []byte) []byte
}

// Policies is how the policy store of this node becomes one of the cluster's. The first node begins
// the group; the others are added to it, see Govern.
func (c *Cluster) Policies() *policystore.Cluster {
	p := &policystore.Cluster{Transport: c.transport(wire.Policy), Timeout: c.config.Timeout}
	if c.note.Founder {
		p.Bootstrap = []raft.Server{{ID: raft.ServerID(c.Self()), Address: raft.ServerAddress(c.Self())}}
	}
	return p
}

// Govern keeps the membership of the policies' group in step with the roster whenever this node
// leads it, and answers what other nodes forward. It is called once. The group has to live until
// Close has returned, or answer with errors.
func (c *Cluster) Govern(p PolicyGroup) error {
	if !c.policies.CompareAndSwap(nil, &policies{p, c.Self()}) {
		return errors.New("the cluster governs a group of policies already")
	}
	return c.control.Handle(topicPolicy, func(ctx context.Context, from string, request []byte) ([]byte, error) {
		return p.Answer(ctx, from, request), nil
	})
}

// policies is their group as a membership.
type policies struct {
	group PolicyGroup
	self  string
}

var _ membership = (*policies)(nil)

// Leading implements membership.
func (p *policies) Leading() bool { return p.group.Leader() == p.self }

// Servers implements membership.
func (p *policies) Servers() (map[string]bool, error) { return p.group.Servers() }

// AddNonvoter implements membership.
func (p *policies) AddNonvoter(ctx context.Context, node string) error {
	return p.group.AddNonvoter(ctx, node)
}

// AddVoter implements membership.
func (p *policies) AddVoter(ctx context.Context, node string) error {
	return p.group.AddVoter(ctx, node)
}

// Remove implements membership.
func (p *policies) Remove(ctx context.Context, node string) error { return p.group.Remove(ctx, node) }

// Hand implements membership.
func (p *policies) Hand(ctx context.Context) error { return p.group.Hand(ctx) }

// Last implements membership.
func (p *policies) Last() uint64 {
	_, last := p.group.Progress()
	return last
}

// Reached implements membership.
func (p *policies) Reached(r report) uint64 { return r.Policies }

// policyLeader leads the policies, or "".
func (c *Cluster) policyLeader() string {
	if p := c.policies.Load(); p != nil {
		return p.group.Leader()
	}
	return ""
}
