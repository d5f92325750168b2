package host

import (
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/ring"
	"github.com/pyisolate/pyisolate/cell/wire"
)

// mute is a node that takes everything, and whatever can be sent to it.
type mute struct {
	wire.Conn
	t *testing.T
}

func (m *mute) Send(msg *wire.Msg) error {
	if _, err := wire.Append(nil, msg); err != nil {
		m.t.Errorf("a frame makes a message that cannot be sent: %v", err)
	}
	return nil
}
func (m *mute) Queue(msg *wire.Msg) error { return m.Send(msg) }
func (*mute) Flush() error                { return nil }

// dummy is a worker that does nothing.
type dummy struct{}

func (dummy) Interrupt(uint64, cell.Kind) {}
func (dummy) Kill()                       {}
func (dummy) Task() int                   { return 0 }
func (dummy) CPU() (time.Duration, error) { return 0, nil }
func (dummy) Done() <-chan struct{}       { return nil }
func (dummy) WhenDone(func())             {}
func (dummy) Err() error                  { return nil }
func (dummy) Stuck() bool                 { return false }
func frameOf(kind, flags uint8, id uint64, payload []byte) ring.Frame {
	return ring.Frame{Kind: ring.Kind(kind), Flags: ring.Flags(flags), ID: id, Payload: payload}
}

// FuzzFrames has a guest say anything at all while its operation 7 runs. It is an
// error that ends the cell, or a message that the node can take.
func FuzzFrames(f *testing.F) {
	for _, kind := range []ring.Kind{ring.OutResult, ring.OutError, ring.OutPost, ring.OutLog, ring.OutMetric,
		ring.OutRecv, ring.OutRequest, ring.OutDenial, ring.OutEnded, ring.OutChunk, ring.OutMore, 99} {
		f.Add(uint8(kind), uint8(0), uint64(7), make([]byte, 24))
		f.Add(uint8(kind), uint8(ring.Raw), uint64(0), []byte{1, 0, 0, 0, 1, 0, 0, 0, 'a', 'b', 'c'})
		f.Add(uint8(kind), uint8(ring.Error), uint64(7), []byte{255, 255, 255, 255, 255, 255, 255, 255})
		f.Add(uint8(kind), uint8(255), uint64(1<<63), []byte{})
	}
	f.Fuzz(func(t *testing.T, kind, flags uint8, id uint64, payload []byte) {
		region, err := ring.New(ring.Options{})
		if err != nil {
			t.Fatal(err)
		}
		srv := &server{conn: &mute{t: t}, cells: map[uint64]*guest{}}
		g := newGuest(srv, wire.New(1, 1, nil, nil), &wire.Claim{Id: "c"}, cell.Limits{}.WithDefaults(),
			&slot{region: region, worker: dummy{}})
		g.current = &operation{id: 7}
		srv.running.Add(1)
		for range 2 {
			if g.frame(frameOf(kind, flags, id, payload)) != nil {
				break
			}
		}
		g.end(cell.Killed, "over")
		region.Close()
		g.senders.Wait()
		if err := region.Free(); err != nil {
			t.Error(err)
		}
	})
}
