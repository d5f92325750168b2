package server

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/policystore/document"
)

const (
	// autosaveWithin bounds a checkpoint that nobody waits for.
	autosaveWithin = time.Minute
	// savedAtOnce is how many cells are checkpointed at a time when the node ends.
	savedAtOnce = 4
	// minEvery is the least time between checkpoints, and maxEvery the most.
	minEvery, maxEvery = time.Second, 365 * 24 * time.Hour
)

// checkpointing is when a cell is checkpointed: as the client asks, or else the policy, or the node.
func (s *cells) checkpointing(asked *pb.CheckpointPolicy, policy *document.Checkpoint) (document.Checkpoint, error) {
	when, err := s.wantedOf(asked, policy)
	switch {
	case err != nil:
		return document.Checkpoint{}, err
	case when.Replicas > document.MaxReplicas:
		return document.Checkpoint{}, cell.Errorf(cell.Invalid, "checkpoint.replicas is %d; %d is the most", when.Replicas, document.MaxReplicas)
	case when.Replicas > 0 && s.fabric == nil:
		return document.Checkpoint{}, cell.Errorf(cell.Invalid, "checkpoint.replicas is %d, and this node is by itself: only nodes of a cluster have copies of each other's checkpoints", when.Replicas)
	}
	return when, nil
}

// wantedOf is checkpointing, which need not be possible here.
func (s *cells) wantedOf(asked *pb.CheckpointPolicy, policy *document.Checkpoint) (document.Checkpoint, error) {
	switch {
	case s.checkpoints == nil && asked != nil:
		return document.Checkpoint{}, errNoCheckpoints
	case s.checkpoints == nil:
		return document.Checkpoint{}, nil
	case asked == nil && policy != nil:
		return *policy, nil
	case asked == nil:
		return s.checkpoints.Default, nil
	}
	every := asked.GetEvery().AsDuration()
	if asked.GetEvery() != nil && (every < minEvery || every > maxEvery) {
		return document.Checkpoint{}, cell.Errorf(cell.Invalid, "checkpoint.every is %s; %s to %s are possible", every, minEvery, maxEvery)
	}
	return document.Checkpoint{Every: every, Messages: asked.GetMessages(), BeforeDrain: asked.GetBeforeDrain(), Replicas: int(asked.GetReplicas())}, nil
}

// touched counts what is done to a cell since its last checkpoint. The zero value has nothing done.
type touched struct {
	count atomic.Uint64
	most  atomic.Uint64 // 0: any number
	full  chan struct{} // told when count reaches most
}

// watch sets how many are enough for a checkpoint.
func (t *touched) watch(most uint64) { t.most.Store(most) }

// add counts one. It never waits.
func (t *touched) add() {
	most := t.most.Load()
	if t.count.Add(1) >= most && most > 0 {
		select {
		case t.full <- struct{}{}:
		default:
		}
	}
}

// reset begins anew; undo says that there is no checkpoint after all.
func (t *touched) reset() (undo func()) {
	had := t.count.Swap(0)
	return func() { t.count.Add(had) }
}

// counting is a cell whose operations are counted for its next checkpoint.
type counting struct {
	cell.Cell
	touched *touched
}

// Exec implements cell.Cell.
func (c *counting) Exec(ctx context.Context, src cell.Source) error {
	defer c.touched.add()
	return c.Cell.Exec(ctx, src)
}

// Call implements cell.Cell.
func (c *counting) Call(ctx context.Context, inv cell.Invocation) (cell.Value, error) {
	defer c.touched.add()
	return c.Cell.Call(ctx, inv)
}

// Send implements cell.Cell.
func (c *counting) Send(ctx context.Context, v cell.Value) error {
	err := c.Cell.Send(ctx, v)
	if err == nil {
		c.touched.add()
	}
	return err
}

// autosave checkpoints an incarnation when it is time, until it ends. The end of the node waits for no copies.
func (s *cells) autosave(r *resident) {
	when := r.saving
	if when.Every == 0 && when.Messages == 0 && when.Replicas == 0 {
		return
	}
	ctx := context.Background()
	if s.transfers != nil {
		ctx = s.transfers.ending
	}
	var tick <-chan time.Time
	if when.Every > 0 {
		t := time.NewTicker(when.Every)
		defer t.Stop()
		tick = t.C
	}
	var after <-chan time.Time
	if when.Replicas > 0 {
		t := time.NewTicker(lookedAfter)
		defer t.Stop()
		after = t.C
		s.replicate(ctx, r) // what it came with
	}
	for {
		why := "time"
		select {
		case <-tick:
		case <-r.entry.touched.full:
			why = "messages"
		case <-after:
			s.replicate(ctx, r)
			continue
		case <-r.cell.Done():
			return
		case <-ctx.Done():
			return
		}
		if r.entry.touched.count.Load() == 0 {
			continue
		}
		if err := s.saveNow(ctx, r, r.entry.at(), why, false, autosaveWithin); err != nil {
			s.logger.Info("a cell was not checkpointed", slog.String("cell", r.entry.key.String()), slog.String("by", why), slog.Any("error", err))
		}
	}
}

// saveNow checkpoints an incarnation, in the node's name.
func (s *cells) saveNow(ctx context.Context, r *resident, epoch uint64, why string, freeze bool, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	err := r.ask(ctx, epoch, s.snapshot(r.entry, why, nil, freeze)).Err
	if err == nil {
		s.replicate(ctx, r)
	}
	return err
}

// saveAll checkpoints the cells that are to be before their node ends, and leaves them frozen. It
// returns how many there were and could not be.
func (s *cells) saveAll(ctx context.Context) (saved, failed int) {
	within := autosaveWithin
	if by, bounded := ctx.Deadline(); bounded {
		within = time.Until(by)
	}
	slots, done := make(chan struct{}, savedAtOnce), sync.WaitGroup{}
	var well, badly atomic.Int64
	for _, e := range s.book.list("") {
		e.mu.Lock()
		r, epoch, final := e.now, e.epoch, e.final
		e.mu.Unlock()
		if r == nil || final || !r.saving.BeforeDrain {
			continue
		}
		slots <- struct{}{}
		done.Go(func() {
			defer func() { <-slots }()
			if err := s.saveNow(ctx, r, epoch, "drain", true, within); err != nil {
				badly.Add(1)
				s.logger.Warn("a cell ends without a checkpoint", slog.String("cell", e.key.String()), slog.Any("error", err))
				return
			}
			well.Add(1)
		})
	}
	done.Wait()
	return int(well.Load()), int(badly.Load())
}

// Save checkpoints the cells whose policies say "before drain", and leaves them frozen: the caller
// closes the server next. It returns how many were checkpointed, and how many could not be.
func (s *Server) Save(ctx context.Context) (saved, failed int) {
	if s.saveAll == nil {
		return 0, 0
	}
	return s.saveAll(ctx)
}
