package policystore

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/pyisolate/pyisolate/policystore/document"
)

// Config of a [Store]. Dir is needed; the zero value of everything else is its default.
type Config struct {
	// Dir holds the store's files and nothing else. It is made if missing, for the owner
	// only.
	Dir string
	// NodeID names this node in the Raft group for all time; "" is "node".
	NodeID string
	// Logger takes Raft's messages and the store's own; nil discards them.
	Logger *slog.Logger
	// Now is the clock that stamps changes and expires tokens; nil is time.Now.
	Now func() time.Time
	// Validate judges a text before it is proposed; nil is [ValidateDocuments] without
	// options. It runs in the caller's goroutine, two at once at most, and only here: what is
	// in the log was judged by the node that proposed it.
	Validate func(name string, text []byte) error
	// FirstToken, when not nil, is given the first admin's secret, before the token
	// exists, in a store that never had one: it should keep the secret where the
	// operator finds it, and an error of it ends Open. If the node dies right after,
	// the next Open calls it again with another secret; the last one is valid.
	FirstToken func(secret string) error
	// Cluster makes the node one of several; nil is a node by itself.
	Cluster *Cluster
	// SnapshotEvery is after how many log entries the log is compacted; 0 is 4,096. After
	// 64 MiB of entries it is, whatever their number. Half as many entries stay behind a
	// snapshot for nodes that lag; at most 64 when there are none, or after 64 MiB.
	SnapshotEvery uint64
	// SnapshotInterval is how often that is looked at; 0 is one minute.
	SnapshotInterval time.Duration
}

const (
	defaultNodeID           = "node"
	defaultSnapshotEvery    = 4096
	defaultSnapshotInterval = time.Minute
	// fewTrailing is how many entries stay behind a snapshot when nobody can lag, or they are
	// large.
	fewTrailing = 64
	// aloneTimeout is after which a node by itself elects itself again when it stepped down
	// because it could not write; and how often it wakes when there is nothing to do.
	aloneTimeout = 250 * time.Millisecond
)

// withDefaults fills in what is zero.
func (c Config) withDefaults() (Config, error) {
	if c.Dir == "" {
		return c, fmt.Errorf("%w: Config.Dir is empty; name a directory", ErrInvalid)
	}
	if c.NodeID == "" {
		c.NodeID = defaultNodeID
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Validate == nil {
		c.Validate = ValidateDocuments(document.Options{})
	}
	if c.SnapshotEvery == 0 {
		c.SnapshotEvery = defaultSnapshotEvery
	}
	if c.SnapshotInterval == 0 {
		c.SnapshotInterval = defaultSnapshotInterval
	}
	var err error
	c.Cluster, err = c.Cluster.withDefaults()
	return c, err
}
