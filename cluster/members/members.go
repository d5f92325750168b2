// Package members tells which nodes are there, by gossip.
package members

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// Meta is what a node says of itself.
type Meta struct {
	// Wire is the address of the node's port in package wire, host:port.
	Wire string
	// CPUs it can use, Memory in bytes, and Cells that it runs at most.
	CPUs   uint32
	Memory uint64
	Cells  uint32
	// Python is the ABI of its cells, such as cpython-314.
	Python string
	// Backends and Layers it has, in order.
	Backends []string
	Layers   []string
	// NUMA is the number of memory nodes.
	NUMA uint8
	// Labels such as zone.
	Labels map[string]string
}

// Member is a node as gossip knows it.
type Member struct {
	Name    string
	Address string
	Meta    Meta
	// Suspect: it did not answer, and will be reported as gone.
	Suspect bool
}

// Change is what happened to a member.
type Change string

const (
	// Joined: it is there.
	Joined Change = "joined"
	// Updated: its Meta changed.
	Updated Change = "updated"
	// Left: it said that it goes.
	Left Change = "left"
	// Failed: it does not answer.
	Failed Change = "failed"
)

// Event is a change of a member.
type Event struct {
	Change Change
	Member Member
}

// Config of Members.
type Config struct {
	// Name of the node, Cluster its id.
	Name, Cluster string
	// Address to gossip on, UDP and TCP, host:port.
	Address string
	// Keys, 32 bytes each: the first is used, all are understood.
	Keys [][]byte
	// Meta of this node.
	Meta Meta
	// Seeds are addresses to join at, asked again and again.
	Seeds func() []string
	// Rejoin is how often. 0 is 7 s.
	Rejoin time.Duration
	// Logger; nil discards.
	Logger *slog.Logger
}

// Members is a node's view of the cluster.
type Members struct{}

var errTODO = errors.New("not built yet")

// Start takes part.
func Start(context.Context, Config) (*Members, error) { return nil, errTODO }

// Addr it gossips on, host:port.
func (m *Members) Addr() string { return "" }

// List is who is there, this node too, by name.
func (m *Members) List() []Member { return nil }

// Watch gives what changes from now on. A reader that is slow loses events, and the channel is
// closed for it.
func (m *Members) Watch(context.Context) <-chan Event { return nil }

// SetMeta tells the others something new about this node.
func (m *Members) SetMeta(context.Context, Meta) error { return errTODO }

// AddKey, UseKey and RemoveKey are the three steps of a rotation, each after all nodes have done
// the one before.
func (m *Members) AddKey(key []byte) error { return errTODO }

// UseKey seals with a key from now on.
func (m *Members) UseKey(key []byte) error { return errTODO }

// RemoveKey forgets a key.
func (m *Members) RemoveKey(key []byte) error { return errTODO }

// Leave says goodbye; Close has to follow.
func (m *Members) Leave(context.Context) error { return errTODO }

// Close ends it without a word.
func (m *Members) Close() error { return nil }
