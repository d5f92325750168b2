package cluster

import (
	"time"

	"github.com/pyisolate/pyisolate/cluster/members"
	"github.com/pyisolate/pyisolate/cluster/wire"
)

// Member is a node of the cluster.
type Member struct {
	Name, Address string
	// Voter: it votes on what is agreed. Leader: it leads the directory.
	Voter, Leader bool
	// Retired: it is about to be removed.
	Retired bool
	State   Presence
	// Session: it has a lease, as far as this node knows, and may run cells.
	Session bool
	// Joined is when it was let in.
	Joined time.Time
	// Meta is what it says of itself; none unless it is alive.
	Meta members.Meta
}

// Members are all nodes of the cluster, by name, as this node knows them now.
func (c *Cluster) Members() []Member {
	said := map[string]members.Meta{}
	for _, m := range c.members.List() {
		if m.Err == nil {
			said[m.Name] = m.Meta
		}
	}
	sessions, leader := c.group.Sessions(), c.group.Leader()
	var all []Member
	for _, m := range c.roster().Members() {
		one := Member{
			Name: m.Name, Address: m.Address, Voter: m.Voter, Retired: m.Retired, Leader: m.Name == leader, Joined: m.Joined,
			State: c.presence.of(m.Name), Session: sessions[m.Name] != 0, Meta: said[m.Name],
		}
		if m.Name == c.Self() {
			one.State, one.Meta = Alive, c.meta()
		}
		all = append(all, one)
	}
	return all
}

// Status is what a node knows of the cluster, and of itself in it.
type Status struct {
	// Cluster is the cluster's id, Self this node's name.
	Cluster, Self string
	// Leader of the directory, and of the policies; "" when none is known.
	Leader, PolicyLeader string
	// Voter: this node votes. Authority: it can sign certificates.
	Voter, Authority bool
	// Retired: this node is about to be removed, or was.
	Retired bool
	// Session of this node, 0 for none, and whether its lease is valid now.
	Session uint64
	Leased  bool
	// Current: this node has caught up with what was agreed, and hears a leader since.
	Current bool
	// Applied is the index of the last change of directory and roster that is known here.
	Applied uint64
	// Failure is why nothing is applied any more, or "".
	Failure string
	// Members, and how many of them vote, and are alive as gossip says.
	Members, Voters, Alive int
	// Certificate is when this node's lapses.
	Certificate time.Time
	// Keys of gossip by their ids, the one that seals first.
	Keys []string
	Wire wire.Stats
}

// Status of the cluster as this node knows it. It asks nobody.
func (c *Cluster) Status() Status {
	s := Status{
		Cluster: c.ID(), Self: c.Self(), Leader: c.group.Leader(), PolicyLeader: c.policyLeader(), Authority: c.authority.Load() != nil,
		Current: c.current.Load(), Applied: c.group.Applied(), Certificate: c.identity.NotAfter(),
		Keys: c.members.Keys(), Wire: c.wire.Stats(),
	}
	if err := c.group.Failure(); err != nil {
		s.Failure = err.Error()
	}
	if c.lease != nil {
		seat, valid := c.lease.Seat()
		s.Session, s.Leased = seat.Session, valid
	}
	for _, m := range c.Members() {
		s.Members++
		if m.Voter {
			s.Voters++
		}
		if m.State == Alive {
			s.Alive++
		}
		if m.Name == c.Self() {
			s.Voter, s.Retired = m.Voter, m.Retired
		}
	}
	s.Retired = s.Retired || !c.isMember(c.Self())
	return s
}
