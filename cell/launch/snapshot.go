package launch

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/state"
	"github.com/pyisolate/pyisolate/cell/wire"
)

// freeze is between a snapshot and the thaw. It is guarded by the handle's mu.
type freeze struct {
	on    bool // nothing is received
	since time.Time
	total time.Duration // of those before
}

// start begins to count the time, in which no operation of others runs.
func (f *freeze) start() { f.since = time.Now() }

func (f *freeze) stop() {
	f.total, f.since, f.on = f.duration(), time.Time{}, false
}

// duration is how long the cell has stood still in its life.
func (f *freeze) duration() time.Duration {
	if f.since.IsZero() {
		return f.total
	}
	return f.total + time.Since(f.since)
}

// Snapshot takes the cell's state out and leaves it frozen.
func (c *handle) Snapshot(ctx context.Context, to func([]byte) error) (cell.Snapshot, error) {
	c.mu.Lock()
	if !c.freeze.since.IsZero() {
		c.mu.Unlock()
		return cell.Snapshot{}, cell.Errorf(cell.Invalid, "a snapshot of this cell is under way, or it is frozen: thaw it first")
	}
	c.freeze.start()
	c.mu.Unlock()
	s, err := c.snapshot(ctx, to)
	if err != nil {
		c.unfreeze()
	}
	return s, err
}

func (c *handle) snapshot(ctx context.Context, to func([]byte) error) (cell.Snapshot, error) {
	w := state.NewWriter(to)
	s, err := c.save(ctx, w)
	if err != nil {
		return cell.Snapshot{}, err
	}
	c.mu.Lock()
	c.freeze.on = true
	items := slices.Clone(c.outbox.items)
	c.mu.Unlock()
	for _, i := range items {
		if err = w.Outbox(i); err != nil {
			break
		}
	}
	s.Outbox = len(items)
	if err == nil {
		s, err = w.End(s)
	}
	if err != nil {
		// The host has frozen the cell: whatever became of ctx, that is undone.
		return cell.Snapshot{}, errorsOf(err, c.thaw(context.WithoutCancel(ctx)))
	}
	return s, nil
}

// errorsOf is the first error, with the second in its words.
func errorsOf(err, after error) error {
	if after == nil {
		return err
	}
	return fmt.Errorf("%w; and then: %w", err, after)
}

// save has the host take the guest's state out, and writes it. After it the host's side is
// frozen, unless there is an error.
func (c *handle) save(ctx context.Context, w *state.Writer) (s cell.Snapshot, err error) {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	p := &pending{answer: make(chan *wire.Msg, 1), ctx: inner, chunks: make(chan *wire.Msg, wire.ChunkWindow)}
	op, err := c.begin(inner, p, &wire.Control_Save{Save: &wire.Save{}})
	if err != nil {
		return s, err
	}
	written := make(chan error, 1)
	go func() {
		err := c.write(op, p, w, &s)
		if err != nil {
			cancel()
		}
		written <- err
	}()
	m, err := c.await(inner, op, p, unbounded)
	c.mu.Lock()
	close(p.chunks) // pending no more: nobody sends to it
	c.mu.Unlock()
	if failed := <-written; failed != nil {
		if err == nil {
			return s, errorsOf(failed, c.thaw(context.WithoutCancel(ctx)))
		}
		return s, failed
	}
	if err != nil {
		return s, err
	}
	said := m.GetSaved()
	s.Python, s.Objects, s.Counters = said.GetPython(), said.GetObjects(), wire.ToReport(said.GetCounters())
	return s, nil
}

// write writes the chunks of a save as they come, and counts the values among them in s.
func (c *handle) write(op uint64, p *pending, w *state.Writer, s *cell.Snapshot) (err error) {
	for m := range p.chunks {
		if err != nil {
			continue // until the operation has ended
		}
		chunk := m.GetChunk()
		switch chunk.GetKind() {
		case wire.Chunk_CODE_PART:
			err = w.State(state.CodePart, m.Payload)
		case wire.Chunk_CODE:
			err = w.State(state.Code, m.Payload)
		case wire.Chunk_INBOX:
			s.Inbox++
			err = w.Inbox(value(chunk.GetType(), m.Payload))
		default:
			err = w.State(state.Data, m.Payload)
		}
		m.Release()
		if err != nil {
			_ = c.host.send(c.wireID, op, &wire.Control_Interrupt{Interrupt: &wire.Interrupt{Kind: uint32(cell.Cancelled)}}, nil)
		}
		_ = c.host.send(c.wireID, op, &wire.Control_More{More: &wire.More{Chunks: 1}}, nil)
	}
	return err
}

// begin is prepare for an operation whose answer comes after many messages.
func (c *handle) begin(ctx context.Context, p *pending, body wire.Body) (op uint64, err error) {
	m, err := c.prepare(ctx, p, body, nil)
	if err != nil {
		return 0, err
	}
	if err := c.host.proc.conn.SendWithin(ctx, m); err != nil {
		return 0, c.unsent(ctx, m.Op, err)
	}
	return m.Op, nil
}

// moved handles what the host says of a state under way, on the host's reader.
func (c *handle) moved(m *wire.Msg) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.pending[m.Op]
	switch more := m.GetMore(); {
	case p == nil:
	case more != nil:
		for range min(more.GetChunks(), wire.ChunkWindow) {
			select {
			case p.more <- struct{}{}:
			default:
			}
		}
	case p.chunks != nil:
		select {
		case p.chunks <- m:
		default:
			go c.host.kill("sent more of a state than was asked for")
		}
	}
}

// Thaw lets a frozen cell go on.
func (c *handle) Thaw(ctx context.Context) error {
	c.mu.Lock()
	frozen := c.freeze.on
	c.mu.Unlock()
	if !frozen {
		return nil
	}
	if err := c.thaw(ctx); err != nil {
		return err
	}
	c.unfreeze()
	return nil
}

func (c *handle) thaw(ctx context.Context) error {
	_, err := c.ask(ctx, c.atOnce, &wire.Control_Thaw{Thaw: &wire.Thaw{}}, nil)
	return err
}

// unfreeze lets receivers go on.
func (c *handle) unfreeze() {
	c.mu.Lock()
	c.freeze.stop()
	c.mu.Unlock()
	c.wakeReceiver()
}
