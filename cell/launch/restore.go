package launch

import (
	"context"
	"errors"
	"io"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/state"
	"github.com/pyisolate/pyisolate/cell/wire"
)

// Restore puts a state into a cell in which nothing has run.
func (c *handle) Restore(ctx context.Context, from io.Reader) error {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	p := &pending{answer: make(chan *wire.Msg, 1), ctx: inner, more: make(chan struct{}, wire.ChunkWindow)}
	op, err := c.begin(inner, p, &wire.Control_Restore{Restore: &wire.Restore{}})
	if err != nil {
		return err
	}
	r := restore{handle: c, op: op, more: p.more, over: make(chan struct{})}
	sent := make(chan error, 1)
	go func() {
		err := r.send(inner, from)
		if err != nil {
			cancel()
		}
		sent <- err
	}()
	_, err = c.await(inner, op, p, unbounded)
	close(r.over)
	if failed := <-sent; failed != nil && ctx.Err() == nil {
		err = failed // and not that it was given up
	}
	if err != nil {
		if r.ready { // half a state is none
			c.Kill("a state could not be restored: " + err.Error())
		}
		return err
	}
	c.receiveAgain(r.outbox)
	return nil
}

// restore is one under way.
type restore struct {
	handle *handle
	op     uint64
	more   <-chan struct{}
	over   chan struct{} // closed when the host has answered
	ready  bool          // the host has begun, and takes a chunk
	outbox []cell.Item
	held   int // bytes of it
}

// send reads a stream and sends the host its part, the last of it when all is known to be whole.
func (r *restore) send(ctx context.Context, from io.Reader) error {
	if err := r.await(ctx); err != nil {
		return nil
	}
	stream, err := state.NewReader(from)
	for err == nil {
		var rec state.Record
		if rec, err = stream.Next(); err != nil {
			break
		}
		switch rec.Kind {
		case state.Outbox, state.Failure:
			err = r.keep(cell.Item{Value: rec.Value, Err: rec.Err})
		case state.End:
			last := &wire.Chunk{Last: true, Counters: wire.FromReport(rec.Snapshot.Counters)}
			return r.chunk(ctx, last, nil)
		case state.Inbox:
			err = r.chunk(ctx, &wire.Chunk{Kind: wire.Chunk_INBOX, Type: uint32(rec.Value.Type)}, rec.Value.Data)
		case state.CodePart:
			err = r.chunk(ctx, &wire.Chunk{Kind: wire.Chunk_CODE_PART}, rec.Payload)
		case state.Code:
			err = r.chunk(ctx, &wire.Chunk{Kind: wire.Chunk_CODE}, rec.Payload)
		default:
			err = r.chunk(ctx, &wire.Chunk{Kind: wire.Chunk_DATA}, rec.Payload)
		}
	}
	if errors.Is(err, errOver) {
		return nil
	}
	if errors.Is(err, state.ErrFormat) {
		return cell.Errorf(cell.Invalid, "%v", err)
	}
	return err
}

// errOver: the host has answered, and wants no more.
var errOver = errors.New("launch: the restore is over")

// await returns when the host takes another chunk.
func (r *restore) await(ctx context.Context) error {
	select {
	case <-r.more:
		r.ready = true
		return nil
	case <-r.over:
	case <-ctx.Done(): // the caller knows why
	}
	return errOver
}

func (r *restore) chunk(ctx context.Context, c *wire.Chunk, payload []byte) error {
	if r.handle.host.send(r.handle.wireID, r.op, &wire.Control_Chunk{Chunk: c}, payload) != nil {
		return errOver // the host is gone
	}
	if c.Last {
		return nil
	}
	return r.await(ctx)
}

// keep keeps what will be received, in the bounds of what a guest may have posted.
func (r *restore) keep(i cell.Item) error {
	l := r.handle.limitsNow()
	if r.held += len(i.Value.Data) + wire.PostCost; len(r.outbox) >= 2*l.QueueItems || r.held > wire.PostBytes+wire.Overdraft(l) {
		return cell.Errorf(cell.Invalid, "the state's outbox has more than this cell's limits permit: %d items, %d bytes", len(r.outbox)+1, r.held)
	}
	r.outbox = append(r.outbox, i)
	return nil
}

// receiveAgain puts what the state had posted before what its hooks have.
func (c *handle) receiveAgain(items []cell.Item) {
	c.mu.Lock()
	for _, i := range items {
		if i.Err != nil {
			c.outbox.failures++
		}
	}
	c.outbox.restored = len(items)
	c.outbox.items = append(items, c.outbox.items...)
	c.mu.Unlock()
	c.wakeReceiver()
}
