package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/pyisolate/pyisolate/api/client"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
)

// checkpointJSON is a checkpoint as --json prints it.
type checkpointJSON struct {
	ID        string     `json:"id"`
	Tenant    string     `json:"tenant"`
	Name      string     `json:"name"`
	Epoch     uint64     `json:"epoch"`
	Size      int64      `json:"size"`
	At        *time.Time `json:"at"`
	Python    string     `json:"python"`
	Backend   string     `json:"backend,omitempty"`
	Policy    string     `json:"policy,omitempty"`
	Version   uint64     `json:"version,omitempty"`
	Recipient string     `json:"recipient,omitempty"`
	Nodes     []string   `json:"nodes"`
}

func checkpointJSONOf(c *pb.CheckpointInfo) checkpointJSON {
	return checkpointJSON{ID: c.GetId(), Tenant: c.GetCell().GetTenant(), Name: c.GetCell().GetName(), Epoch: c.GetEpoch(), Size: c.GetSize(), At: momentOf(c.GetAt()),
		Python: c.GetPython(), Backend: c.GetBackend(), Policy: c.GetPolicy().GetName(), Version: c.GetPolicy().GetVersion(), Recipient: c.GetRecipient(), Nodes: c.GetNodes()}
}

// savingFlags say when a cell is checkpointed.
type savingFlags struct {
	every    time.Duration
	messages uint64
	drain    bool
	replicas uint32
}

func (f *savingFlags) add(c *cobra.Command) {
	c.Flags().DurationVar(&f.every, "checkpoint-every", 0, "save the cell's state this often, 1s or more (default: what the policy says, or else the node)")
	c.Flags().Uint64Var(&f.messages, "checkpoint-messages", 0, "save its state after this many execs, calls and sends")
	c.Flags().BoolVar(&f.drain, "checkpoint-drain", false, "save its state when its node stops")
	c.Flags().Uint32Var(&f.replicas, "checkpoint-replicas", 0, "copy each checkpoint to this many other nodes of the cluster, 0 to 5; when the cell's node is lost, one of them goes on with the cell")
}

// policy is nil where no flag is given.
func (f *savingFlags) policy(c *cobra.Command) *pb.CheckpointPolicy {
	if !c.Flags().Changed("checkpoint-every") && !c.Flags().Changed("checkpoint-messages") && !c.Flags().Changed("checkpoint-drain") && !c.Flags().Changed("checkpoint-replicas") {
		return nil
	}
	out := &pb.CheckpointPolicy{Messages: f.messages, BeforeDrain: f.drain, Replicas: f.replicas}
	if f.every != 0 {
		out.Every = durationpb.New(f.every)
	}
	return out
}

func newCellCheckpoint() *cobra.Command {
	var recipient string
	c := &cobra.Command{
		Use:   "checkpoint [TENANT/]CELL",
		Short: "Save a cell's state; the cell goes on",
		Long: `Save the state of a cell in a sealed checkpoint, which its node keeps, and print the
checkpoint's id. The command waits until what is running in the cell has ended; after the
checkpoint the cell goes on. If the guest holds something that no checkpoint can carry, the
error says where.`,
		Example: "  pyisolate-node cell checkpoint crawler",
		Args:    cobra.ExactArgs(1),
	}
	c.Flags().StringVar(&recipient, "recipient", "", "seal the checkpoint to this key, see checkpoints key: only its identity opens it, and the node cannot restore it")
	return newRemote(c, func(ctx context.Context, r *remote, args []string) error {
		tenant, name := cellName(args[0])
		answer, err := r.Cells.Checkpoint(ctx, connect.NewRequest(&pb.CheckpointRequest{Tenant: tenant, Name: name, Recipient: recipient}))
		if err != nil {
			return err
		}
		r.show(checkpointJSONOf(answer.Msg.GetCheckpoint()), "%s", answer.Msg.GetCheckpoint().GetId())
		return nil
	})
}

func newCellRestore() *cobra.Command {
	var of string
	var epoch uint64
	c := &cobra.Command{
		Use:   "restore ID [CELL] | [TENANT/]CELL",
		Short: "Start a cell from a checkpoint, or resume a suspended cell",
		Long: `Start a cell with the state of a checkpoint, under the name of the checkpoint's cell, or
another one. It is spawned as that cell was, under the policy that is in force now. You can
shorten ID to 8 digits or more.

With its name alone, a cell that the cluster has suspended is resumed: the same cell goes on
at a node that has a copy of its checkpoint. Write TENANT/CELL if the name could be an ID.`,
		Example: `  pyisolate-node cell restore 3f1c09aa crawler2
  pyisolate-node cell restore crawler`,
		Args: cobra.RangeArgs(1, 2),
	}
	c.ValidArgsFunction = completeCheckpoints
	c.Flags().StringVar(&of, "of", "", "restore only if the checkpoint is of the cell of this name")
	c.Flags().Uint64Var(&epoch, "epoch", 0, "restore only if the checkpoint is of this epoch of the cell")
	return newRemote(c, func(ctx context.Context, r *remote, args []string) error {
		request := &pb.RestoreRequest{Cell: of, Epoch: epoch}
		name := args[len(args)-1]
		if len(args) > 1 || mayBeID(name) {
			id, err := r.checkpointID(ctx, args[0])
			if err != nil {
				return err
			}
			request.Id = id
		}
		if len(args) > 1 || request.GetId() == "" {
			request.Tenant, request.Name = cellName(name)
		}
		if request.GetId() == "" && (of != "" || epoch != 0) {
			return usageError{errors.New("--of and --epoch are of a checkpoint: name its ID")}
		}
		answer, err := r.Cells.Restore(ctx, connect.NewRequest(request))
		if err != nil {
			return err
		}
		ref := answer.Msg.GetCell()
		r.show(reportJSONOf(answer.Msg.GetReport()), "%s/%s", ref.GetTenant(), ref.GetName())
		return nil
	})
}

