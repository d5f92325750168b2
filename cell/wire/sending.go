package wire

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pyisolate/pyisolate/broker/seal"
)

// buffers are those of connections that have something to say, for what is not sealed yet and for what
// is: an idle one keeps none.
var buffers, sealed = sync.Pool{New: newBuffer}, sync.Pool{New: newBuffer}

func newBuffer() any { return new(make([]byte, 0, seal.Overhead+framePlaintext)) }

// batchBytes is how much may be queued before it is sent without being asked for.
const batchBytes = 4 * framePlaintext

// Send queues m and, unless another Send is writing, writes all that is queued.
func (c *conn) Send(m *Msg) error { return c.add(context.Background(), m, 0) }

func (c *conn) SendWithin(ctx context.Context, m *Msg) error { return c.add(ctx, m, 0) }

func (c *conn) Queue(m *Msg) error { return c.add(context.Background(), m, batchBytes) }

func (c *conn) Flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || c.writing || c.queue == nil {
		return c.err // a writer takes everything along
	}
	return c.flush(nil)
}

// queued is, under mu, how many bytes wait.
func (c *conn) queued() int {
	if c.queue == nil {
		return 0
	}
	return len(*c.queue)
}

// add queues m, and has the queue written when it is longer than most.
func (c *conn) add(ctx context.Context, m *Msg, most int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.room(ctx); err != nil {
		return err
	}
	if c.queue == nil {
		c.queue = buffers.Get().(*[]byte)
	}
	var lent []byte // what need not be copied, as it is written before anything else comes
	if most == 0 && !c.writing && len(*c.queue) == 0 && len(m.Payload) >= shareSize {
		lent = m.Payload
	}
	queue, err := appendHead(*c.queue, m)
	if err != nil {
		return err
	}
	if lent == nil {
		queue = append(queue, m.Payload...)
	}
	*c.queue = queue
	if c.writing || len(queue) <= most {
		return nil
	}
	return c.flush(lent)
}

// room waits, under mu, until there is some in the queue.
func (c *conn) room(ctx context.Context) error {
	if c.err != nil || c.queued() <= queueBytes {
		return c.err
	}
	stop := context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.changed.Broadcast()
	})
	defer stop()
	for c.err == nil && c.queued() > queueBytes {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("wire: wait for a far side that does not read: %w", err)
		}
		c.changed.Wait()
	}
	return c.err
}

// batch is what is being written.
type batch struct {
	plain  *[]byte // nil: nothing
	left   []byte  // of it, not yet sealed
	lent   []byte  // behind it, in the memory of who sends
	sealed *[]byte
	frames int    // in it
	rest   []byte // of it, not yet written
}

// flush writes until the queue is empty, with what is lent behind what waits now. With patience a goroutine
// goes on where that would wait: whoever sends has deadlines of its own, and may not be held by a far side
// that does not read. It is called with mu held.
func (c *conn) flush(lent []byte) error {
	c.writing = true
	b := batch{lent: lent, sealed: sealed.Get().(*[]byte)}
	if c.drain(&b, c.patience == 0) {
		return c.err
	}
	if len(lent) > 0 { // its owner has it back
		b.left, b.lent = slices.Concat(b.left, b.lent), nil
	}
	go c.goOn(b)
	return nil
}

func (c *conn) goOn(b batch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drain(&b, true)
}

// drain writes b, and then the queue. It is called with mu held and gives it up during each write.
// Without wait it is false when something would have to wait: then c is still being written.
func (c *conn) drain(b *batch, wait bool) bool {
	for c.err == nil && (b.plain != nil || c.queued() > 0) {
		if b.plain == nil {
			b.plain, c.queue = c.queue, nil
			b.left = *b.plain
		}
		c.mu.Unlock()
		all, err := c.write(b, wait)
		c.mu.Lock()
		switch {
		case err != nil && c.err == nil:
			c.err = fmt.Errorf("%w: %w", ErrClosed, err)
		case err == nil && !all:
			return false
		}
		recycle(&buffers, b.plain)
		b.plain = nil
		c.changed.Broadcast()
	}
	recycle(&sealed, b.sealed)
	c.writing = false
	c.changed.Broadcast()
	return true
}

// write seals and writes what is left of b, several frames at once.
func (c *conn) write(b *batch, wait bool) (all bool, err error) {
	for {
		if len(b.rest) > 0 {
			n, err := c.put(b.rest, wait)
			if b.rest = b.rest[n:]; err != nil || len(b.rest) > 0 {
				return false, err
			}
			c.sent.add(b.frames, len(*b.sealed))
		}
		if len(b.left)+len(b.lent) == 0 {
			return true, nil
		}
		if err := c.seal(b); err != nil {
			return false, err
		}
	}
}

func (c *conn) seal(b *batch) (err error) {
	out := (*b.sealed)[:0]
	for b.frames = 0; len(b.left)+len(b.lent) > 0 && len(out) < 4*framePlaintext; b.frames++ {
		if len(b.left) == 0 {
			b.left, b.lent = b.lent, nil
		}
		n := min(len(b.left), framePlaintext)
		if out, err = c.out.Seal(out, b.left[:n]); err != nil {
			return err
		}
		b.left = b.left[n:]
	}
	*b.sealed, b.rest = out, out
	return nil
}

// put writes p: without wait, what there is room for.
func (c *conn) put(p []byte, wait bool) (int, error) {
	if !wait {
		return c.t.TryWrite(p)
	}
	if c.patience > 0 {
		overdue := time.AfterFunc(c.patience, c.stalled)
		defer overdue.Stop()
	}
	if err := c.t.Write(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// stalled ends the connection for its far side does not read.
func (c *conn) stalled() {
	c.mu.Lock()
	if c.err == nil {
		c.err = ErrStalled
	}
	c.changed.Broadcast()
	c.mu.Unlock()
	_ = c.t.Close() // frees the write under way, and who receives
}

// recycle gives a buffer back, unless a message grew it that is larger than a chunk of a state.
func recycle(to *sync.Pool, buf *[]byte) {
	if cap(*buf) <= 2*largeSize {
		*buf = (*buf)[:0]
		to.Put(buf)
	}
}
