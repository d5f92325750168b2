package host

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/wire"
	"github.com/pyisolate/pyisolate/internal/spin"
)

// Defaults of what Hello leaves 0, and how long a killed worker may take to
// end before it counts as stuck.
const (
	defaultKillGrace   = 500 * time.Millisecond
	defaultRetireGrace = 5 * time.Second
	stuckAfter         = 500 * time.Millisecond
	// recvPatience is how long the reader looks for the next message: about as
	// long as a caller takes that works with the answers one by one.
	recvPatience = 250 * time.Microsecond
	// maxAnswers is how many may wait for each other.
	maxAnswers = 32
	// freshPatience is how long it looks for the first operation of a cell that was
	// claimed by a node which did not wait.
	freshPatience = 50 * time.Microsecond
)

// server is one host's life.
type server struct {
	conn   wire.Conn
	opt    Options
	exec   Executor
	pool   *pool
	seats  *seating // nil: the node has none
	shared bool     // cells share this process

	killGrace, retireGrace time.Duration

	mu       sync.Mutex
	cells    map[uint64]*guest
	coming   map[uint64]*arrival // claimed, without a worker yet
	retiring string              // why, or ""
	retired  chan struct{}       // closed when there is nothing left to wait for
	running  atomic.Int32        // operations
	reading  spin.Spinner
	lease    *lease

	// The reader's: guests that are claimed and without goroutines yet, and how long
	// they may stay so.
	fresh      []*guest
	freshUntil time.Time
	// answers are how many were queued that leave together: many cells are reloaded at once.
	answers int

	claims sync.WaitGroup
	guests sync.WaitGroup
}

// Serve is a host's life on conn. It returns nil when the node closed the
// connection, and an error when the host could not start, is retired or met a
// broken message. All cells have been ended then.
func Serve(conn wire.Conn, o Options) error {
	hello, landlock, err := greet(conn)
	if err != nil {
		return err
	}
	s := &server{conn: conn, opt: o, cells: map[uint64]*guest{}, coming: map[uint64]*arrival{}, retired: make(chan struct{}), lease: newLease(o.Lapsed),
		shared:      cell.Backend(hello.GetBackend()) != cell.Process,
		killGrace:   orDefault(hello.GetKillGraceNs(), defaultKillGrace),
		retireGrace: orDefault(hello.GetRetireGraceNs(), defaultRetireGrace)}
	s.lease.greeted(hello.GetLeaseUntilNs())
	defer s.lease.stop()
	if err = confineProcess(hello.GetLayers().GetHost()); err == nil {
		s.exec, err = newExecutor(hello, landlock, o)
	}
	if err != nil {
		_ = conn.Send(wire.NewFailed(0, 0, err))
		return err
	}
	s.send(0, 0, &wire.Control_Ready{Ready: &wire.Ready{Pid: int32(os.Getpid()), Python: o.Python}}, nil)
	if hello.GetSeats() {
		s.seats = newSeating(func(cell uint64, body wire.Body) { s.send(cell, 0, body, nil) })
	}
	s.pool = newPool(s.exec, int(min(hello.GetPool(), 1024)), s.seats, s.poolChanged)
	return s.run()
}

// greet returns the greeting and the rules of Landlock that came with it.
func greet(conn wire.Conn) (*wire.Hello, []byte, error) {
	m, err := conn.Recv()
	if err != nil {
		return nil, nil, fmt.Errorf("host: wait for the node's greeting: %w", err)
	}
	if m.GetHello() == nil {
		return nil, nil, errors.New("host: the node's first message is not a greeting")
	}
	return m.GetHello(), m.Payload, nil
}

func orDefault(ns int64, d time.Duration) time.Duration {
	if ns <= 0 {
		return d
	}
	return time.Duration(ns)
}

// run reads the connection until it or the host ends, then ends everything.
func (s *server) run() error {
	broken := make(chan error, 1)
	var reader sync.WaitGroup
	reader.Go(func() { broken <- s.receive() })
	var err error
	select {
	case err = <-broken:
	case <-s.retired:
		err = fmt.Errorf("host: retired: %s", s.retiring)
	}
	s.endAll("the host ends")
	s.seats.close() // claims that wait for one have been refused
	err = errors.Join(err, s.conn.Close())
	reader.Wait() // it starts claims
	s.claims.Wait()
	s.pool.close()
	return errors.Join(err, s.exec.Close())
}

// receive dispatches messages. It returns nil when the node is gone.
func (s *server) receive() error {
	defer s.settle()
	for {
		m, err := s.next()
		if errors.Is(err, wire.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("host: receive from node: %w", err)
		}
		if m.GetReload() != nil {
			s.answers++
		}
		if s.takes(m) {
			continue
		}
		if g, e := s.addressee(m); g != nil {
			g.dispatch(m)
		} else if e != nil {
			s.refuse(m, e)
		}
	}
}

