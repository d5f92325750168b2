package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cluster/pki"
	"github.com/pyisolate/pyisolate/internal/pause"
	"github.com/pyisolate/pyisolate/policystore"
)

// What receivers give back of a cell that has left goes after it. That is here.

const (
	// giveBackWithin is how long a node tries to send after a cell what was given back of it: longer than one that
	// has moved is usually on its way again.
	giveBackWithin = 20 * time.Second
	// giveBackTry is how long one try may take, and so how long the end of a node waits for it.
	giveBackTry = 3 * time.Second
	// maxBatch is of the items of one call, and batchBytes of what they hold, about; one item may be more.
	maxBatch, batchBytes = 4096, 1 << 20
	// maxGiven is how many batches a cell knows again. One node sends them one after the other, and no longer than
	// giveBackWithin.
	maxGiven = 256
	// maxBefore is how many nodes that a cell has come by are remembered, the latest.
	maxBefore = 16
)

// sendAfter sends what is kept of a cell that has left to the node that has it, until there is no more. What cannot be
// sent is lost, and told of.
func (s *cells) sendAfter(e *entry) {
	for items := e.kept.next(); len(items) > 0; items = e.kept.next() {
		for len(items) > 0 {
			at := lastBatch(items)
			if err := s.giveBack(e, items[at:]); err != nil {
				s.lost(e, len(items), "their receivers left, and so had the cell", slog.Any("error", err))
				break
			}
			items = items[:at]
		}
	}
}

// lastBatch is where the items begin that are sent first: they are put before what is there, so the last come first.
func lastBatch(items []cell.Item) int {
	at := len(items) - 1
	for bytes := size(items[at]); at > 0 && len(items)-at < maxBatch; at-- {
		if bytes += size(items[at-1]); bytes > batchBytes {
			break
		}
	}
	return at
}

// giveBack has items of a cell that has left be given out where it is. It looks for the cell again while it is on
// its way, and its node does not answer.
func (s *cells) giveBack(e *entry, items []cell.Item) error {
	ctx, cancel := context.WithTimeout(asNode(context.Background(), s.node()), giveBackWithin)
	defer cancel()
	batch := newCellID()
	for next := again[0]; ; next = min(2*next, time.Second) {
		over, err := s.tryGiveBack(ctx, e, batch, items)
		if over || ctx.Err() != nil || !pause.For(s.transfers.ending, next) {
			return err
		}
	}
}

// tryGiveBack is one try. Over: another is of no use, or not needed.
func (s *cells) tryGiveBack(ctx context.Context, e *entry, batch string, items []cell.Item) (over bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, giveBackTry)
	defer cancel()
	if err := s.fabric.Refresh(ctx); err != nil {
		return false, err
	}
	place, known := s.fabric.Find(e.key.address())
	switch {
	case !known:
		return true, cell.Errorf(cell.CellGone, "there is no cell %s any more", e.key)
	case place.Node == "":
		return false, &nobodys{place}
	case place.Node == s.fabric.Self(): // it is back
		err := s.takeBack(ctx, e.key, e.id, batch, items, func(*entry) bool { return true })
		return err == nil, err
	}
	ask := &pb.GiveBackRequest{Cell: e.key.ref(), Id: e.id, Batch: batch, Items: itemsTo(items)}
	_, err = s.peers.of(place.Node).transfers.GiveBack(ctx, toPeer(ctx, ask))
	err = fault.Answered(fromPeer(ctx, place.Node, err))
	return err == nil || errors.Is(err, policystore.ErrDenied) || cell.KindOf(err) == cell.Invalid, err
}

// GiveBack implements the call.
func (t *transfers) GiveBack(ctx context.Context, r *connect.Request[pb.GiveBackRequest]) (*connect.Response[pb.GiveBackResponse], error) {
	switch g := r.Msg; {
	case g.GetBatch() == "" || len(g.GetBatch()) > maxRequestID:
		return nil, cell.Errorf(cell.Invalid, "a batch has an id of 1 to %d bytes", maxRequestID)
	case len(g.GetItems()) > maxBatch:
		return nil, cell.Errorf(cell.Invalid, "a batch of %d items; %d is the most", len(g.GetItems()), maxBatch)
	}
	items, err := itemsOf(r.Msg.GetItems())
	if err != nil {
		return nil, err
	}
	from, k := peerOf(ctx).node, cellKey{r.Msg.GetCell().GetTenant(), r.Msg.GetCell().GetName()}
	err = t.takeBack(ctx, k, r.Msg.GetId(), r.Msg.GetBatch(), items, func(e *entry) bool { return slices.Contains(e.before, from) })
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.GiveBackResponse{}), nil
}

// takeBack has items be given out here that were taken from a cell at another node, if may has nothing against it.
func (s *cells) takeBack(ctx context.Context, k cellKey, id, batch string, items []cell.Item, may func(*entry) bool) error {
	e, err := s.book.find(k)
	switch {
	case err != nil:
		return err
	case e.id != id:
		return fmt.Errorf("%w: cell %s of node %s is another one", policystore.ErrNotFound, k, s.node())
	case !may(e):
		return fmt.Errorf("%w: cell %s has not come to node %s by that node", policystore.ErrDenied, k, s.node())
	}
	if err := e.whenSpawned(ctx); err != nil { // or they were lost with a state that cannot be put in
		return err
	}
	lost, left := e.kept.putBatch(batch, items)
	if left {
		return cell.Errorf(cell.Busy, "cell %s is about to leave node %s: look where it is then", k, s.node())
	}
	s.lost(e, lost, noneCame)
	return nil
}

// comeBy is by which nodes a cell has come that comes from another one.
func comeBy(before []string, from string) ([]string, error) {
	if at := slices.IndexFunc(before, func(n string) bool { return !pki.ValidName(n) }); at >= 0 {
		return nil, invalidNode(before[at])
	}
	before = append(slices.DeleteFunc(slices.Clone(before), func(n string) bool { return n == from }), from)
	return before[max(0, len(before)-maxBefore):], nil
}

// validGiven refuses more batches than a cell knows.
func validGiven(given []string) error {
	if len(given) > maxGiven || slices.ContainsFunc(given, func(id string) bool { return len(id) > maxRequestID }) {
		return cell.Errorf(cell.Invalid, "%d batches were given back; %d are the most, with ids of up to %d bytes", len(given), maxGiven, maxRequestID)
	}
	return nil
}
