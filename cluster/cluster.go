package cluster

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/cluster/control"
	"github.com/pyisolate/pyisolate/cluster/directory"
	"github.com/pyisolate/pyisolate/cluster/group"
	"github.com/pyisolate/pyisolate/cluster/members"
	"github.com/pyisolate/pyisolate/cluster/pki"
	"github.com/pyisolate/pyisolate/cluster/wire"
)

// errTODO is of what is not there yet.
var errTODO = errors.New("cluster: not there yet")

// Founding is what a cluster begins with. All fields but Gossip are needed.
type Founding struct {
	// Dir is where the node keeps what it needs as a member: DATA/cluster.
	Dir string
	// Cluster is a name for people, of 1 to 63 bytes.
	Cluster string
	// Node names the first node: ^[a-z0-9-]{1,63}$.
	Node string
	// Address of its port between nodes as others reach it, HOST:PORT.
	Address string
	// Gossip is where it gossips, by UDP and TCP. Default: the port after Address.
	Gossip string
}

// Joining is how a node becomes one of a cluster. All fields but Gossip are needed.
type Joining struct {
	// Dir, Node, Address and Gossip are as in Founding.
	Dir, Node, Address, Gossip string
	// Token that `cluster invite` printed.
	Token string
}

// Config of a Cluster. Dir is needed.
type Config struct {
	// Dir is DATA/cluster, as Found or Join made it.
	Dir string
	// Listen is the address of the port between nodes. Default: the advertised address if its
	// host is an IP address, and else its port on all addresses.
	Listen string
	// Advertise is that port as others reach it. Default: as Found or Join were told.
	Advertise string
	// Gossip is where to gossip, by UDP and TCP, HOST:PORT, and GossipAdvertise the same as
	// others see it. Default: the port after Listen, and after Advertise.
	Gossip, GossipAdvertise string
	// Meta is what the node says of itself; Wire is set by the cluster. It is called every few
	// seconds by one goroutine and must not block for long. Default: nothing.
	Meta func() members.Meta
	// Tenant runs cells on this node, under a lease. Its methods may be called before Open
	// returns. Default: there is none, and the node has no session.
	Tenant group.Tenant
	// Changed is given the records that changed; see group.Config. It must not block.
	Changed func([]directory.Record)
	// TTL of leases and Timeout of elections; see group.Config for defaults.
	TTL, Timeout time.Duration
	// Logger; default: nobody is told.
	Logger *slog.Logger
}

// Presence is what gossip says of a member. It is a hint.
type Presence string

const (
	// Alive: it answers.
	Alive Presence = "alive"
	// Failed: it did, and does not any more.
	Failed Presence = "failed"
	// Left: it said that it stops, and did.
	Left Presence = "left"
	// Unseen: it has not been seen since this node was started.
	Unseen Presence = "unseen"
)

// Member is a node of the cluster.
type Member struct {
	Name, Address string
	// Voter: it votes on what is agreed; Leader: it leads.
	Voter, Leader bool
	State         Presence
	// Session: it holds a lease, as far as this node knows, and may run cells.
	Session bool
	Joined  time.Time
	// Meta is what it says of itself; none unless it is alive.
	Meta members.Meta
}

// Status is what a node knows of the cluster, and of itself in it.
type Status struct {
	// Cluster is the cluster's id.
	Cluster, Self string
	// Leader of the directory, or "".
	Leader string
	// Voter and Authority: this node votes, and can sign.
	Voter, Authority bool
	// Session of this node, and whether its lease is valid now.
	Session uint64
	Valid   bool
	// Applied is the index of the last change of directory and roster that is known here.
	Applied uint64
	// Failure is why nothing is applied any more, or "".
	Failure string
	// Members, and how many of them vote.
	Members, Voters int
	// Certificate is when this node's lapses.
	Certificate time.Time
	// Keys of gossip, by their ids: the one that seals first.
	Keys []string
	Wire wire.Stats
}

// PolicyGroup is the Raft group of the policies as Govern needs it. Servers are named as nodes.
// Its methods may be called from any goroutine.
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
	// Progress tells which entry of the log was applied here, and which is the last.
	Progress() (applied, last uint64)
	// Answer does at the leader what another node forwarded; see policystore.Cluster.
	Answer(ctx context.Context, from string, request []byte) []byte
}

// Cluster is a node's part in its cluster.
type Cluster struct{}

// Exists tells whether Dir is of a node that belongs to a cluster.
func Exists(dir string) bool { return false }

// Found makes a cluster of one node.
func Found(ctx context.Context, f Founding) error { return errTODO }

// Join makes this node one of the token's cluster.
func Join(ctx context.Context, j Joining) error { return errTODO }

// Open takes part.
func Open(ctx context.Context, c Config) (*Cluster, error) { return nil, errTODO }

// Self is this node's name.
func (c *Cluster) Self() string { return "" }

// ID of the cluster.
func (c *Cluster) ID() string { return "" }

// Group has the directory and the roster.
func (c *Cluster) Group() *group.Group { return nil }

// Lease of this node; nil without a Tenant.
func (c *Cluster) Lease() *group.Lease { return nil }

// Wire is the port between nodes.
func (c *Cluster) Wire() *wire.Wire { return nil }

// Control asks other nodes.
func (c *Cluster) Control() *control.Control { return nil }

// Attach lets the cells of a System be reached from other nodes.
func (c *Cluster) Attach(system *actors.System) error { return errTODO }

// Via is the way to the cells of another node, after Attach.
func (c *Cluster) Via(node string) actors.Via { return nil }

// Members are all nodes of the cluster, by name.
func (c *Cluster) Members() []Member { return nil }

// Invite lets one more node in: with a name, or any, within a time.
func (c *Cluster) Invite(ctx context.Context, name string, life time.Duration) (token string, v pki.Invite, err error) {
	return "", pki.Invite{}, errTODO
}

// Invites that are open.
func (c *Cluster) Invites() []pki.Invite { return nil }

// Withdraw forgets an invitation.
func (c *Cluster) Withdraw(ctx context.Context, id string) error { return errTODO }

// Remove takes a node out.
func (c *Cluster) Remove(ctx context.Context, node string, force bool) error { return errTODO }

// Leave takes this node out.
func (c *Cluster) Leave(ctx context.Context) error { return errTODO }

// RotateKeys replaces the key of gossip.
func (c *Cluster) RotateKeys(ctx context.Context) error { return errTODO }

// Status of the cluster.
func (c *Cluster) Status() Status { return Status{} }

// Govern keeps the membership of the policies' group in step with the roster.
func (c *Cluster) Govern(p PolicyGroup) error { return errTODO }

// Close ends the node's part.
func (c *Cluster) Close(ctx context.Context) error { return errTODO }