// takes handles what is not for a cell that there is, and reports whether m was that.
func (s *server) takes(m *wire.Msg) bool {
	if claim := m.GetClaim(); claim != nil {
		s.lease.begin()
		s.claim(m, claim)
		return true
	}
	if l := m.GetLease(); l != nil {
		s.lease.extend(l.GetUntilNs())
		return true
	}
	if seated := m.GetSeated(); seated != nil && s.seats != nil {
		s.seats.answered(seated)
		return true
	}
	return s.withdraw(m)
}

// next looks for a message before it sleeps, where that has paid lately, and behind a
// claim always.
func (s *server) next() (*wire.Msg, error) {
	if s.answers > 0 {
		if m, err := s.conn.TryRecv(); (m != nil && s.answers < maxAnswers) || err != nil {
			return m, err
		} else if s.answers, _ = 0, s.conn.Flush(); m != nil {
			return m, nil
		}
	}
	if len(s.fresh) > 0 {
		// Not beyond that: there may always be a message, and the cells need their watch.
		if rest := time.Until(s.freshUntil); rest > 0 {
			if m, err := wire.RecvSoon(s.conn, new(spin.Spinner), rest, spin.Many); m != nil || err != nil {
				return m, err
			}
		}
		s.settle()
	}
	if s.reading.Worthwhile() {
		if m, err := wire.RecvSoon(s.conn, &s.reading, recvPatience, s.crowd()); m != nil || err != nil {
			return m, err
		}
	}
	return s.conn.Recv()
}

// crowd is who runs beside the reader: where no cell does, only the node does, which is to bring the next message.
func (s *server) crowd() spin.Crowd {
	if s.running.Load() > 0 {
		return spin.Many
	}
	return spin.Sole
}

// send drops its error: a connection that fails ends receive, and that all.
func (s *server) send(id, op uint64, body wire.Body, payload []byte) {
	err := s.conn.Send(wire.New(id, op, body, payload))
	if errors.Is(err, wire.ErrTooLarge) {
		_ = s.conn.Send(wire.NewFailed(id, op, cell.Errorf(cell.Invalid, "%v", err)))
	}
}

// queue is send for what the guest says unasked, in whatever number.
func (s *server) queue(id uint64, body wire.Body, payload []byte) {
	if err := s.conn.Queue(wire.New(id, 0, body, payload)); errors.Is(err, wire.ErrTooLarge) {
		_ = s.conn.Send(wire.NewFailed(id, 0, cell.Errorf(cell.Invalid, "%v", err)))
	}
}

// refuse answers a message that expects an answer.
func (s *server) refuse(m *wire.Msg, e *cell.Error) {
	if expectsAnswer(m) {
		_ = s.conn.Send(wire.NewFailed(m.Cell, m.Op, e))
	}
}

func expectsAnswer(m *wire.Msg) bool {
	switch m.Body.(type) {
	case *wire.Control_Exec, *wire.Control_Call, *wire.Control_Send, *wire.Control_Inspect, *wire.Control_Claim, *wire.Control_Reload,
		*wire.Control_Save, *wire.Control_Thaw, *wire.Control_Restore:
		return true
	}
	return false
}

// forget is called once per guest, when its resources are given back or its
// worker is stuck.
func (s *server) forget(g *guest) {
	s.mu.Lock()
	delete(s.cells, g.id)
	last := s.retiring != "" && len(s.cells) == 0
	s.mu.Unlock()
	if last {
		s.retire("") // nobody is waited for any more
	}
	s.guests.Done()
}

// retire makes the host end soon: when its last cell has, or the grace is over.
func (s *server) retire(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.retiring == "" && reason != "" {
		s.retiring = reason
		s.send(0, 0, &wire.Control_Retiring{Retiring: &wire.Retiring{Reason: wire.Text(reason, 4096)}}, nil)
		time.AfterFunc(s.retireGrace, s.nothingLeft)
	}
	if len(s.cells) == 0 {
		s.closeRetired()
	}
}

func (s *server) nothingLeft() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeRetired()
}

func (s *server) closeRetired() {
	select {
	case <-s.retired:
	default:
		close(s.retired)
	}
}

// endAll refuses the claims under way, which another host may take, and kills the cells that are left. It
// waits until each is given back, or known to be stuck.
func (s *server) endAll(reason string) {
	s.mu.Lock()
	if s.retiring == "" {
		s.retiring = reason
	}
	why := s.retiring
	claims := make([]*wire.Msg, 0, len(s.coming))
	for _, a := range s.coming {
		claims = append(claims, a.claim)
	}
	cells := make([]*guest, 0, len(s.cells))
	for _, g := range s.cells {
		cells = append(cells, g)
	}
	s.mu.Unlock()
	for _, claim := range claims {
		s.turnAway(claim, takesNone(why))
	}
	for _, g := range cells {
		g.end(cell.Killed, reason)
	}
	s.guests.Wait()
}

func (s *server) poolChanged(ready, starting int, err error) {
	state := &wire.PoolState{Ready: uint32(ready), Starting: uint32(starting)}
	if err != nil {
		state.Error = wire.Text(err.Error(), 4096)
	}
	s.send(0, 0, &wire.Control_PoolState{PoolState: state}, nil)
}
