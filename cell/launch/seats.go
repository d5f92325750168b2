package launch

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/wire"
	"github.com/pyisolate/pyisolate/kernel/cgroup"
	"github.com/pyisolate/pyisolate/kernel/enforce"
	"github.com/pyisolate/pyisolate/kernel/notify"
	"github.com/pyisolate/pyisolate/kernel/policy"
)

// seats are the workers of one host that the kernel judges, or bounds, by cell. The host
// announces each and waits for its seat before it uses it; a claim names the seat it wants,
// whose policy has been put in place before.
type seats struct {
	enforcer *enforce.Enforcer
	base     policy.Policy  // what a worker needs before it is claimed
	said     chan *wire.Msg // what the host says of workers, in order; closed at its end

	library []string // where the node watches paths: what workers open themselves
	leave   func()   // when the host is dead
	// prepared is the policy that running cells were given last.
	prepared preparation
	pool     int // workers that the host keeps ready

	// Under the host's mu:
	free    []*numbered
	watches map[uint64]*enforce.Watch // of workers without a seat yet, by their numbers
	more    chan struct{}             // closed, and replaced, when there is another
}

type numbered struct {
	worker uint64
	*enforce.Seat
}

// maxSaid is how many messages about workers may wait.
const maxSaid = 4096

// spareWorkers is how many more workers than it needs a host may have at one time, since those
// that are discarded take a moment to go.
const spareWorkers = 32

// crowded reports, under the host's mu, whether n workers are more than it needs for its pool
// and its cells.
func (h *hostproc) crowded(n int) bool { return n >= h.seats.pool+len(h.cells)+spareWorkers }

// attendSeats works beside the host's reader, which must not wait.
func (h *hostproc) attendSeats() {
	for m := range h.seats.said {
		if s := m.GetStarted(); s != nil {
			h.announced(m.Cell, s)
		} else {
			h.left(m.GetLeft().GetWorker())
		}
	}
	h.clear()
}

// attendListeners watches the paths of workers from their first call on. A worker that is not
// watched gets no answer to that call until its host is dead: it does not begin.
func (h *hostproc) attendListeners() {
	for {
		listener, worker, err := notify.Receive(h.proc.channel.listeners)
		if errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) {
			return
		}
		if err == nil {
			err = h.watch(listener, worker)
		}
		if errors.Is(err, notify.ErrFull) {
			continue // the worker fails, and says so; it may be others who have filled it
		}
		if err != nil {
			h.kill(fmt.Sprintf("sent a listener that cannot be served: %v", err))
			return
		}
	}
}

// watch keeps the worker's watch until it has a seat.
func (h *hostproc) watch(listener *os.File, worker uint64) error {
	w, err := h.seats.enforcer.Watch(h.pid, listener, h.seats.base.Files, h.seats.library)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.dead || h.seats.watches[worker] != nil || h.crowded(len(h.seats.watches)) {
		return errors.Join(errors.New("there is no such worker"), w.Close())
	}
	h.seats.watches[worker] = w
	close(h.seats.more)
	h.seats.more = make(chan struct{})
	return nil
}

// listenerPatience is how long a worker's listener may take after what was said of the worker:
// they come by two ways.
const listenerPatience = 5 * time.Second

// awaitWatch is takeWatch of a worker that must be watched.
func (h *hostproc) awaitWatch(worker uint64) *enforce.Watch {
	late := time.NewTimer(listenerPatience)
	defer late.Stop()
	for {
		h.mu.Lock()
		more := h.seats.more
		h.mu.Unlock()
		if w := h.takeWatch(worker); w != nil {
			return w
		}
		select {
		case <-more:
		case <-h.gone:
			return nil
		case <-late.C:
			return nil
		}
	}
}

// takeWatch returns the worker's watch, nil where nobody watches.
func (h *hostproc) takeWatch(worker uint64) *enforce.Watch {
	h.mu.Lock()
	defer h.mu.Unlock()
	w := h.seats.watches[worker]
	delete(h.seats.watches, worker)
	return w
}

