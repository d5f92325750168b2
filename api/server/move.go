package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
)

// Phases of a move, in their order; a move that comes to nothing is "abort" at last.
const (
	preparing  = "prepare"
	freezing   = "freeze"
	copying    = "copy"
	activating = "activate"
	collecting = "collect"
	moved      = "done"
	aborting   = "abort"
)

const (
	// reserveWithin is how long the target may take to make room.
	reserveWithin = 30 * time.Second
	// turnWithin is how long a move waits for what runs in the cell: less than the target keeps room.
	turnWithin = time.Minute
	// activateWithin is how long the target's answer is waited for. Then the cluster is asked who has it.
	activateWithin = arriveWithin + 10*time.Second
)

// Whether the actor has had its turn to be held.
const (
	untaken int32 = iota
	takenUp
	withdrawn
)

// move is a cell on its way to another node, as its source sees it. Its methods may be called from any
// goroutine.
type move struct {
	cells  *cells
	entry  *entry
	id, to string
	by     string // who has it moved
	began  time.Time
	cancel context.CancelCauseFunc
	over   chan struct{} // closed when it is

	// Of run alone, and of what it has the actor do.
	epoch uint64
	turn  atomic.Int32 // untaken, takenUp or withdrawn
	err   error        // why the cell stays
	lost  bool         // it does not: nobody has it
	back  Place        // it goes on here with the guest that was stopped; zero: it does not
	runs  bool         // the target has said that it runs the cell
	state string       // its checkpoint; "": none
	held  func()       // the file may be removed; never nil
	size  int64
	kept  []cell.Item // that go with it
	had   uint64      // things that were done to it since its last checkpoint
	asked time.Time   // the target, to make room

	mu      sync.Mutex
	now     stage
	since   time.Time // it is paused; zero: it runs
	changed chan struct{}
}

// stage is how far a move is.
type stage struct {
	phase        string
	copied, size int64
	paused       time.Duration
	epoch        uint64
	node         string // that has it
}

// errAborted is why a move ends that AbortMigration was asked of.
var errAborted = cell.Errorf(cell.Cancelled, "the migration was aborted: the cell goes on where it was")

// beginMove makes a move of a cell of this node, or says why it has none. The caller calls end.
func (s *cells) beginMove(ctx context.Context, e *entry, to string) (context.Context, *move, error) {
	if !s.moves() {
		return nil, nil, errNoMigration
	}
	if node := e.wentTo(); node != "" { // which may be from where it is wanted here
		return nil, nil, actors.Elsewhere(e.key.address(), node)
	}
	switch _, seated := s.fabric.Seat(to); {
	case to == s.fabric.Self():
		return nil, nil, cell.Errorf(cell.Invalid, "cell %s is on node %s already", e.key, to)
	case !seated && !hasNode(s.fabric, to):
		return nil, nil, cell.Errorf(cell.Invalid, "node %.64q is none of the cluster's", to)
	case !seated:
		return nil, nil, fmt.Errorf("%w: node %s has no lease: it is not there, or cut off", fault.ErrUnavailable, to)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	m := &move{cells: s, entry: e, id: "move-" + newCellID(), to: to, by: principalOf(ctx).Name, began: time.Now(), cancel: cancel, held: func() {}, over: make(chan struct{}), changed: make(chan struct{})}
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.went != "": // just now
		cancel(nil)
		return nil, nil, actors.Elsewhere(e.key.address(), e.went)
	case e.move != nil:
		cancel(nil)
		return nil, nil, cell.Errorf(cell.Busy, "cell %s is being moved to node %s already", e.key, e.move.to)
	case e.now == nil || e.final:
		cancel(nil)
		return nil, nil, cell.Errorf(cell.CellGone, "cell %s does not run: there is nothing to move", e.key)
	}
	m.epoch, m.now = e.epoch, stage{phase: preparing, epoch: e.epoch, node: s.fabric.Self()}
	e.move = m
	return ctx, m, nil
}

// end has another move of the cell be possible.
func (m *move) end() {
	m.cancel(nil)
	m.entry.mu.Lock()
	m.entry.move = nil
	m.entry.mu.Unlock()
	close(m.over)
}

