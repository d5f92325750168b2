package launch

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/wire"
	"github.com/pyisolate/pyisolate/kernel/stack"
)

// handle is the node's hold on one cell.
type handle struct {
	launcher *Launcher
	host     *hostproc
	id       string
	wireID   uint64
	spec     cell.Spec
	ruling   ruling       // of now
	wall     atomic.Int64 // the limit of now, in nanoseconds
	released bool         // under the launcher's mu
	warm     bool         // before anybody has the handle

	done chan struct{} // closed when it is to end, or has: nothing more is asked of it
	back chan struct{} // closed when its host has nothing of it any more

	mu      sync.Mutex
	nextOp  uint64
	pending map[uint64]*pending
	err     error
	overdue *time.Timer // kills the host that has not ended the cell by then; nil: it need not yet
	last    cell.Report
	outbox  outbox
	freeze  freeze
	seat    *numbered // nil: the kernel judges nothing by cell
	sitsIn  *hostproc // the host that its seat is to be in
	claimed bool      // its host has said so: it is in its seat
	// unproven: nothing has come from it yet.
	unproven bool
	starting bool // nobody waits for the answer to its claim, and it has not come
	ended    bool // end has been called

	records     wire.Records
	recordsLost uint64 // those that are dropped here

	served   served
	barred   error // what requests of its guest come to, under mu; nil: they are served
	requests scope // made under no operation

	reloads sync.Mutex // held while the policy is replaced, by the host's answer
	seating sync.Mutex // held while a policy is put into the seat, and guards ruling
}

var _ cell.Cell = (*handle)(nil)

// pending is one message that is to be answered.
type pending struct {
	answer chan *wire.Msg // one, buffered; closed unanswered when the cell ends
	ctx    context.Context
	exec   bool
	runs   bool            // the guest: one is served after the other
	behind uint64          // those up to this number may be before it; under mu
	turn   time.Time       // when the last of them was answered, under mu; zero: none was
	then   func(*wire.Msg) // handles the answer, on the host's reader, when nobody waits for it
	chunks chan *wire.Msg  // of state, from the host: of a snapshot only
	more   chan struct{}   // a token for each chunk that the host takes: of a restore only

	requests scope // made under the operation
}

// scope is the context of a guest's requests, made for the first of them. The handle's mu guards it.
type scope struct {
	ctx context.Context
	end context.CancelFunc
}

// within is a child of parent that ends with the scope.
func (s *scope) within(parent context.Context) context.Context {
	if s.ctx == nil {
		s.ctx, s.end = context.WithCancel(parent)
	}
	return s.ctx
}

func (s *scope) over() {
	if s.end != nil {
		s.end()
	}
}

// finish ends the requests made under the operation. It is called once, when
// it is pending no more, under the handle's mu.
func (p *pending) finish() { p.requests.over() }

func newHandle(l *Launcher, spec cell.Spec, wireID uint64, id string) *handle {
	c := &handle{launcher: l, id: id, wireID: wireID, spec: spec, done: make(chan struct{}),
		back: make(chan struct{}), pending: map[uint64]*pending{},
		last: cell.Report{State: cell.Running}, outbox: newOutbox(spec.Limits),
		served: served{message: spec.Limits.MessageBytes, most: spec.Limits.MessageBytes}}
	c.wall.Store(int64(spec.Limits.Wall))
	return c
}

// ID is the launcher's id and a counter.
func (c *handle) ID() string { return c.id }

// Spec is as claimed, with defaults.
func (c *handle) Spec() cell.Spec { return c.spec }

// Err is why the cell ended, or is to; nil while it runs and after Close.
func (c *handle) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Exec runs source.
func (c *handle) Exec(ctx context.Context, src cell.Source) error {
	if err := src.Validate(); err != nil {
		return err
	}
	args := []byte("[]")
	if len(src.Args) > 0 {
		v, err := cell.JSONValue(src.Args)
		if err != nil {
			return cell.Errorf(cell.Invalid, "arguments: %v", err)
		}
		args = v.Data
	}
	payload := append(args[:len(args):len(args)], src.Code...)
	if src.ID != "" {
		ctx = context.WithValue(ctx, sourceKey{}, src.ID)
	}
	_, err := c.ask(ctx, c.wallNow, &wire.Control_Exec{Exec: &wire.Exec{File: wire.Text(src.File, 4096),
		ArgsLen: uint32(len(args)), Stdin: src.Stdin, Restricted: src.Dialect == cell.Restricted}}, payload)
	return err
}

// Call runs one function.
func (c *handle) Call(ctx context.Context, inv cell.Invocation) (cell.Value, error) {
	call := &wire.Call{Target: inv.Target, ArgsLen: uint32(len(inv.Args)), Raw: inv.Raw != nil}
	payload := inv.Raw
	switch {
	case len(inv.Target) > 4096:
		return cell.Value{}, cell.Errorf(cell.Invalid, "target of %d bytes is too long", len(inv.Target))
	case call.Raw && (len(inv.Args) > 0 || len(inv.Kwargs) > 0):
		return cell.Value{}, cell.Errorf(cell.Invalid, "a raw argument excludes others")
	case call.Raw:
	default:
		payload = append(inv.Args[:len(inv.Args):len(inv.Args)], inv.Kwargs...)
	}
	m, err := c.ask(ctx, c.wallNow, &wire.Control_Call{Call: call}, payload)
	if err != nil {
		return cell.Value{}, err
	}
	return value(m.GetResult().GetType(), m.Payload), nil
}

