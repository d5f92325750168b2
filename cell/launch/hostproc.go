package launch

import (
	"cmp"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/wire"
	"github.com/pyisolate/pyisolate/kernel/enforce"
	"github.com/pyisolate/pyisolate/kernel/policy"
)

// hostproc is one host process.
type hostproc struct {
	backend  cell.Backend
	fit      fit
	node     int
	confined *confinement
	proc     *process
	turns    *turns
	pid      int
	up       time.Time
	gone     chan struct{} // closed when it is dead and its cells know
	changed  func(*hostproc)
	alive    func(cell uint64) bool // in any host
	leased   int64                  // until when, as it was greeted; see Lease
	granting atomic.Bool            // it is being told of the lease

	mu       sync.Mutex
	cells    map[uint64]*handle
	ready    int    // workers it has said to have ready, less those claimed since
	seats    *seats // nil: the node's half of the kernel has nothing
	retiring bool
	leaving  *time.Timer   // kills it when it has not gone by then; nil: it has not said that it goes
	toLeave  time.Duration // how long that may take
	dead     bool
	verdict  string // why we killed it

	// See idle.go. Without patience it stays.
	held      int // spawns that have chosen it
	patience  time.Duration
	idleSince time.Time
	idle      *time.Timer
	expired   func()
}

// startHost starts a process and waits until it can take claims.
func (l *Launcher) startHost(backend cell.Backend, r ruling, node int) (*hostproc, error) {
	share, number := l.users.take(backend)
	h, err := l.startWith(backend, r, node, share)
	if err != nil {
		l.users.give(number)
		l.observeHost(HostChange{Backend: backend, Failed: err})
		return nil, err
	}
	l.observeHost(HostChange{Backend: backend, PID: h.pid})
	l.waiters.Go(func() {
		l.attend(h)
		l.users.give(number)
	})
	return h, nil
}

func (l *Launcher) startWith(backend cell.Backend, r ruling, node int, share Users) (*hostproc, error) {
	p, err := l.starter.start(backend, r.fit, node)
	if err != nil {
		return nil, err
	}
	confined := l.confinement(backend, r) // while the host starts
	h := &hostproc{backend: backend, fit: r.fit, node: node, confined: confined, proc: p, pid: p.cmd.Process.Pid, gone: make(chan struct{}),
		changed: l.hostChanged, alive: l.alive, cells: map[uint64]*handle{}, toLeave: l.config.RetireGrace + l.config.AnswerGrace}
	h.expired = func() { l.endIdle(h) }
	if l.wantsSeats(backend, r.fit, confined) {
		h.seats = &seats{enforcer: l.config.Kernel, pool: max(l.config.PoolSize, 0), watches: map[uint64]*enforce.Watch{}, more: make(chan struct{}), said: make(chan *wire.Msg, maxSaid), base: policy.Policy{Files: guardFiles(l.config.Python)}}
		h.seats.leave, err = l.config.Kernel.Enroll(h.pid)
	}
	if p.channel.listeners != nil {
		if len(confined.landlock) > 0 { // which judges again what they open
			h.seats.library = []string{l.config.Python.Stdlib}
		}
		l.waiters.Go(h.attendListeners)
	}
	overdue := time.AfterFunc(l.config.StartTimeout, func() { h.kill("did not become ready in time") })
	if err = cmp.Or(err, confined.err); err == nil {
		p.conn, err = p.channel.dial(l.config.AnswerGrace)
	}
	if err == nil {
		h.turns = newTurns(p.conn)
		err = l.greet(h, share)
	}
	if !overdue.Stop() || err != nil {
		return nil, h.abandon(err)
	}
	h.up = time.Now()
	if h.seats != nil {
		l.waiters.Go(h.attendSeats)
	}
	return h, nil
}

// abandon ends a host that could not be started. Workers that it has sent listeners of are watched
// by now, and may outlive it.
func (h *hostproc) abandon(err error) error {
	h.kill("") // what it was killed for before stays
	exit := h.proc.cmd.Wait()
	h.mu.Lock()
	h.dead = true // no listener is watched from here on
	if h.verdict != "" {
		err = errors.Join(errors.New("it "+h.verdict), err)
	}
	h.mu.Unlock()
	if h.seats != nil {
		h.clear()
	}
	_ = h.proc.channel.close()
	return fmt.Errorf("launch: start host: %w (%s)", errors.Join(err, exit), h.proc.stderr)
}

// wantsSeats: without a policy a thread whose filter gives it no sockets has no group either:
// where programs do not judge files they have nothing to do for it.
func (l *Launcher) wantsSeats(b cell.Backend, f fit, c *confinement) bool {
	nothingToJudge := !f.own && b == cell.SubInterpreter && !l.guard.Files && len(c.layers.GetSeccomp()) > 0
	return l.config.Kernel.Seats() && !nothingToJudge
}

