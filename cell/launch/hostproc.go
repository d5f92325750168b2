package launch

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/wire"
)

// hostproc is one host process.
type hostproc struct {
	backend cell.Backend
	proc    *process
	pid     int
	up      time.Time
	gone    chan struct{} // closed when it is dead and its cells know
	changed func(*hostproc)

	mu       sync.Mutex
	cells    map[uint64]*handle
	retiring bool
	dead     bool
	verdict  string // why we killed it
}

// startHost starts a process and waits until it can take claims.
func (l *Launcher) startHost(backend cell.Backend) (*hostproc, error) {
	p, err := l.starter.start()
	if err != nil {
		return nil, err
	}
	h := &hostproc{backend: backend, proc: p, pid: p.cmd.Process.Pid, gone: make(chan struct{}),
		changed: l.hostChanged, cells: map[uint64]*handle{}}
	overdue := time.AfterFunc(l.config.StartTimeout, func() { h.kill("did not become ready in time") })
	err = l.greet(h)
	if !overdue.Stop() || err != nil {
		h.kill("did not start")
		exit := p.cmd.Wait()
		_ = p.conn.Close()
		return nil, fmt.Errorf("launch: start host: %w (%s)", errors.Join(err, exit), p.stderr)
	}
	h.up = time.Now()
	l.waiters.Go(func() { l.attend(h) })
	return h, nil
}

func (l *Launcher) greet(h *hostproc) error {
	c := l.config
	hello := &wire.Hello{Backend: string(h.backend), Pool: uint32(max(c.PoolSize, 0)),
		KillGraceNs: int64(c.KillGrace), RetireGraceNs: int64(c.RetireGrace),
		Dist: &wire.Dist{Home: c.Python.Home, Lib: c.Python.Lib, Stdlib: c.Python.Stdlib,
			Start: c.Python.Start, Preload: c.Python.Preload}}
	if !c.NoNamespaces {
		hello.NamespaceFlags = cellNamespaces
	}
	if err := h.proc.conn.Send(wire.New(0, 0, &wire.Control_Hello{Hello: hello}, nil)); err != nil {
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
	broken := h.read()
	if errors.Is(broken, wire.ErrClosed) {
		// It is exiting; give it the time to say how.
		overdue := time.AfterFunc(l.config.AnswerGrace, func() { h.kill("closed its connection and did not exit") })
		defer overdue.Stop()
	} else {
		h.kill(broken.Error())
	}
	exit := h.proc.cmd.Wait()
	_ = h.proc.conn.Close()
	reason := h.epitaph(exit)
	h.mu.Lock()
	h.dead = true
	orphans := h.cells
	h.cells = map[uint64]*handle{}
	h.mu.Unlock()
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

// read dispatches messages. It never sends: both sides may not wait for room.
func (h *hostproc) read() error {
	for {
		m, err := h.proc.conn.Recv()
		if err != nil {
			return err
		}
		if m.GetRetiring() != nil {
			h.mu.Lock()
			h.retiring = true
			h.mu.Unlock()
			h.changed(h)
			continue
		}
		h.mu.Lock()
		c := h.cells[m.Cell]
		h.mu.Unlock()
		if c != nil {
			c.receive(m)
		}
	}
}

// kill ends the process; attend does the rest.
func (h *hostproc) kill(verdict string) {
	h.mu.Lock()
	if h.verdict == "" {
		h.verdict = verdict
	}
	h.mu.Unlock()
	_ = h.proc.cmd.Process.Kill()
}

// admit registers a cell; false when the host takes none.
func (h *hostproc) admit(c *handle) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.dead || h.retiring {
		return false
	}
	h.cells[c.wireID] = c
	return true
}

func (h *hostproc) forget(c *handle) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.cells, c.wireID)
}

func (h *hostproc) usable() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.dead && !h.retiring
}

func (h *hostproc) send(id, op uint64, body wire.Body, payload []byte) error {
	return h.proc.conn.Send(wire.New(id, op, body, payload))
}