func value(t uint32, data []byte) cell.Value {
	return cell.Value{Type: cell.ContentType(t), Data: data}
}

// Send appends to the inbox.
func (c *handle) Send(ctx context.Context, v cell.Value) error {
	_, err := c.ask(ctx, c.atOnce, &wire.Control_Send{Send: &wire.Send{Type: uint32(v.Type)}}, v.Data)
	return err
}

// Inspect asks the host, or says what was known last.
func (c *handle) Inspect(ctx context.Context) (cell.Report, error) {
	m, err := c.ask(ctx, c.atOnce, &wire.Control_Inspect{Inspect: &wire.Inspect{}}, nil)
	if errors.Is(err, cell.CellGone) {
		c.mu.Lock()
		last := c.last
		c.mu.Unlock()
		return c.identify(last), nil
	}
	if err != nil {
		return cell.Report{}, err
	}
	return c.identify(wire.ToReport(m.GetReport())), nil
}

// identify adds what the node knows better than the host.
func (c *handle) identify(r cell.Report) cell.Report {
	r.ID, r.Name, r.Tenant, r.Backend, r.HostPID = c.id, c.spec.Name, c.spec.Tenant, c.spec.Backend, c.host.pid
	if node := c.host.node; node != anywhere {
		r.NUMANode = &node
	}
	r.Confinement = c.confinement()
	if u := c.seated().kernelUsage(); u != nil {
		r.Kernel = u
	}
	c.mu.Lock()
	r.LogsLost += c.recordsLost
	c.mu.Unlock()
	return r
}

// seated is the cell's seat, nil where the kernel judges nothing by cell.
func (c *handle) seated() *numbered {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seat
}

// confinement is what the kernel holds the cell by.
func (c *handle) confinement() *cell.Confinement {
	report := c.host.confined.report
	s := c.seated()
	c.seating.Lock()
	now := c.ruling.confined
	c.seating.Unlock()
	if report == nil || (s == nil && now == nil) {
		return report
	}
	copied := *report
	copied.Layers = slices.Clone(report.Layers)
	if now != nil { // the layers are those that it has put on; what they hold is of the policy
		copied.Unheld = now.report.Unheld
	}
	for i, l := range copied.Layers {
		switch {
		case l.Name == string(stack.LSM) && now != nil: // it judges by the policy of now
			copied.Layers[i].Gaps = now.gaps(stack.LSM)
		case l.Name == string(stack.Cgroup) && s != nil && s.Bounded() != "":
			copied.Layers[i].Active, copied.Layers[i].Evidence = true, s.Bounded()
		}
	}
	return &copied
}

// Quarantine stops the guest for good; Inspect goes on working. From here on the guest is served
// nothing, whatever its host makes of it.
func (c *handle) Quarantine(ctx context.Context, reason string) error {
	if err := c.gone(); err != nil {
		return err
	}
	c.bar("quarantined: " + reason)
	if err := c.host.send(c.wireID, 0, &wire.Control_Quarantine{Quarantine: &wire.Quarantine{Reason: wire.Text(reason, 4096)}}, nil); err != nil {
		return cell.Errorf(cell.CellGone, "quarantine: %v", err)
	}
	_, err := c.Inspect(ctx) // answered after it, on the same connection
	return err
}

func (c *handle) gone() error {
	select {
	case <-c.done:
	default:
		return nil
	}
	if err := c.Err(); err != nil {
		return err
	}
	return cell.Errorf(cell.CellGone, "closed")
}

// finish makes the cell's end known; the first call decides why.
func (c *handle) finish(state cell.State, reason string) {
	c.mu.Lock()
	select {
	case <-c.done:
		c.mu.Unlock()
		return
	default:
	}
	c.last.State, c.last.Reason, c.last.Busy = state, reason, false
	if state != cell.Closed && c.err == nil {
		c.err = cell.Errorf(cell.CellGone, "%s: %s", state, reason)
	}
	// The answer to a claim that nobody waits for is still to come, and says whether an end
	// will follow.
	waiting := c.pending
	c.pending = map[uint64]*pending{}
	for op, p := range waiting {
		if p.then != nil {
			c.pending[op] = p
			delete(waiting, op)
		}
	}
	failure := c.err
	if failure == nil {
		failure = cell.Errorf(cell.CellGone, "closed")
	}
	for _, p := range waiting {
		c.outbox.failed(p, failure)
		p.finish()
	}
	close(c.done)
	c.requests.over()
	c.mu.Unlock()
	for _, p := range waiting {
		close(p.answer)
	}
	c.launcher.release(c)
}

// end is finish plus: the host holds nothing of the cell any more. It is called by the
// host's reader, or when nobody reads any more; only the first call counts.
func (c *handle) end(state cell.State, reason string, last *wire.Report) {
	c.mu.Lock()
	again := c.ended
	c.ended = true
	c.mu.Unlock()
	if again {
		return
	}
	c.finish(state, reason)
	if last != nil {
		c.mu.Lock()
		state, reason := c.last.State, c.last.Reason
		c.last = wire.ToReport(last)
		c.last.State, c.last.Reason = state, reason
		c.mu.Unlock()
	}
	used := c.seated().kernelUsage()
	c.launcher.spent(used)
	c.mu.Lock()
	c.last.Kernel = used
	c.mu.Unlock()
	c.seatIn(nil)
	c.returned()
}
