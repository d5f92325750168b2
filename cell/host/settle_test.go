package host

import (
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/ring"
	"github.com/pyisolate/pyisolate/cell/wire"
)

// chatty is a node that always has one more message.
type chatty struct{ mute }

func (*chatty) TryRecv() (*wire.Msg, error) { return wire.New(2, 1, nil, nil), nil }
func (c *chatty) Recv() (*wire.Msg, error)  { return c.TryRecv() }

// A cell whose claim nobody waited for has its goroutines soon, however busy the reader
// is with others.
func TestFreshGuestStartsBesideABusyReader(t *testing.T) {
	region, err := ring.New(ring.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := &server{conn: &chatty{mute{t: t}}, cells: map[uint64]*guest{}, coming: map[uint64]*arrival{},
		pool: newPool(nil, 0, nil, nil)}
	claim := wire.New(1, 1, &wire.Control_Claim{Claim: &wire.Claim{Id: "c", Unwaited: true}}, nil)
	s.coming[1] = &arrival{claim: claim}
	s.admit(claim, claim.GetClaim(), cell.Limits{}.WithDefaults(),
		&slot{region: region, worker: unending{done: make(chan struct{})}}, true)
	g := s.fresh[0]
	for deadline := time.Now().Add(10 * time.Second); len(s.fresh) > 0 && time.Now().Before(deadline); {
		if _, err := s.next(); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.fresh) > 0 {
		t.Error("it has no goroutines after 10 s of messages to others")
		s.settle()
	}
	g.end(cell.Killed, "over")
	s.guests.Wait()
	s.pool.close()
}
