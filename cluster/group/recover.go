package group

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/cluster/directory"
	"github.com/pyisolate/pyisolate/cluster/roster"
	"github.com/pyisolate/pyisolate/policystore/raftlog"
)

const (
	// recoverJump is how far epochs go ahead of those that the log of a node knows. A cell that is started
	// anew a thousand times a second takes fifty days for as many.
	recoverJump = 1 << 32
	// recoverTimeout is of the election that a node holds with itself.
	recoverTimeout = 20 * time.Millisecond
)

// ErrNoVoter is of a node that cannot recover a group: it never voted, and may lack much of what was agreed.
var ErrNoVoter = errors.New("this node did not vote in the cluster")

// Position is where the log of the group in dir ends, which is not open: of two nodes the one of the higher
// term has what was agreed later, and of the same term the one of the higher index. With ErrNoVoter the node
// cannot recover the group.
func Position(dir, node string) (term, index uint64, err error) {
	err = offline(dir, func(l *raftlog.Log, snaps raft.SnapshotStore) error {
		servers, err := raftlog.Servers(l, snaps)
		if err == nil && !slices.ContainsFunc(servers, func(s raft.Server) bool { return string(s.ID) == node && s.Suffrage == raft.Voter }) {
			err = fmt.Errorf("%w: those who did are %v", ErrNoVoter, servers)
		}
		if err == nil {
			index, term, err = raftlog.Last(l, snaps)
		}
		return err
	})
	return term, index, err
}

// offline looks into the files of a group that is not open.
func offline(dir string, do func(*raftlog.Log, raft.SnapshotStore) error) error {
	l, err := raftlog.Open(filepath.Join(dir, logFile))
	if err != nil {
		return err
	}
	snaps, err := raftlog.OpenSnapshots(filepath.Join(dir, snapDir), snapshotsKept)
	if err == nil {
		err = do(l, snaps)
	}
	return errors.Join(err, l.Close())
}

// Recovered is what is left of a group.
type Recovered struct {
	Roster  *roster.State
	Cells   []directory.Record // all suspended
	Applied uint64
}

// Recover makes the group in dir that of this node alone. All that its log has is agreed from then on, also
// what no majority had. Members and invitations that the roster has are gone, all cells are suspended in epochs
// that nobody else has got to, and copies of checkpoints count where this node has them. The group must not be
// open. When it fails half-way it can be done again.
func Recover(ctx context.Context, dir, node string) (r Recovered, err error) {
	if _, _, err := Position(dir, node); err != nil {
		return r, err
	}
	err = offline(dir, func(l *raftlog.Log, snaps raft.SnapshotStore) error {
		return raftlog.Give(l, snaps, []raft.Server{{ID: raft.ServerID(node), Address: raft.ServerAddress(node)}})
	})
	if err != nil {
		return r, err
	}
	_, transport := raft.NewInmemTransport(raft.ServerAddress(node))
	g, err := Open(Config{Dir: dir, Node: node, Transport: transport, Peers: alone{}, Timeout: recoverTimeout})
	if err != nil {
		return r, err
	}
	err = g.recover(ctx)
	r = Recovered{g.Roster(), g.Records(""), g.Applied()}
	return r, errors.Join(err, g.Close())
}

// recover puts on the log what follows from nobody else being there.
func (g *Group) recover(ctx context.Context) error {
	if err := g.Fence(ctx); err != nil {
		return err
	}
	known := g.Roster()
	self, is := known.Member(g.config.Node)
	switch {
	case !is:
		return fmt.Errorf("%w: the cluster had removed node %s", roster.ErrNoMember, g.config.Node)
	case self.Retired: // it would never vote beside others
		return fmt.Errorf("%w any more: the cluster was about to remove node %s; recover another, or found a new cluster", ErrNoVoter, g.config.Node)
	}
	commands := []roster.Command{{Op: roster.Promote, Name: g.config.Node}}
	for _, m := range known.Members() {
		if m.Name != g.config.Node {
			commands = append(commands, roster.Command{Op: roster.Remove, Name: m.Name})
		}
	}
	for _, v := range known.Invites(time.Time{}) { // one that is open here may have been used
		commands = append(commands, roster.Command{Op: roster.Withdraw, ID: v.ID})
	}
	for _, c := range commands {
		c.At = time.Now()
		if _, err := g.Enrol(ctx, c); err != nil {
			return err
		}
	}
	_, err := g.Propose(ctx, directory.Command{
		Op: directory.Recover, Seat: directory.Seat{Node: g.config.Node}, Epoch: recoverJump, Earlier: true,
	})
	return err
}

// alone is the Peers of a node that has none.
type alone struct{}

// Ask implements Peers.
func (alone) Ask(context.Context, string, []byte) ([]byte, error) { return nil, ErrNoLeader }