// rests waits until nobody moves the cell.
func (e *entry) rests(ctx context.Context) error {
	for {
		e.mu.Lock()
		m := e.move
		e.mu.Unlock()
		if m == nil {
			return nil
		}
		select {
		case <-m.over:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// set tells how far it is.
func (m *move) set(change func(*stage)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(&m.now)
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *move) enter(phase string) { m.set(func(s *stage) { s.phase = phase }) }

// pauses says that the guest stands still from now on, or runs again.
func (m *move) pauses(yes bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case yes:
		m.since = time.Now()
	case !m.since.IsZero():
		m.now.paused, m.since = time.Since(m.since), time.Time{}
	}
}

// at tells how far it is, and what is closed when that changes.
func (m *move) at() (stage, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now
	if !m.since.IsZero() {
		now.paused = time.Since(m.since)
	}
	return now, m.changed
}

// migration is the move in a report.
func (m *move) migration() *pb.Migration {
	s, _ := m.at()
	return &pb.Migration{To: m.to, Phase: s.phase, Copied: s.copied, Size: s.size, Began: timestamppb.New(m.began), Paused: durationpb.New(s.paused)}
}

// run moves the cell. When it fails the cell goes on here, or the error says otherwise.
func (m *move) run(ctx context.Context) error {
	err := m.try(ctx)
	if err != nil {
		m.enter(aborting)
	}
	s, _ := m.at()
	m.cells.observer.Migrated(m.told(s, err))
	return err
}

func (m *move) try(ctx context.Context) error {
	session, err := m.reserve(ctx)
	if err != nil {
		return m.why(ctx, err)
	}
	m.enter(freezing)
	waiting, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	patience := time.AfterFunc(turnWithin, func() {
		cancel(cell.Errorf(cell.Busy, "cell %s runs something, and has not stopped within %s: try again", m.entry.key, turnWithin))
	})
	defer patience.Stop()
	over := make(chan struct{})
	take := actors.Move{Take: func(ctx context.Context, c cell.Cell, held actors.Moving) (actors.Moved, error) {
		if !m.turn.CompareAndSwap(untaken, takenUp) {
			return actors.Moved{}, m.why(waiting, cell.Errorf(cell.Cancelled, "nobody waits for the move any more"))
		}
		defer close(over)
		patience.Stop()
		return m.carryOut(ctx, c, held, session)
	}}
	reply := m.cells.actors.Ask(waiting, actors.Envelope{To: m.entry.key.address(), Life: m.entry.id, Epoch: m.epoch, Principal: m.by, Body: take})
	if m.turn.CompareAndSwap(untaken, withdrawn) {
		m.cells.book.ends.Go(func() { m.giveBack(ctx) })
		return m.why(waiting, reply.Err)
	}
	<-over
	if m.err != nil {
		m.comeBack(context.WithoutCancel(ctx))
		return m.why(ctx, m.err)
	}
	m.collect(context.WithoutCancel(ctx))
	m.enter(moved)
	return nil
}

// why is the cause of an error that the end of a context was.
func (m *move) why(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, cell.Cancelled) || errors.Is(err, cell.Timeout)) {
		return cause
	}
	return err
}

// target is the API of the node that is to have the cell.
func (m *move) target() peerAPI { return m.cells.peers.of(m.to) }

// reserve has the target make room, and prove that it can have the cell.
func (m *move) reserve(ctx context.Context) (session uint64, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, reserveWithin, fmt.Errorf("%w: node %s has not made room within %s", fault.ErrUnavailable, m.to, reserveWithin))
	defer cancel()
	r := m.entry.incarnation()
	seen, err := r.cell.Inspect(ctx)
	if err != nil {
		return 0, err
	}
	now := r.Began()
	ask := &pb.ReserveRequest{Migration: m.id, Cell: m.entry.key.ref(), Id: m.entry.id, Epoch: m.epoch, Python: m.cells.checkpoints.Python(),
		Backend: string(r.cell.Spec().Backend), Spawn: m.entry.asked, Principal: m.by, Policy: &pb.PolicyRef{Name: now.Policy, Version: now.Version}, Size: m.expects(seen.Memory)}
	if seen.Confinement != nil {
		for _, l := range seen.Confinement.Layers {
			if l.Active {
				ask.Layers = append(ask.Layers, l.Name)
			}
		}
	}
	m.asked = time.Now()
	answer, err := m.target().transfers.Reserve(ctx, toPeer(ctx, ask))
	if err != nil {
		if err = fault.Answered(fromPeer(ctx, m.to, err)); cell.KindOf(err) == cell.UnknownOutcome { // it is given up by itself
			err = fmt.Errorf("%w: node %s was lost before it had made room", fault.ErrUnavailable, m.to)
		}
		return 0, err
	}
	reservedPoint.Hit()
	return answer.Msg.GetSession(), nil
}