// mayBeID tells a checkpoint's id, or the beginning of one, from a cell's name.
func mayBeID(word string) bool {
	return len(word) >= 8 && strings.Trim(word, "0123456789abcdef") == ""
}

// checkpointID completes the beginning of an id. What is none is for the node to refuse.
func (r *remote) checkpointID(ctx context.Context, begun string) (string, error) {
	if len(begun) < 8 || len(begun) >= 64 {
		return begun, nil
	}
	answer, err := r.Cells.ListCheckpoints(ctx, connect.NewRequest(&pb.ListCheckpointsRequest{}))
	if err != nil {
		return "", err
	}
	var found []string
	for _, c := range answer.Msg.GetCheckpoints() {
		if strings.HasPrefix(c.GetId(), begun) {
			found = append(found, c.GetId())
		}
	}
	switch len(found) {
	case 0:
		r.silent(answer.Msg.GetSilent()) // one of them may have it
		return begun, nil
	case 1:
		return found[0], nil
	}
	return "", usageError{fmt.Errorf("%d checkpoints begin with %s: write more of the id", len(found), begun)}
}

var completeCheckpoints = asked(func(ctx context.Context, node *client.Client) (ids []string, _ error) {
	answer, err := node.Cells.ListCheckpoints(ctx, connect.NewRequest(&pb.ListCheckpointsRequest{}))
	if err != nil {
		return nil, err
	}
	for _, c := range answer.Msg.GetCheckpoints() {
		ids = append(ids, fmt.Sprintf("%.12s\t%s/%s, %s", c.GetId(), c.GetCell().GetTenant(), c.GetCell().GetName(), c.GetAt().AsTime().Local().Format(time.DateTime)))
	}
	return ids, nil
})

func newCellCheckpoints() *cobra.Command {
	var tenant string
	c := &cobra.Command{
		Use:   "checkpoints [[TENANT/]CELL]",
		Short: "List checkpoints, and move them between nodes",
		Long: `List the checkpoints of a cell, or of all cells, the newest of each cell first, with the nodes
of the cluster that have a copy. Nodes that do not answer are named on standard error; what
they keep is missing from the list.`,
		Args: cobra.MaximumNArgs(1),
	}
	c.ValidArgsFunction = completeCells
	c.Flags().StringVar(&tenant, "tenant", "", "list only this tenant's")
	newRemote(c, func(ctx context.Context, r *remote, args []string) error {
		request := &pb.ListCheckpointsRequest{Tenant: tenant}
		if len(args) > 0 {
			var err error
			if request.Tenant, request.Name, err = cellOf(args[0], tenant); err != nil {
				return err
			}
		}
		answer, err := r.Cells.ListCheckpoints(ctx, connect.NewRequest(request))
		if err != nil {
			return err
		}
		r.checkpoints(answer.Msg)
		return nil
	})
	c.AddCommand(newCheckpointsRemove(), newCheckpointsExport(), newCheckpointsImport(), newCheckpointsKey())
	return c
}

func (r *remote) checkpoints(found *pb.ListCheckpointsResponse) {
	list(r, "ID\tCELL\tEPOCH\tAT\tSIZE\tPOLICY\tNODES\tFOR", found.GetCheckpoints(), checkpointJSONOf, func(c *pb.CheckpointInfo) string {
		return fmt.Sprintf("%.12s\t%s/%s\t%d\t%s\t%s\t%s\t%s\t%s", plain(c.GetId()), plain(c.GetCell().GetTenant()), plain(c.GetCell().GetName()), c.GetEpoch(),
			c.GetAt().AsTime().Local().Format(time.DateTime), inUnits(c.GetSize()), plain(c.GetPolicy().GetName()), plain(strings.Join(c.GetNodes(), ",")), plain(c.GetRecipient()))
	})
	r.silent(found.GetSilent())
}

// inUnits is a size for people.
func inUnits(n int64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

func newCheckpointsRemove() *cobra.Command {
	c := &cobra.Command{Use: "rm ID...", Short: "Remove checkpoints for good", Args: cobra.MinimumNArgs(1), ValidArgsFunction: completeCheckpoints}
	return newRemote(c, func(ctx context.Context, r *remote, args []string) error {
		for _, begun := range args {
			id, err := r.checkpointID(ctx, begun)
			if err != nil {
				return err
			}
			if _, err := r.Cells.DeleteCheckpoint(ctx, connect.NewRequest(&pb.DeleteCheckpointRequest{Id: id})); err != nil {
				return err
			}
			if r.asJSON {
				r.line(map[string]any{"removed": id})
			}
		}
		return nil
	})
}
