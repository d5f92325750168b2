package cluster

import (
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/cluster/pki"
	"github.com/pyisolate/pyisolate/cluster/wire"
)

// errNoSay is of a node that opens a stream on which whoever speaks is believed to lead, or may.
var errNoSay = errors.New("it does not vote")

// admitTo tells the wire why a member may not open a stream. Raft believes whoever says that it leads,
// in whatever term it says: what only those who vote may say, only they may begin to say here.
func (c *Cluster) admitTo(s wire.Stream, p pki.Peer) error {
	var votes func(string) bool
	switch s {
	case wire.Directory:
		votes = c.votesInDirectory
	case wire.Policy:
		votes = c.votesInPolicies
	default:
		return nil
	}
	if c.votes(p.Name) || votes(p.Name) || c.saidToVote(p.Name) {
		return nil
	}
	return fmt.Errorf("node %s opens %s: %w, as far as this node knows", p.Name, s, errNoSay)
}

// votes tells whether a node does by the roster that this node goes by.
func (c *Cluster) votes(node string) bool {
	m, ok := c.roster().Member(node)
	return ok && m.Voter
}

// votesInDirectory is by the newest configuration that Raft has here: it knows of a voter before the
// roster does, and of one that is retired longer.
func (c *Cluster) votesInDirectory(node string) bool {
	g := c.opened.Load()
	if g == nil {
		return false
	}
	f := g.Raft().GetConfiguration()
	if f.Error() != nil {
		return false
	}
	for _, s := range f.Configuration().Servers {
		if string(s.ID) == node {
			return s.Suffrage == raft.Voter
		}
	}
	return false
}

// votesInPolicies is the same of the policies' group.
func (c *Cluster) votesInPolicies(node string) bool {
	p := c.policies.Load()
	if p == nil {
		return false
	}
	servers, err := p.Servers()
	return err == nil && servers[node]
}

// saidToVote is for a node that lags: while it was away others may have begun to vote, and one of them
// may lead. It takes that from those alone whose vote it knows of, who decide on it anyway.
func (c *Cluster) saidToVote(node string) bool {
	if c.current.Load() {
		return false
	}
	for by, r := range c.hints.from() {
		if m, ok := r.Member(node); ok && m.Voter && (c.votes(by) || c.votesInDirectory(by)) {
			return true
		}
	}
	return false
}
