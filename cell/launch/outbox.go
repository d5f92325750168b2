package launch

import (
	"context"
	"errors"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/wire"
)

func tooLarge(err error) bool { return errors.Is(err, wire.ErrTooLarge) }

// creditBytes is when received bytes are worth a message to the host: half of
// what it may have under way.
const creditBytes = 2 << 20

// outbox holds what was posted and not received. It is guarded by the handle's
// mu. The credit bounds the posts, failures bounds the failed execs.
type outbox struct {
	items    []cell.Item
	failures int
	limit    int
	// lent is the credit that posts have used and the host has not got back; most is
	// what an honest host can use.
	lent, most int
	arrived    chan struct{} // one token: something came
	// restored is how many of the first items the host has never had.
	restored int
	// received since the last credit
	owedItems, owedBytes int
}

func newOutbox(l cell.Limits) outbox {
	return outbox{limit: l.QueueItems, most: wire.PostBytes + wire.Overdraft(l), arrived: make(chan struct{}, 1)}
}

func (o *outbox) put(i cell.Item) {
	o.items = append(o.items, i)
	select {
	case o.arrived <- struct{}{}:
	default:
	}
}

// posted puts a post, or reports false when the host had no credit for it.
func (o *outbox) posted(v cell.Value) bool {
	if o.lent += len(v.Data) + wire.PostCost; o.lent > o.most {
		return false
	}
	o.put(cell.Item{Value: v})
	return true
}

// failed queues how an exec failed; when nobody receives, the newest are lost.
func (o *outbox) failed(p *pending, err error) {
	var e *cell.Error
	if !p.exec || o.failures >= o.limit || !errors.As(err, &e) {
		return
	}
	o.failures++
	id, _ := p.ctx.Value(sourceKey{}).(string)
	o.put(cell.Item{Err: e, ID: id})
}

// take returns the oldest item, and the credit to give when it is time to.
func (o *outbox) take() (i cell.Item, ok bool, credit *wire.Credit) {
	if len(o.items) == 0 {
		return i, false, nil
	}
	i = o.items[0]
	o.items[0] = cell.Item{}
	o.items = o.items[1:]
	if i.Err != nil {
		o.failures--
	}
	if o.restored > 0 {
		o.restored--
		return i, true, nil
	}
	if i.Err != nil {
		return i, true, nil
	}
	o.owedItems++
	o.owedBytes += len(i.Value.Data) + wire.PostCost
	return i, true, o.settle()
}

// settle returns the credit to give, if it is time to.
func (o *outbox) settle() *wire.Credit {
	if o.owedItems == 0 || (2*o.owedItems < o.limit && o.owedBytes < creditBytes) {
		return nil
	}
	credit := &wire.Credit{Items: uint32(o.owedItems), Bytes: int64(o.owedBytes)}
	o.lent -= o.owedBytes
	o.owedItems, o.owedBytes = 0, 0
	return credit
}

// Recv takes the next item.
func (c *handle) Recv(ctx context.Context) (cell.Item, error) {
	for {
		over := c.hasReturned()
		c.mu.Lock()
		var i cell.Item
		var ok bool
		var credit *wire.Credit
		if !c.freeze.on {
			i, ok, credit = c.outbox.take()
		}
		more := len(c.outbox.items) > 0 && !c.freeze.on
		c.mu.Unlock()
		if more { // the token is one, receivers may be several
			c.wakeReceiver()
		}
		if credit != nil {
			_ = c.host.send(c.wireID, 0, &wire.Control_Credit{Credit: credit}, nil)
		}
		if ok {
			return i, nil
		}
		if over {
			c.wakeReceiver()
			return cell.Item{}, c.gone()
		}
		select {
		case <-c.outbox.arrived:
		case <-c.back:
		case <-ctx.Done():
			return cell.Item{}, cell.Errorf(contextKind(ctx), "nothing was posted: %v", ctx.Err())
		}
	}
}

// hasReturned reports whether nothing more can come.
func (c *handle) hasReturned() bool {
	select {
	case <-c.back:
		return true
	default:
		return false
	}
}

func (c *handle) wakeReceiver() {
	select {
	case c.outbox.arrived <- struct{}{}:
	default:
	}
}
