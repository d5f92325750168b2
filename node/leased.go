package node

import (
	"context"
	"io"
	"sync/atomic"

	"github.com/pyisolate/pyisolate/cell"
)

// session tells in which session of the cluster the node may run cells now; 0: in none.
type session func() uint64

// leased is a cell of a cluster's node. A node that was stopped past its lease may go on, and its
// guests with it, before either has looked at the clock, when the cell runs elsewhere already: what the
// guest says then is withheld. What is given out was said while the lease was valid, for it was there
// when that was looked at.
type leased struct {
	cell.Cell
	now   session
	begun uint64 // the session that it was started in

	watched chan struct{} // closed when its end has been seen
	whole   atomic.Bool   // it ended in its session
}

// lease has a cell be of the session that it was started in.
func lease(c cell.Cell, now session, begun uint64) *leased {
	l := &leased{Cell: c, now: now, begun: begun, watched: make(chan struct{})}
	go func() { // it ends with the cell
		defer close(l.watched)
		<-c.Done()
		l.whole.Store(l.holds())
	}()
	return l
}

func (l *leased) holds() bool { return l.now() == l.begun }

// refused is what is said instead of what a guest did or said without a lease.
func (l *leased) refused(kind cell.Kind, what string) error {
	return cell.Errorf(kind, "node was cut off from the cluster, and cell %s with it: %s", l.Spec().Name, what)
}

func (l *leased) mayRun() error {
	if l.holds() {
		return nil
	}
	return l.refused(cell.CellGone, "nothing was begun")
}

// answer is what an operation came to that the guest has ended.
func (l *leased) answer(err error) error {
	if l.holds() || err != nil && cell.KindOf(err) != cell.GuestError && cell.KindOf(err) != cell.PolicyDenied {
		return err
	}
	return l.refused(cell.UnknownOutcome, "what it answered does not count")
}

// Exec implements cell.Cell.
func (l *leased) Exec(ctx context.Context, src cell.Source) error {
	if err := l.mayRun(); err != nil {
		return err
	}
	return l.answer(l.Cell.Exec(ctx, src))
}

// Call implements cell.Cell.
func (l *leased) Call(ctx context.Context, inv cell.Invocation) (cell.Value, error) {
	if err := l.mayRun(); err != nil {
		return cell.Value{}, err
	}
	v, err := l.Cell.Call(ctx, inv)
	if err = l.answer(err); err != nil {
		return cell.Value{}, err
	}
	return v, nil
}

// Send implements cell.Cell.
func (l *leased) Send(ctx context.Context, v cell.Value) error {
	if err := l.mayRun(); err != nil {
		return err
	}
	return l.Cell.Send(ctx, v)
}

// Snapshot implements cell.Cell.
func (l *leased) Snapshot(ctx context.Context, to func(chunk []byte) error) (cell.Snapshot, error) {
	if err := l.mayRun(); err != nil {
		return cell.Snapshot{}, err
	}
	s, err := l.Cell.Snapshot(ctx, to)
	if err = l.answer(err); err != nil {
		return cell.Snapshot{}, err
	}
	return s, nil
}

// Restore implements cell.Cell.
func (l *leased) Restore(ctx context.Context, from io.Reader) error {
	if err := l.mayRun(); err != nil {
		return err
	}
	return l.answer(l.Cell.Restore(ctx, from))
}

// Recv implements cell.Cell. What a cell has said that ended in its session can be had for ever.
func (l *leased) Recv(ctx context.Context) (cell.Item, error) {
	i, err := l.Cell.Recv(ctx)
	if err != nil || l.holds() {
		return i, err
	}
	select {
	case <-l.Done():
		<-l.watched
		if l.whole.Load() {
			return i, nil
		}
	default:
	}
	return cell.Item{}, l.refused(cell.CellGone, "what it had said and nobody had received is withheld")
}

// Warm says whether a worker was ready for it, as its launcher does.
func (l *leased) Warm() bool {
	w, says := l.Cell.(interface{ Warm() bool })
	return says && w.Warm()
}
