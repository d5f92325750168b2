package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cluster/pki"
	"github.com/pyisolate/pyisolate/policystore"
)

const (
	// defaultGrace and maxGrace are how long operations may go on before their cells are closed.
	defaultGrace = 10 * time.Second
	maxGrace     = time.Minute
	// closingAtOnce is how many cells are closed at a time.
	closingAtOnce = 16
	// namedCells is how many cells an error names.
	namedCells = 5
)

// drainer empties this node.
type drainer struct {
	book     *book
	actors   *actors.System
	begin    func(ctx context.Context) error // has the node take no more cells, and waits; nil: it cannot
	cells    *cells                          // that moves them
	turnAway func()                          // gives up what is to come; nil: nothing does
}

// emptying is how a node is to be emptied.
type emptying interface {
	GetCloseCells() bool
	GetGrace() *durationpb.Duration
}

// Drain implements the call.
func (s *clusters) Drain(ctx context.Context, r *connect.Request[pb.DrainRequest]) (*connect.Response[pb.DrainResponse], error) {
	c, err := s.cluster()
	if err != nil {
		return nil, err
	}
	name := r.Msg.GetNode()
	switch {
	case name == "":
		name = c.Self()
	case !pki.ValidName(name):
		return nil, invalidNode(name)
	}
	out := &pb.DrainResponse{Node: name}
	err = s.decide(ctx, "a node was drained", func(Cluster) error {
		if name != c.Self() {
			out, err = s.drainOther(ctx, c, name, r.Msg)
			return err
		}
		err = s.drain(ctx, r.Msg, out)
		return err
	}, slog.String("node", name), slog.Bool("close", r.Msg.GetCloseCells()))
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(out), nil
}

// drainOther has another member drain itself.
func (s *clusters) drainOther(ctx context.Context, c Cluster, name string, r *pb.DrainRequest) (*pb.DrainResponse, error) {
	switch {
	case !isMember(c, name):
		return nil, fmt.Errorf("%w: the cluster has no node %s", policystore.ErrNotFound, name)
	case s.peers == nil || isPassedOn(ctx):
		return nil, fmt.Errorf("%w: node %s is not asked by this one", fault.ErrUnavailable, name)
	}
	answer, err := s.peers.of(name).cluster.Drain(ctx, toPeer(ctx, r))
	switch err = fromPeer(ctx, name, err); {
	case err == nil:
		return answer.Msg, nil
	case cell.KindOf(err) == cell.UnknownOutcome:
		return nil, cell.Errorf(cell.UnknownOutcome, "node %s was lost before it answered: it may take no more cells", name)
	case errors.Is(err, fault.ErrUnavailable):
		return nil, fmt.Errorf("%w: node %s cannot be reached: remove it if it does not come back", fault.ErrUnavailable, name)
	}
	return nil, err
}

// drain has this node take no more cells, moves those that it has, and closes those that cannot move, if it may.
// It looks for them again and again: a spawn that had begun before may come to its end after.
func (d *drainer) drain(ctx context.Context, how emptying, out *pb.DrainResponse) error {
	grace := defaultGrace
	if given := how.GetGrace(); given != nil {
		grace = given.AsDuration()
	}
	if grace < 0 || grace > maxGrace {
		return fmt.Errorf("%w: grace %s; it must be at least 0 and at most %s", policystore.ErrInvalid, grace, maxGrace)
	}
	if d.begin == nil {
		return fmt.Errorf("%w: this node cannot drain", fault.ErrUnimplemented)
	}
	if left := d.living(); !d.cells.moves() && len(left) > 0 && !how.GetCloseCells() {
		return cannotMove(stuckAll(left, errNoMigration), "nothing is changed")
	}
	waiting, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	begun := make(chan error, 1)
	go func() { begun <- d.begin(waiting) }() // what moves is not waited for
	if d.turnAway != nil {
		d.turnAway()
	}
	_, err := d.moveAll(ctx, d.living(), out)
	if failed := <-begun; failed != nil && (ctx.Err() != nil || !errors.Is(failed, context.DeadlineExceeded)) {
		err = failed
	}
	for err == nil {
		left := d.living()
		if len(left) == 0 {
			return nil
		}
		var stuck []stuckCell
		if stuck, err = d.moveAll(ctx, left, out); err == nil {
			err = d.leave(ctx, stuck, how, out)
		}
	}
	return err
}

// leave closes cells that cannot move, if it may, or says which they are.
func (d *drainer) leave(ctx context.Context, stuck []stuckCell, how emptying, out *pb.DrainResponse) error {
	if len(stuck) == 0 {
		return nil
	}
	if !how.GetCloseCells() {
		return cannotMove(stuck, "it takes no more, and those that can move have")
	}
	all := make([]*entry, len(stuck))
	for i, one := range stuck {
		all[i] = one.entry
	}
	if err := d.closeAll(ctx, all); err != nil {
		return err
	}
	for _, e := range all {
		out.Closed = append(out.Closed, &pb.CellRef{Tenant: e.key.tenant, Name: e.key.name})
	}
	return nil
}

// living are the cells that have not ended.
func (d *drainer) living() (all []*entry) {
	for _, e := range d.book.list("") {
		if !e.isFinal() {
			all = append(all, e)
		}
	}
	return all
}

// closeAll closes cells within the time that ctx has, and says which did not close.
func (d *drainer) closeAll(ctx context.Context, all []*entry) error {
	var work sync.WaitGroup
	turn := make(chan struct{}, closingAtOnce)
	failed := make([]error, len(all))
	for i, e := range all {
		turn <- struct{}{}
		work.Go(func() {
			defer func() { <-turn }()
			if err := d.closeOne(ctx, e); err != nil {
				failed[i] = fmt.Errorf("close cell %s: %w", e.key, err)
			}
		})
	}
	work.Wait()
	return errors.Join(failed...)
}

// closeOne closes a cell when it runs, or could not be started.
func (d *drainer) closeOne(ctx context.Context, e *entry) error {
	select {
	case <-e.spawned:
	case <-ctx.Done():
		return ctx.Err()
	}
	env := actors.Envelope{To: e.key.address(), Life: e.id, Principal: principalOf(ctx).Name, Body: actors.Close{}}
	env.Deadline, _ = ctx.Deadline()
	err := d.actors.Ask(ctx, env).Err
	if errors.Is(err, policystore.ErrNotFound) || errors.Is(err, cell.CellGone) {
		return nil
	}
	return err
}

func cannotMove(cells []stuckCell, so string) error {
	names := make([]string, 0, namedCells)
	for _, one := range cells[:min(len(cells), namedCells)] {
		names = append(names, one.entry.key.String())
	}
	if more := len(cells) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return &fault.Hinted{Err: cell.Errorf(cell.NotCheckpointable, "the node has cells that cannot move: %s; %s; the first: %v", strings.Join(names, ", "), so, cells[0].why),
		Hint: "close them, or have them closed with --close-cells"}
}