// hear takes a message about workers, and reports whether it was one.
func (h *hostproc) hear(m *wire.Msg) bool {
	if h.seats == nil || (m.GetStarted() == nil && m.GetLeft() == nil) {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.dead { // said is closed
		return true
	}
	select {
	case h.seats.said <- m:
	default:
		h.condemn("said too much about workers")
	}
	return true
}

// kernelUsage is what the guard has counted, nil where it does not judge; s may be nil.
func (s *numbered) kernelUsage() *cell.KernelUsage {
	if s == nil || !s.Judged() {
		return nil
	}
	u := s.Usage()
	return &cell.KernelUsage{CPU: u.CPU, Opens: u.Opens, Connects: u.Connects, Sent: u.Sent, Received: u.Received,
		Children: u.Children, Denied: u.Denied, Slowed: u.Slowed}
}

// announced seats a worker that the host has started, for one of its cells or for its pool.
func (h *hostproc) announced(id uint64, m *wire.Started) {
	seated := &wire.Seated{Worker: m.GetWorker()}
	if err := h.seat(id, m); err != nil {
		seated.Error = wire.Text(err.Error(), 1024)
	}
	_ = h.send(0, 0, &wire.Control_Seated{Seated: seated}, nil) // fails when the host is dead
}

func (h *hostproc) seat(id uint64, m *wire.Started) error {
	if err := h.expects(id); err != nil {
		return err
	}
	taken, err := h.seats.enforcer.Seat(h.pid, int(m.GetTask()), h.backend == cell.Process, h.seats.base)
	if err != nil {
		return err
	}
	s := &numbered{m.GetWorker(), taken}
	watch := h.takeWatch(s.worker)
	if watch == nil && h.fit.watched {
		watch = h.awaitWatch(s.worker)
	}
	if watch != nil {
		s.Watched(watch)
	} else if h.fit.watched {
		s.Close()
		return errors.New("the worker has sent no listener")
	}
	h.mu.Lock()
	c := h.cells[id]
	switch {
	case id != 0 && c == nil:
		err = errors.New("nobody waits for the worker")
	case id == 0:
		h.seats.free = append(h.seats.free, s)
	}
	h.mu.Unlock()
	if err == nil && id != 0 {
		err = c.sit(h, s)
	}
	if err != nil {
		s.Close()
	}
	return err
}

// expects reports whether a worker may come for the cell or, with 0, for the pool.
func (h *hostproc) expects(id uint64) error {
	h.mu.Lock()
	c, crowded := h.cells[id], h.crowded(len(h.seats.free))
	h.mu.Unlock()
	switch {
	case id == 0 && crowded:
		return errors.New("there are too many workers")
	case id != 0 && (c == nil || !c.awaitsSeat(h)):
		return errors.New("nobody waits for the worker")
	}
	return nil
}

// left is told of a worker of the pool that is gone.
func (h *hostproc) left(worker uint64) {
	if w := h.takeWatch(worker); w != nil {
		_ = w.Close()
	}
	h.mu.Lock()
	var gone *numbered
	for i, s := range h.seats.free {
		if s.worker == worker {
			gone = s
			h.seats.free = append(h.seats.free[:i:i], h.seats.free[i+1:]...)
			break
		}
	}
	h.mu.Unlock()
	if gone != nil {
		gone.Close()
	}
}

// takeSeat returns the seat of a worker that is ready, nil when there is none.
func (h *hostproc) takeSeat() *numbered {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.seats.free) == 0 {
		return nil
	}
	s := h.seats.free[0]
	h.seats.free = h.seats.free[1:]
	return s
}

// keepSeat puts a seat that its cell could not take back among the free ones. What was put into
// it goes, and all of it where its worker died with the host.
func (h *hostproc) keepSeat(s *numbered) {
	_, err := s.Put(h.seats.base, cgroup.Limits{})
	h.mu.Lock()
	kept := err == nil && !h.dead
	if kept {
		h.seats.free = append(h.seats.free, s)
	}
	h.mu.Unlock()
	if !kept {
		s.Close() // a worker that lives stays with the host, and nobody names it
	}
}

// unseated is why a cell could not have its seat: the policy's fault, unless the host has died
// meanwhile.
func (c *handle) unseated(err error) error {
	c.host.mu.Lock()
	dead := c.host.dead
	c.host.mu.Unlock()
	if dead {
		<-c.host.gone // its cells know why
	}
	if gone := c.gone(); gone != nil {
		return gone
	}
	return cell.Errorf(cell.PolicyDenied, "put the policy in place: %v", err)
}

