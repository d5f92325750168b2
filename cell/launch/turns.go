package launch

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/pyisolate/pyisolate/cell/wire"
	"github.com/pyisolate/pyisolate/internal/spin"
)

const (
	// answerPatience is how long a caller looks for its answer itself.
	answerPatience = 250 * time.Microsecond
	// linger is how long the resident leaves the connection to callers after one
	// got its answer from it. What comes unasked may lie that long.
	linger = 200 * time.Microsecond
	// talkative is for how long after a guest has asked for something no connection is left to
	// callers: the next question of a guest would lie there, with nobody to read it.
	talkative = 2 * time.Millisecond
)

// looking are the callers of any host that look for their answer.
var looking atomic.Int32

// turns decides who reads a connection: its resident goroutine, or a caller that
// waits for an answer. A caller that reads gets its answer without another goroutine
// between, and it makes itself useful for a moment only. The resident waits for what
// comes and reads what no caller has taken; in the moments after a caller has got its
// answer it does not even wait, and nobody is woken beside the next one.
type turns struct {
	conn    wire.Conn
	reading sync.Mutex // held by whoever reads
	callers atomic.Int32
	asked   atomic.Int64 // when a guest last asked for something, as moment tells it
	lately  atomic.Int64 // until when the resident stays away, as moment tells it; 0 when it reads
	back    chan struct{}
	spin    spin.Spinner
}

// moment is the time since the program began. Nobody sets it back, or a resident would stay away for as long as the
// clock was set.
func moment() time.Duration { return time.Since(programStart) }

var programStart = time.Now()

func newTurns(c wire.Conn) *turns { return &turns{conn: c, back: make(chan struct{}, 1)} }

// reside reads until the connection fails. take must not block.
func (t *turns) reside(take func(*wire.Msg)) error {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		t.stayAway(pause)
		t.conn.Await()
		if err := t.drain(take); err != nil {
			return err
		}
	}
}

// drain reads what is there. Whoever reads ends with it: the resident waits for what
// comes, and not for what has come and lies in the connection's buffer.
func (t *turns) drain(take func(*wire.Msg)) error {
	t.reading.Lock()
	defer t.reading.Unlock()
	for {
		m, err := t.conn.TryRecv()
		if m == nil || err != nil {
			return err
		}
		take(m)
	}
}

// stayAway returns when no caller got an answer for a while, or one calls.
func (t *turns) stayAway(pause *time.Timer) {
	for until := t.lately.Load(); until != 0; until = t.lately.Load() {
		d := time.Duration(until) - moment()
		if d <= 0 {
			t.lately.CompareAndSwap(until, 0)
			continue
		}
		pause.Reset(d)
		select {
		case <-pause.C:
		case <-t.back:
		}
	}
}

// answered is told by whoever handles an answer, before its caller knows. The
// next question may follow at once.
func (t *turns) answered() {
	if t.callers.Load() != 1 || !t.spin.Worthwhile() {
		return
	}
	if now := moment(); now-time.Duration(t.asked.Load()) > talkative {
		t.lately.Store(int64(now + linger))
	}
}

// heard is told of each question of a guest.
func (t *turns) heard() { t.asked.Store(int64(moment())) }

// look reads, for a caller that has asked, until done reports true or nothing has
// come for a moment. It does nothing while others wait, or when it has not paid lately.
func (t *turns) look(done func() bool, take func(*wire.Msg)) {
	if t.lately.Load() == 0 && !t.spin.Worthwhile() {
		return
	}
	if t.callers.Load() > 1 || !t.reading.TryLock() {
		t.call()
		return
	}
	others := spin.Many
	if looking.Add(1) == 1 {
		others = spin.Sole
	}
	defer looking.Add(-1)
	for !done() {
		m, err := wire.RecvSoon(t.conn, &t.spin, answerPatience, others)
		if m == nil || err != nil {
			t.call()
			break
		}
		take(m)
	}
	t.reading.Unlock()
	if t.drain(take) != nil {
		// The resident is to meet the same error, and may wait for what is there no more.
		_ = t.conn.Close()
		t.call()
	}
	if t.callers.Load() > 1 {
		t.call()
	}
}

// call has the resident read again.
func (t *turns) call() {
	t.lately.Store(0)
	select {
	case t.back <- struct{}{}:
	default:
	}
}
