package main

import (
	"context"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
)

// emptyFlags say what becomes of a node's cells.
type emptyFlags struct {
	closing bool
	grace   time.Duration
}

func (f *emptyFlags) add(c *cobra.Command) {
	c.Flags().BoolVar(&f.closing, "close-cells", false, "end the cells that cannot move")
	c.Flags().DurationVar(&f.grace, "grace", 10*time.Second, "how long running operations of these cells may take to finish before that, at most 1m")
}

func newClusterDrain() *cobra.Command {
	var how emptyFlags
	c := &cobra.Command{
		Use:   "drain [NODE]",
		Short: "Move a node's cells to others; it takes no more until it is started again",
		Long: `Stop a node, by default the called one, from taking cells until it is started again, move its
cells to other nodes, and wait until it has none. Cells that cannot move are named, with the
reason; all others have moved by then. --close-cells ends those that cannot move.`,
		Example:           "  pyisolate-node cluster drain n3\n  pyisolate-node cluster drain n3 --close-cells --grace 30s",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeMembers,
	}
	how.add(c)
	return newRemote(c, func(ctx context.Context, r *remote, args []string) error {
		request := &pb.DrainRequest{CloseCells: how.closing, Grace: durationpb.New(how.grace)}
		if len(args) > 0 {
			request.Node = args[0]
		}
		note(r.err, "draining")
		answer, err := r.Cluster.Drain(ctx, connect.NewRequest(request))
		clearStep(r.err)
		if err != nil {
			return err
		}
		r.drained(answer.Msg)
		return nil
	})
}

// cellMoveJSON is a cell and where it goes as --json prints it.
type cellMoveJSON struct {
	Cell  string `json:"cell"`
	From  string `json:"from"`
	To    string `json:"to"`
	Error string `json:"error,omitempty"`
}

func cellMoveJSONOf(m *pb.CellMove) cellMoveJSON {
	return cellMoveJSON{Cell: refName(m.GetCell()), From: m.GetFrom(), To: m.GetTo(), Error: m.GetError()}
}

func refName(c *pb.CellRef) string { return c.GetTenant() + "/" + c.GetName() }

// row of a move for people.
func (m cellMoveJSON) row() string {
	return fmt.Sprintf("%s\t%s\t%s\t%s", plain(m.Cell), plain(m.From), plain(m.To), plain(oneLine(m.Error)))
}

// drained says where the cells of a node have gone: on standard error for people, as each was.
func (r *remote) drained(answer *pb.DrainResponse) {
	moved, closed, went := []cellMoveJSON{}, []string{}, 0
	for _, m := range answer.GetMoved() {
		moved = append(moved, cellMoveJSONOf(m))
		if m.GetError() == "" {
			went++
		}
	}
	for _, one := range answer.GetClosed() {
		closed = append(closed, refName(one))
	}
	if !r.asJSON {
		for _, m := range moved {
			if m.Error != "" {
				_, _ = fmt.Fprintf(r.err, "not moved: %s: %s\n", plain(m.Cell), plain(oneLine(m.Error)))
				continue
			}
			_, _ = fmt.Fprintf(r.err, "moved: %s to %s\n", plain(m.Cell), plain(m.To))
		}
	}
	r.show(map[string]any{"node": answer.GetNode(), "moved": moved, "closed": closed},
		"drained: node %s, %d cells moved, %d closed", plain(answer.GetNode()), went, len(closed))
}

func newClusterRebalance() *cobra.Command {
	var dry bool
	var most uint32
	c := &cobra.Command{
		Use:   "rebalance",
		Short: "Move cells from the nodes that have most to those that have least",
		Long: `Move cells from the nodes that have most to those that have least, relative to what each can
have, until no move would make that more even. The moves are printed, or with --dry-run those
that would be made. If a cell could not be moved, its row says so, and the status is 8.`,
		Example: "  pyisolate-node cluster rebalance --dry-run",
		Args:    cobra.NoArgs,
	}
	c.Flags().BoolVar(&dry, "dry-run", false, "only print what would be moved")
	c.Flags().Uint32Var(&most, "most", 0, "move at most this many cells (default 64)")
	return newRemote(c, func(ctx context.Context, r *remote, _ []string) error {
		note(r.err, "rebalancing")
		answer, err := r.Cluster.Rebalance(ctx, connect.NewRequest(&pb.RebalanceRequest{DryRun: dry, Most: most}))
		clearStep(r.err)
		if err != nil {
			return err
		}
		return r.rebalanced(answer.Msg)
	})
}

func (r *remote) rebalanced(answer *pb.RebalanceResponse) error {
	list(r, "CELL\tFROM\tTO\tPROBLEM", answer.GetMoves(), cellMoveJSONOf, func(m *pb.CellMove) string { return cellMoveJSONOf(m).row() })
	for _, m := range answer.GetMoves() {
		if m.GetError() != "" {
			return exitStatus(statusRefused)
		}
	}
	if len(answer.GetMoves()) == 0 && !r.asJSON {
		_, _ = fmt.Fprintln(r.err, "nothing to move")
	}
	return nil
}