// clear gives back the seats of workers that died with their host.
func (h *hostproc) clear() {
	h.mu.Lock()
	free, watches := h.seats.free, h.seats.watches
	h.seats.free, h.seats.watches = nil, nil
	h.mu.Unlock()
	for _, w := range watches {
		_ = w.Close()
	}
	for _, s := range free {
		s.Close()
	}
	h.seats.leave()
}

// sit gives the cell a seat in a host, and the seat the cell's policy. The seat is the
// caller's when it fails.
func (c *handle) sit(h *hostproc, s *numbered) error {
	c.seating.Lock()
	defer c.seating.Unlock()
	if err := c.putInto(h, s); err != nil {
		return err
	}
	s.Tell(c.kernelSays)
	c.mu.Lock()
	if c.sitsIn != h || c.claimed || c.last.State != cell.Running {
		c.mu.Unlock()
		return errors.New("the cell is not to be there any more")
	}
	before := c.seat
	c.seat = s
	c.mu.Unlock()
	if before != nil {
		before.Close() // its worker was gone when it was claimed
	}
	return nil
}

// putInto gives a free seat, which has what Python needs, what the cell has beyond that.
func (c *handle) putInto(h *hostproc, s *numbered) error {
	limits := c.ruling.kernelLimits()
	if !c.ruling.fit.own {
		return s.Limit(limits)
	}
	_, err := s.Put(h.kernelPolicy(c.ruling.policy), limits)
	return err
}

// awaitsSeat reports whether the host is to give the cell a seat: until its claim is answered.
func (c *handle) awaitsSeat(h *hostproc) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sitsIn == h && !c.claimed
}

// seatIn says in which host the cell is to have its seat, nil for none, and gives up one that it
// has elsewhere.
func (c *handle) seatIn(h *hostproc) {
	c.mu.Lock()
	before := c.seat
	c.seat, c.sitsIn, c.claimed = nil, h, false
	c.mu.Unlock()
	if before != nil {
		before.Close()
	}
}

// sits is called when the host says that the cell is claimed. It must have its seat by then.
func (c *handle) sits() {
	c.mu.Lock()
	c.claimed, c.unproven = true, true
	s := c.seat
	c.mu.Unlock()
	if c.host.seats != nil && s == nil {
		c.host.kill("put a cell where the kernel does not judge it")
	}
}

// proveSeat is called by the host's reader with what the cell says: where the kernel has threads
// take their binding themselves, this one has done so before it ran anything.
func (c *handle) proveSeat() {
	c.mu.Lock()
	s := c.seat
	unproven := c.unproven && s != nil
	c.unproven = false
	c.mu.Unlock()
	if unproven && !s.Taken() {
		c.host.kill("runs a cell that the kernel does not judge")
	}
}

// rise leaves the seat of a claim that has not left to the next cell: its host has the worker still.
func (c *handle) rise() {
	c.mu.Lock()
	s := c.seat
	c.seat = nil
	c.mu.Unlock()
	if s != nil {
		c.host.keepSeat(s)
	}
}

// kernelPolicy is what the guard judges by: a cell's policy, and what Python needs.
func (h *hostproc) kernelPolicy(p policy.Policy) policy.Policy {
	p.Files = merge(h.seats.base.Files, p.Files)
	p.Quotas.Memory = 0
	return p
}

// What a process may have beyond the limit that its allocator keeps: Python itself, and
// threads that have ended and are counted a moment longer.
const (
	memorySlack = 64 << 20
	tasksSlack  = 16
)

// kernelLimits bound the cell's process as a whole.
func (r ruling) kernelLimits() cgroup.Limits {
	q := r.policy.Quotas
	l := cgroup.Limits{CPU: q.CPU, Period: q.CPUPeriod, Memory: q.Memory, Tasks: q.Tasks}
	if l.Memory == 0 {
		l.Memory = r.limits.Memory + memorySlack
	}
	if l.Tasks == 0 {
		l.Tasks = 2*int64(r.limits.Children) + tasksSlack
	}
	return l
}
