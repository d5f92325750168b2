package launch

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell/wire"
	"github.com/pyisolate/pyisolate/cell/wire/wiretest"
)

// echoes is a connection whose far end sends every message back, and unasked
// ones before and after some.
type echoes struct {
	*turns
	far     wire.Conn
	mu      sync.Mutex
	waiting map[uint64]chan *wire.Msg
	unasked chan uint64
}

func message(id, op uint64) *wire.Msg {
	return wire.New(id, op, &wire.Control_Credit{Credit: &wire.Credit{}}, nil)
}

func newEchoes(t *testing.T) *echoes {
	t.Helper()
	ours, theirs := wiretest.Pair(t)
	e := &echoes{turns: newTurns(ours), far: theirs,
		waiting: map[uint64]chan *wire.Msg{}, unasked: make(chan uint64, 1<<16)}
	var both sync.WaitGroup
	both.Go(func() {
		for {
			m, err := e.far.Recv()
			if err != nil {
				return
			}
			if m.Op%16 == 0 {
				_ = e.far.Send(message(1, m.Op))
			}
			_ = e.far.Send(message(0, m.Op))
			if m.Op%16 == 8 {
				_ = e.far.Send(message(1, m.Op))
			}
		}
	})
	both.Go(func() {
		if err := e.reside(e.take); !errors.Is(err, wire.ErrClosed) {
			t.Errorf("the resident ended with %v", err)
		}
	})
	t.Cleanup(func() {
		_ = e.conn.Close()
		_ = e.far.Close()
		both.Wait()
	})
	return e
}

func (e *echoes) take(m *wire.Msg) {
	if m.Cell == 1 {
		e.unasked <- m.Op
		return
	}
	e.mu.Lock()
	answer := e.waiting[m.Op]
	delete(e.waiting, m.Op)
	e.mu.Unlock()
	e.answered()
	answer <- m
}

func (e *echoes) ask(t *testing.T, op uint64) {
	answer := make(chan *wire.Msg, 1)
	e.mu.Lock()
	e.waiting[op] = answer
	e.mu.Unlock()
	e.callers.Add(1)
	defer e.callers.Add(-1)
	if err := e.conn.Send(message(0, op)); err != nil {
		t.Error(err)
		return
	}
	e.look(func() bool { return len(answer) > 0 }, e.take)
	select {
	case <-answer:
	case <-time.After(20 * time.Second):
		t.Errorf("question %d is not answered", op)
	}
}

// Whoever reads, every answer and everything unasked arrives.
func TestTurnsLoseNothing(t *testing.T) {
	for name, callers := range map[string]int{"one caller": 1, "several": 4} {
		t.Run(name, func(t *testing.T) {
			const each = 2000
			e := newEchoes(t)
			var wg sync.WaitGroup
			for c := range callers {
				wg.Go(func() {
					for i := range each {
						e.ask(t, uint64(c*each+i))
						if i%500 == 499 {
							time.Sleep(2 * linger)
						}
					}
				})
			}
			wg.Wait()
			for range callers * each / 8 {
				select {
				case <-e.unasked:
				case <-time.After(20 * time.Second):
					t.Fatal("an unasked message is not read")
				}
			}
		})
	}
}

// malformed is a connection on which what came is not a message: there is nothing more to wait for.
type malformed struct {
	wire.Conn
	once   sync.Once
	closed chan struct{}
}

func (m *malformed) TryRecv() (*wire.Msg, error) { return nil, wire.ErrFormat }
func (m *malformed) Await()                      { <-m.closed }
func (m *malformed) Close() error {
	m.once.Do(func() { close(m.closed) })
	return nil
}

// What a caller meets ends the resident, too, though it waits for more.
func TestCallerMeetsAMalformedMessage(t *testing.T) {
	far := &malformed{closed: make(chan struct{})}
	defer func() { _ = far.Close() }()
	turns := newTurns(far)
	nothing := func(m *wire.Msg) { t.Errorf("%v was taken", m) }
	ended := make(chan error, 1)
	go func() { ended <- turns.reside(nothing) }()
	turns.callers.Add(1)
	turns.look(func() bool { return false }, nothing)
	select {
	case err := <-ended:
		if !errors.Is(err, wire.ErrFormat) {
			t.Errorf("the resident ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the resident waits for ever")
	}
}
