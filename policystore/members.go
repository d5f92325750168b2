package policystore

import "context"

// Member is a node of the Raft group.
type Member struct {
	Node string
	// Voter is whether it counts for what is agreed. One that does not gets all entries, too.
	Voter bool
}

// Leader is the id of who leads as far as this node knows, or "".
func (s *Store) Leader() string {
	_, id := s.raft.LeaderWithID()
	return string(id)
}

// Leads reports whether this node leads and is ready to.
func (s *Store) Leads() bool {
	term, _, _ := s.lead.get()
	return term != 0
}

// Members are the nodes of the group as this node knows them, by id.
func (s *Store) Members() ([]Member, error) { panic("not yet") }

// AddNonvoter has the group send its entries to one more node.
func (s *Store) AddNonvoter(ctx context.Context, node string) error { panic("not yet") }

// AddVoter makes a node a voter.
func (s *Store) AddVoter(ctx context.Context, node string) error { panic("not yet") }

// Remove ends a node's part in the group.
func (s *Store) Remove(ctx context.Context, node string) error { panic("not yet") }

// Lag asks a node how many entries that this one has applied it has not.
func (s *Store) Lag(ctx context.Context, node string) (uint64, error) { panic("not yet") }

// HandOver has another voter lead.
func (s *Store) HandOver(ctx context.Context) error { panic("not yet") }

// Answer does for another node what it asked of this one by way of [Cluster.Forward].
func (s *Store) Answer(ctx context.Context, from string, request []byte) []byte { panic("not yet") }