func (l *Launcher) greet(h *hostproc, share Users) error {
	c := l.config
	h.leased = l.leaseNow()
	hello := &wire.Hello{Backend: string(h.backend), Pool: uint32(max(c.PoolSize, 0)),
		KillGraceNs: int64(c.KillGrace), RetireGraceNs: int64(c.RetireGrace),
		Layers: h.confined.layers, Seats: h.seats != nil, Writes: h.fit.writes, NoZygote: c.NoZygote, FirstUid: share.First, Uids: share.Count, LeaseUntilNs: h.leased,
		Dist: &wire.Dist{Home: c.Python.Home, Lib: c.Python.Lib, Stdlib: c.Python.Stdlib,
			Start: c.Python.Start, Preload: c.Python.Preload}}
	if !c.NoNamespaces {
		hello.NamespaceFlags = h.fit.namespaces(cellNamespaces)
	}
	if err := h.proc.conn.Send(wire.New(0, 0, &wire.Control_Hello{Hello: hello}, h.confined.landlock)); err != nil {
		return err
	}
	m, err := h.proc.conn.Recv()
	if err != nil {
		return fmt.Errorf("wait until ready: %w", err)
	}
	if f := m.GetFailed(); f != nil {
		return wire.ToError(f.Error)
	}
	if m.GetReady() == nil {
		return errors.New("the host's first message is not ready")
	}
	return nil
}

// attend reads the host's messages until it is dead and tells its cells why.
func (l *Launcher) attend(h *hostproc) {
	defer close(h.gone)
	broken := h.turns.reside(h.take)
	switch {
	case errors.Is(broken, wire.ErrClosed):
		// It is exiting; give it the time to say how.
		overdue := time.AfterFunc(l.config.AnswerGrace, func() { h.kill("closed its connection and did not exit") })
		defer overdue.Stop()
	case errors.Is(broken, wire.ErrStalled):
		h.kill("did not read what it was sent in time")
	default:
		h.kill(broken.Error())
	}
	exit := h.proc.cmd.Wait()
	_ = h.proc.conn.Close()
	l.observeHost(HostChange{Backend: h.backend, PID: h.pid, Ended: h.ended(), Reason: h.epitaph(exit), Up: time.Since(h.up)})
	h.proc.channel.deaf()
	reason := h.epitaph(exit)
	h.mu.Lock()
	h.dead = true
	for _, t := range []*time.Timer{h.idle, h.leaving} {
		if t != nil {
			t.Stop()
		}
	}
	orphans := h.cells
	h.cells = map[uint64]*handle{}
	h.mu.Unlock()
	if h.seats != nil {
		close(h.seats.said) // by who has filled it
	}
	l.hostChanged(h)
	for _, c := range orphans {
		c.end(cell.Crashed, reason, nil)
	}
}

func (h *hostproc) epitaph(exit error) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	how := "exit status 0"
	if exit != nil {
		how = exit.Error()
	}
	text := "host process died: " + how
	if h.verdict != "" {
		text = "host process was killed: it " + h.verdict
	}
	if words := h.proc.stderr.String(); words != "" {
		text += ": " + words
	}
	return text
}

// take handles one message. It never sends: both sides may not wait for room.
func (h *hostproc) take(m *wire.Msg) {
	if m.GetRetiring() != nil {
		if h.retire() {
			h.changed(h)
		}
		return
	}
	if h.hear(m) {
		return
	}
	h.mu.Lock()
	if pool := m.GetPoolState(); pool != nil {
		h.ready = int(pool.Ready)
	}
	c := h.cells[m.Cell]
	h.mu.Unlock()
	switch {
	case c != nil:
		c.receive(m)
	case m.Cell != 0 && h.alive(m.Cell):
		h.kill("spoke for a cell that it does not have")
	}
}

// retire is called when the host has said that it takes no more cells, and ends. It is false when
// that is known. The host has a successor at once: that it goes is not left to it.
func (h *hostproc) retire() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.retiring || h.dead {
		return false
	}
	h.retiring = true
	h.leaving = time.AfterFunc(h.toLeave, func() { h.kill("did not retire in time") })
	return true
}

// kill ends the process; attend does the rest.
func (h *hostproc) kill(verdict string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.condemn(verdict)
}

// condemn is kill under mu.
func (h *hostproc) condemn(verdict string) {
	if h.verdict == "" {
		h.verdict = verdict
	}
	_ = h.proc.cmd.Process.Kill()
}

// admit registers a cell with the host that was held for it; false when the host
// takes none.
func (h *hostproc) admit(c *handle) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held--
	if h.dead || h.retiring {
		return false
	}
	c.host = h // before anybody can find the cell
	h.cells[c.wireID] = c
	return true
}

// takeReady reports whether a claim now will find a worker ready, as far as is known.
func (h *hostproc) takeReady() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ready--
	return h.ready >= 0
}

// readyNow is how many workers are ready, as far as is known: of what the host says, a pool's at
// most.
func (h *hostproc) readyNow(pool int) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.dead || h.retiring:
		return 0
	case h.seats != nil:
		return len(h.seats.free)
	}
	return max(0, min(h.ready, pool))
}

func (h *hostproc) forget(c *handle) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.cells, c.wireID)
	h.rest()
}

func (h *hostproc) send(id, op uint64, body wire.Body, payload []byte) error {
	return h.proc.conn.Send(wire.New(id, op, body, payload))
}
