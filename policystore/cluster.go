package policystore

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// Cluster is what a node needs to be one of several. Transport and Forward are needed; the zero
// value of everything else is its default.
type Cluster struct {
	// Transport carries Raft's messages; its addresses of servers are the nodes' ids. If it has
	// a method Close, Raft calls it when the store closes.
	Transport raft.Transport
	// Forward has another node's [Store.Answer] answer a request, and returns when ctx ends.
	// Requests and answers have a little more than MaxText at most. Its error is
	// [ErrNotLeader] when Answer cannot have been called; after any other one it may have been.
	// Several are under way at once.
	Forward func(ctx context.Context, node string, request []byte) (answer []byte, err error)
	// Vouch tells why another node's word is not enough for a client of this name, who came there
	// without a token. nil: it is for all names.
	Vouch func(node, name string) error
	// Bootstrap lists the first voters, for nodes that start a group together. Empty for a
	// node that others will add, or that [Found] has made the first.
	Bootstrap []raft.Server
	// Timeout is after which silence of the leader an election is held, and one that reaches
	// no majority stops leading; 0 is 500 ms.
	Timeout time.Duration
	// MaxStaleness is after which time without knowing that its policies are the newest this
	// node is no longer [Store.Fresh]; 0 is 10 s.
	MaxStaleness time.Duration
}

const (
	defaultClusterTimeout = 500 * time.Millisecond
	defaultMaxStaleness   = 10 * time.Second
	// commitTimeout is how long, at the most twice as long, followers that get nothing else
	// wait to hear what was committed.
	commitTimeout = 10 * time.Millisecond
)

// withDefaults fills in what is zero; nil stays nil.
func (c *Cluster) withDefaults() (*Cluster, error) {
	if c == nil {
		return nil, nil
	}
	if c.Transport == nil || c.Forward == nil {
		return nil, fmt.Errorf("%w: Config.Cluster needs a Transport and Forward", ErrInvalid)
	}
	filled := *c
	if c.Vouch == nil {
		filled.Vouch = func(string, string) error { return nil }
	}
	filled.Timeout = cmp.Or(c.Timeout, defaultClusterTimeout)
	filled.MaxStaleness = cmp.Or(c.MaxStaleness, defaultMaxStaleness)
	return &filled, nil
}
