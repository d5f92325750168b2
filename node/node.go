package node

import (
	"context"
	"errors"
)

// State of a node.
type State string

// The states, in their order.
const (
	Starting State = "starting"
	Ready    State = "ready"
	Draining State = "draining"
	Ended    State = "ended"
)

// Errors that a caller can act on, beside *ConfigError.
var (
	// ErrData: the data directory is another's, open to others, or of a newer version.
	ErrData = errors.New("data directory")
	// ErrInUse: another process has the data directory, or listens at the address.
	ErrInUse = errors.New("in use")
)

// Node is one that runs.
type Node struct{}

// Open opens a node, which then listens. When ctx ends before it has opened, it fails.
func Open(ctx context.Context, c Config) (*Node, error) { return nil, errors.New("not yet") }

// Serve waits until ctx ends, or the node can listen no more; then it drains and closes.
func (n *Node) Serve(ctx context.Context) error { return nil }

// Drain has no more cells started, and waits until no cell runs anything, or ctx ends.
func (n *Node) Drain(ctx context.Context) error { return nil }

// Close ends all cells and the node.
func (n *Node) Close() error { return nil }

// State says how it stands.
func (n *Node) State() State { return Ended }
