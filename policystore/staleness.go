package policystore

import "time"

// Staleness is how long ago this node last knew that it had all that was agreed; 0 for a node by
// itself.
func (s *Store) Staleness() time.Duration { panic("not yet") }

// Fresh is nil while Staleness is within [Cluster.MaxStaleness], and else says why a policy of
// this node should not be put in force for something new: ErrStale.
func (s *Store) Fresh() error { panic("not yet") }
