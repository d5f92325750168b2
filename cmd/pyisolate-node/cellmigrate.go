package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
)

// moveJSON is how far a move has come, as --json prints it: one for each step and piece.
type moveJSON struct {
	Phase  string        `json:"phase"`
	Copied int64         `json:"copied"`
	Size   int64         `json:"size"`
	Paused time.Duration `json:"paused_ns"`
	Epoch  uint64        `json:"epoch"`
	Node   string        `json:"node"`
}

func moveJSONOf(m *pb.MigrateResponse) moveJSON {
	return moveJSON{Phase: m.GetPhase(), Copied: m.GetCopied(), Size: m.GetSize(), Paused: m.GetPaused().AsDuration(), Epoch: m.GetEpoch(), Node: m.GetNode()}
}

// words are what the line of progress says.
func (m moveJSON) words() string { return moveWords(m.Phase, m.Copied, m.Size, m.Paused) }

func moveWords(phase string, copied, size int64, paused time.Duration) string {
	text := plain(phase)
	switch {
	case size > 0:
		text += fmt.Sprintf(" %s of %s", inUnits(copied), inUnits(size))
	case copied > 0:
		text += " " + inUnits(copied)
	}
	if paused > 0 {
		text += fmt.Sprintf(", paused %s", paused.Round(time.Millisecond))
	}
	return text
}

func newCellMigrate() *cobra.Command {
	var to string
	var abort bool
	c := &cobra.Command{
		Use:   "migrate [TENANT/]CELL --to NODE",
		Short: "Move a running cell to another node",
		Long: `Move a running cell to another node of the cluster. A checkpoint of it is made, and the other
node goes on with the cell from there, with the same id and in a new epoch. Requests that
arrive during the move wait, and are done by the other node, once and in order. A terminal
shows the progress.

A move that fails, or that you interrupt in time, leaves the cell where it was. --abort ends a
move that another command has begun.`,
		Example: "  pyisolate-node cell migrate crawler --to n2\n  pyisolate-node cell migrate crawler --abort",
		Args:    cobra.ExactArgs(1),
	}
	c.Flags().StringVar(&to, "to", "", "the node to move the cell to")
	c.Flags().BoolVar(&abort, "abort", false, "end the move that is under way; the cell stays where it was")
	c.MarkFlagsMutuallyExclusive("to", "abort")
	_ = c.RegisterFlagCompletionFunc("to", func(c *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
		return completeMembers(c, nil, begun)
	})
	return newRemote(c, func(ctx context.Context, r *remote, args []string) error {
		tenant, name := cellName(args[0])
		if abort {
			return r.abortMove(ctx, tenant, name, args[0])
		}
		if to == "" {
			return usageError{errors.New("name the node with --to NODE, or end a move with --abort")}
		}
		return r.migrate(ctx, &pb.MigrateRequest{Tenant: tenant, Name: name, Node: to}, args[0])
	})
}

func (r *remote) abortMove(ctx context.Context, tenant, name, shown string) error {
	_, err := r.Cells.AbortMigration(ctx, connect.NewRequest(&pb.AbortMigrationRequest{Tenant: tenant, Name: name}))
	if err == nil {
		r.show(map[string]any{"aborted": shown}, "aborted: %s goes on where it was", plain(shown))
	}
	return err
}

func (r *remote) migrate(ctx context.Context, request *pb.MigrateRequest, shown string) error {
	r.interrupt = "if that was in time, the cell stays where it is; see cell inspect"
	last, err := r.Migrate(ctx, request, func(m *pb.MigrateResponse) { r.moving(m, shown) })
	clearStep(r.err)
	if err == nil && !r.asJSON {
		_, _ = fmt.Fprintln(r.out, movedWords(last, shown))
	}
	return err
}

// moving shows a step of a move.
func (r *remote) moving(m *pb.MigrateResponse, shown string) {
	step := moveJSONOf(m)
	if r.asJSON {
		r.line(step)
		return
	}
	note(r.err, fmt.Sprintf("moving %s: %s", plain(shown), step.words()))
}

func movedWords(last *pb.MigrateResponse, shown string) string {
	return fmt.Sprintf("moved: %s to %s, paused %s, epoch %d", plain(shown), plain(last.GetNode()), last.GetPaused().AsDuration().Round(10*time.Microsecond), last.GetEpoch())
}

// migrationJSON is a move that is under way, in the report of its cell.
type migrationJSON struct {
	To     string        `json:"to"`
	Phase  string        `json:"phase"`
	Copied int64         `json:"copied"`
	Size   int64         `json:"size"`
	Began  *time.Time    `json:"began"`
	Paused time.Duration `json:"paused_ns"`
}

// migrationJSONOf is nil for a cell that stays.
func migrationJSONOf(m *pb.Migration) *migrationJSON {
	if m == nil {
		return nil
	}
	return &migrationJSON{To: m.GetTo(), Phase: m.GetPhase(), Copied: m.GetCopied(), Size: m.GetSize(), Began: momentOf(m.GetBegan()), Paused: m.GetPaused().AsDuration()}
}

func (m *migrationJSON) words() string { return moveWords(m.Phase, m.Copied, m.Size, m.Paused) }

// nodeOf says where a cell is, and where it goes.
func nodeOf(r *pb.CellReport) string {
	if to := r.GetMigration().GetTo(); to != "" {
		return plain(r.GetNode()) + " -> " + plain(to)
	}
	return plain(r.GetNode())
}
