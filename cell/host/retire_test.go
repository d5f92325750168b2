package host

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/ring"
	"github.com/pyisolate/pyisolate/cell/wire"
)

// lateNode goes on claiming for a moment after the connection is closed, as messages do
// that the reader has taken already.
type lateNode struct {
	mute
	closed  chan struct{}
	claims  uint64
	hung    <-chan time.Time
	drained atomic.Bool
}

func (l *lateNode) Recv() (*wire.Msg, error) {
	<-l.closed
	select {
	case <-l.hung:
		l.drained.Store(true)
		return nil, wire.ErrClosed
	default:
		l.claims++
		return wire.New(l.claims, 1, &wire.Control_Claim{Claim: &wire.Claim{Id: "c", Unwaited: true}}, nil), nil
	}
}

func (l *lateNode) TryRecv() (*wire.Msg, error) { return nil, nil }

func (l *lateNode) Close() error {
	l.hung = time.After(20 * time.Millisecond)
	close(l.closed)
	return nil
}

type noWorkers struct{ Executor }

func (noWorkers) Start(*ring.Region) (Worker, error) { return nil, errZygoteClosed }
func (noWorkers) Close() error                       { return nil }

// A host that retires waits for its reader before it waits for the claims that the
// reader begins.
func TestNoClaimBeginsAfterTheEnd(t *testing.T) {
	node := &lateNode{mute: mute{t: t}, closed: make(chan struct{})}
	s := &server{conn: node, exec: noWorkers{}, cells: map[uint64]*guest{}, coming: map[uint64]*arrival{}, lease: newLease(nil),
		retired: make(chan struct{}), retireGrace: time.Hour}
	s.pool = newPool(s.exec, 0, nil, func(int, int, error) {})
	s.retire(string(cell.Crashed))
	if s.run() == nil {
		t.Error("a retired host ends without a reason")
	}
	if !node.drained.Load() {
		t.Error("the host has ended before its reader")
	}
}
