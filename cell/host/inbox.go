package host

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/ring"
	"github.com/pyisolate/pyisolate/cell/wire"
)

// maxReceivers is how many recv calls of one cell, made by its threads, may wait.
const maxReceivers = 1024

// inbox holds what others sent until the guest receives it. At most one of
// values and waiting is not empty.
type inbox struct {
	items, bytes int // bounds
	held         int // bytes of values
	values       []cell.Value
	waiting      []*receiver
	// handed is the value that the operation which runs received last: the cell may say
	// that it gave up before it came.
	handed *cell.Value
}

type receiver struct {
	id    uint64
	bound bool // ends with the operation
	timer *time.Timer
}

func (r *receiver) stop() {
	if r.timer != nil {
		r.timer.Stop()
	}
}

func (b *inbox) stop() {
	for _, r := range b.waiting {
		r.stop()
	}
	b.waiting, b.values, b.handed = nil, nil, nil
}

// next takes, under mu, the receiver out that a value is for; nil when nobody waits.
func (b *inbox) next(v cell.Value) *receiver {
	if len(b.waiting) == 0 {
		return nil
	}
	r := b.waiting[0]
	b.waiting = b.waiting[1:]
	r.stop()
	if r.bound {
		b.handed = &v
	}
	return r
}

// settle forgets, under mu, what an operation that is over still waited for: nobody would
// read what came for it.
func (b *inbox) settle() {
	b.handed = nil
	b.waiting = slices.DeleteFunc(b.waiting, func(r *receiver) bool {
		if r.bound {
			r.stop()
		}
		return r.bound
	})
}

// recall takes back what was handed to an operation that gave up before it came: the next
// to receive gets it. That may be one value more than the inbox holds otherwise.
func (g *guest) recall() {
	g.mu.Lock()
	v := g.inbox.handed
	if v == nil {
		g.mu.Unlock()
		return
	}
	g.inbox.settle()
	to := g.inbox.next(*v)
	if to == nil {
		g.inbox.values = slices.Insert(g.inbox.values, 0, *v)
		g.inbox.held += len(v.Data)
	}
	g.mu.Unlock()
	if to != nil {
		_ = g.answer(to.id, flagsOf(uint32(v.Type)), v.Data)
	}
}

// deliver puts a value into the inbox, or into the hands of a guest that waits.
func (g *guest) deliver(m *wire.Msg, v cell.Value) {
	g.mu.Lock()
	var to *receiver
	switch {
	case g.refusal != nil:
		defer g.srv.refuse(m, g.refusal)
	case g.move.frozen:
		g.mu.Unlock()
		g.srv.refuse(m, cell.Errorf(cell.Busy, "the cell is frozen while its state is moved; send again later"))
		return
	case len(v.Data) > g.limits.MessageBytes:
		defer g.srv.refuse(m, cell.Errorf(cell.Invalid, "%d bytes exceed the message limit of %d", len(v.Data), g.limits.MessageBytes))
	case g.inbox.held+g.unread.bytes+len(v.Data) > g.inbox.bytes:
		defer g.srv.refuse(m, cell.Errorf(cell.Busy, "the inbox is full with %d bytes; send again later", g.inbox.held+g.unread.bytes))
		g.mu.Unlock()
		return
	case len(g.inbox.waiting) > 0:
		to = g.inbox.next(v)
	case len(g.inbox.values) >= g.inbox.items:
		defer g.srv.refuse(m, cell.Errorf(cell.Busy, "the inbox is full with %d items; send again later", len(g.inbox.values)))
		g.mu.Unlock()
		return
	default:
		g.inbox.values = append(g.inbox.values, v)
		g.inbox.held += len(v.Data)
	}
	refused := g.refusal != nil || len(v.Data) > g.limits.MessageBytes
	g.mu.Unlock()
	if refused {
		return
	}
	if to != nil {
		_ = g.answer(to.id, flagsOf(uint32(v.Type)), v.Data)
	}
	g.srv.send(g.id, m.Op, &wire.Control_Result{Result: &wire.Result{}}, nil)
}

// receive serves the guest's recv, now or when there is something.
func (g *guest) receive(f ring.Frame) error {
	seconds, err := parseFloat(f.Payload)
	if err != nil {
		return err
	}
	bound := f.Flags&ring.Bound != 0
	g.mu.Lock()
	if bound {
		g.inbox.handed = nil // it asks again: so it has that
	}
	if len(g.inbox.values) > 0 {
		v := g.inbox.values[0]
		g.inbox.values[0] = cell.Value{}
		g.inbox.values = g.inbox.values[1:]
		g.inbox.held -= len(v.Data)
		if bound {
			g.inbox.handed = &v
		}
		g.mu.Unlock()
		return g.answer(f.ID, flagsOf(uint32(v.Type)), v.Data)
	}
	waits := !(seconds == 0 || math.IsNaN(seconds)) && len(g.inbox.waiting) < maxReceivers && !g.refusalIsFinal()
	if waits {
		r := &receiver{id: f.ID, bound: bound}
		if wait := time.Duration(min(seconds, 1e9) * 1e9); seconds > 0 {
			r.timer = time.AfterFunc(wait, func() { g.receiveNothing(r) })
		}
		g.inbox.waiting = append(g.inbox.waiting, r)
	}
	g.mu.Unlock()
	if !waits {
		return g.answer(f.ID, ring.None, nil)
	}
	return nil
}

// receiveNothing ends a recv whose time is over.
func (g *guest) receiveNothing(r *receiver) {
	g.mu.Lock()
	found := false
	for i, w := range g.inbox.waiting {
		if w == r {
			g.inbox.waiting = append(g.inbox.waiting[:i], g.inbox.waiting[i+1:]...)
			found = true
			break
		}
	}
	g.mu.Unlock()
	if found {
		_ = g.answer(r.id, ring.None, nil)
	}
}

// maxUnread is how many answers may wait for a guest to read them. A guest asks once
// a thread, so one that has that many does not read what it asks for.
const maxUnread = 2048

// unread are answers that wait for room in the ring.
type unread struct{ answers, bytes int }

// answer sends IN_ANSWER without ever blocking its caller. An error ends the cell.
func (g *guest) answer(id uint64, flags ring.Flags, payload []byte) error {
	return g.answerAnd(id, flags, payload, func() {})
}

// answerAnd is answer, and calls sent when nobody needs the payload any more; perhaps it never does.
func (g *guest) answerAnd(id uint64, flags ring.Flags, payload []byte, sent func()) error {
	written, err := g.slot.region.TrySend(ring.InAnswer, flags, id, payload)
	if written || err != nil {
		sent()
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.unread.answers >= maxUnread {
		return fmt.Errorf("%w: %d answers wait to be read", ring.ErrProtocol, maxUnread)
	}
	g.unread.answers++
	g.unread.bytes += len(payload)
	g.later(func() {
		_ = g.slot.region.Send(ring.InAnswer, flags, id, payload)
		g.mu.Lock()
		g.unread.answers--
		g.unread.bytes -= len(payload)
		g.mu.Unlock()
		sent()
	})
	return nil
}