// expects is about how many bytes the file of the state will have: as many as that of its last checkpoint, or as the cell
// has in use, if that is less. 0: there was none, for memory alone says nothing of what a state becomes.
func (m *move) expects(memory int64) int64 {
	last, err := m.cells.checkpoints.Archive.Get(m.entry.newest())
	if err != nil {
		return 0
	}
	return min(last.Size, memory)
}

// giveBack has the target give up what it has reserved. It would do so by itself after a while.
func (m *move) giveBack(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), peerWithin)
	defer cancel()
	if _, err := m.target().transfers.Cancel(ctx, toPeer(ctx, &pb.CancelRequest{Migration: m.id})); err != nil {
		m.cells.logger.Debug("a reserved cell stays for a while", slog.String("cell", m.entry.key.String()), slog.String("node", m.to), slog.Any("error", err))
	}
}

// comeBack has all be as before a move that came to nothing: what the target has reserved, and the state that was
// taken out for it, are removed in the background.
func (m *move) comeBack(ctx context.Context) {
	f, needed := m.cells.fabric, m.back.Epoch == 0
	if !needed && m.back.Checkpoint == m.state && m.state != "" {
		if err := f.Resume(ctx, m.entry.key.address(), m.back.Epoch, m.state); err != nil {
			m.cells.logger.Info("the state of a move that came to nothing counts until there is another", slog.String("cell", m.entry.key.String()), slog.String("checkpoint", m.state), slog.Any("error", err))
			needed = true
		}
	}
	m.cells.book.ends.Go(func() {
		m.giveBack(ctx)
		if needed || m.state == "" || f.Refresh(ctx) != nil { // before that it looks as if the cluster counted on it
			return // it is old some day
		}
		if err := m.cells.checkpoints.Archive.Remove(m.state); err != nil {
			m.cells.logger.Info("the state of a move that came to nothing stays here", slog.String("cell", m.entry.key.String()), slog.String("checkpoint", m.state), slog.Any("error", err))
		}
	})
}

// collect removes what this node does not need any more: nothing while it may have to go on with it, should
// the target have come to own the cell and not be able to run it. Of a cell that is to have copies this node has one.
func (m *move) collect(ctx context.Context) {
	m.enter(collecting)
	if !m.runs {
		m.cells.logger.Info("the state of a cell that has moved stays here: its node has not said that it runs", slog.String("cell", m.entry.key.String()), slog.String("checkpoint", m.state), slog.String("node", m.to))
		return
	}
	var err error
	if r := m.entry.incarnation(); r != nil && r.saving.Replicas > 0 {
		err = m.cells.transfers.keepCopy(m.state)
	} else {
		err = m.dropState(ctx)
	}
	if came := m.entry.came; came != "" { // which is older
		_ = m.cells.checkpoints.Archive.Remove(came)
	}
	if err != nil { // it is old some day
		m.cells.logger.Info("the state of a cell that has moved stays here", slog.String("cell", m.entry.key.String()), slog.String("checkpoint", m.state), slog.Any("error", err))
	}
	collectedPoint.Hit()
}

// dropState has the cluster not count on the state that is here, and removes it.
func (m *move) dropState(ctx context.Context) error {
	s, _ := m.at()
	if err := m.cells.fabric.DropCopy(ctx, m.entry.key.address(), s.epoch, m.state); err != nil {
		return err
	}
	if err := m.cells.fabric.Refresh(ctx); err != nil { // before that it looks as if the cluster counted on it
		return err
	}
	return m.cells.checkpoints.Archive.Remove(m.state)
}
