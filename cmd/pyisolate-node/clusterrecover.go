package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pyisolate/pyisolate/cluster"
	"github.com/pyisolate/pyisolate/cluster/group"
	"github.com/pyisolate/pyisolate/node"
	"github.com/pyisolate/pyisolate/node/config"
	"github.com/pyisolate/pyisolate/policystore"
)

func newClusterRecover() *cobra.Command {
	var file string
	var sure bool
	c := &cobra.Command{
		Use:   "recover",
		Short: "Go on with one node after a cluster has lost its majority for ever",
		Long: `Turn one node into a cluster of one, after its cluster has lost the majority for ever. The node
must not be serving, and none of the others may answer. Without --yes nothing changes: the
command only says how far the node's logs go, and what would be lost. Run it like this on each
node that is left, and recover the one with the highest term, and among those the highest entry.
The others then join again, with empty data directories.

What only other nodes had is lost, and so are their cells, except those with a checkpoint on
this node: restore them from it. If a lost node comes back, the cluster does not accept it.`,
		Example: "  pyisolate-node cluster recover --data /var/lib/pyisolate\n  pyisolate-node cluster recover --data /var/lib/pyisolate --yes",
		Args:    cobra.NoArgs,
	}
	c.Flags().StringVar(&file, "config", "", "a YAML file of settings (default: as for serve)")
	c.Flags().String("data", "", "the node's data directory (default: as for serve)")
	c.Flags().BoolVar(&sure, "yes", false, "recover: the other nodes will never come back")
	_ = c.MarkFlagDirname("data")
	return newLocal(c, func(ctx context.Context, r *remote, _ []string) error {
		loaded, err := config.Load(config.Sources{File: file, Flags: c.Flags()})
		if err != nil {
			return usageError{err}
		}
		return asUnrecoverable(node.WithData(loaded.Node.Data, version, func(data string) error { return r.recoverCluster(ctx, data, sure) }))
	})
}

// survivorJSON is what a node could go on from, and with --yes has, as --json prints it.
type survivorJSON struct {
	Cluster   string         `json:"cluster"`
	Node      string         `json:"node"`
	Directory positionJSON   `json:"directory"` // of cells and nodes
	Policies  positionJSON   `json:"policies"`
	Removed   []string       `json:"removed"`
	Recovered bool           `json:"recovered"`
	Cells     []leftCellJSON `json:"cells,omitempty"`
}

type positionJSON struct {
	Term  uint64 `json:"term"`
	Index uint64 `json:"index"`
}

// leftCellJSON is a cell that is suspended when it has a checkpoint, and else lost with the node that ran it.
type leftCellJSON struct {
	Tenant     string `json:"tenant"`
	Name       string `json:"name"`
	Node       string `json:"node"`
	Checkpoint string `json:"checkpoint,omitempty"`
}

// recoverCluster tells what is there, and with sure makes a cluster of it. Policies come first: until the
// directory follows, the node waits for the others, and all can be done again.
func (r *remote) recoverCluster(ctx context.Context, data string, sure bool) error {
	dir, policies := filepath.Join(data, node.ClusterDir), filepath.Join(data, "policies")
	s, err := cluster.Examine(ctx, dir)
	if err != nil {
		return err
	}
	at, err := policystore.Reduce(policies, s.Node, true)
	if err != nil {
		return err
	}
	shown := survivorJSON{Cluster: s.Cluster, Node: s.Node, Directory: positionJSON{s.Term, s.Index}, Policies: positionJSON{at.Term, at.Index}, Removed: append([]string{}, s.Others...)}
	if !sure || !r.asJSON {
		r.show(shown, "node %s of cluster %s\n  cells and nodes: up to entry %d of term %d\n  policies and tokens: up to entry %d of term %d\n  members that would be removed: %s",
			s.Node, s.Cluster, s.Index, s.Term, at.Index, at.Term, plain(strings.Join(s.Others, ", ")))
	}
	if !sure {
		return usageError{errors.New("nothing is changed: with --yes, this node goes on alone, and what only the others had is lost for ever")}
	}
	if _, err := policystore.Reduce(policies, s.Node, false); err != nil {
		return err
	}
	done, err := cluster.Recover(ctx, dir)
	if err != nil {
		return err
	}
	r.recovered(shown, done)
	return nil
}

// recovered tells what became of the cells.
func (r *remote) recovered(shown survivorJSON, done cluster.Recovery) {
	shown.Recovered = true
	for _, one := range slices.Concat(done.Suspended, done.Lost) {
		shown.Cells = append(shown.Cells, leftCellJSON{one.Cell.Tenant, one.Cell.Name, one.Lost, one.Checkpoint})
	}
	if r.asJSON {
		r.line(shown)
		return
	}
	for _, one := range done.Suspended {
		r.say("cell %s is suspended: restore checkpoint %s", plain(one.Cell.String()), plain(one.Checkpoint))
	}
	for _, one := range done.Lost {
		r.say("cell %s is lost: it ran on node %s", plain(one.Cell.String()), plain(one.Lost))
	}
	r.say("recovered: start the node with serve, and let others join with cluster invite")
}

func (r *remote) say(format string, args ...any) { _, _ = fmt.Fprintf(r.out, format+"\n", args...) }

// asUnrecoverable says which refusals are the operator's to mend.
func asUnrecoverable(err error) error {
	for _, reason := range []error{cluster.ErrAnswers, cluster.ErrNoMember, group.ErrNoVoter} {
		if errors.Is(err, reason) {
			return usageError{err}
		}
	}
	return asUsage(err)
}
