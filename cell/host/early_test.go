package host

import (
	"testing"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/wire"
)

// What expects no answer is not refused while the worker comes, however much waits: nobody would send it again.
func TestKillBehindManyThatWait(t *testing.T) {
	g, _ := looked(t)
	a := &attentive{mute: mute{t: t}}
	claim := wire.New(1, 1, &wire.Control_Claim{Claim: &wire.Claim{Id: "c"}}, nil)
	g.srv.conn, g.srv.cells[1], g.srv.coming = a, g, map[uint64]*arrival{1: {claim: claim}}
	for op := range uint64(maxEarly + 1) {
		_, e := g.srv.addressee(wire.New(1, 2+op, &wire.Control_Exec{Exec: &wire.Exec{}}, nil))
		if full := op == maxEarly; full != (e != nil) {
			t.Fatalf("operation %d: %v", op, e)
		}
	}
	kill := wire.New(1, 0, &wire.Control_Kill{Kill: &wire.Kill{Reason: "enough"}}, nil)
	if g.srv.withdraw(kill) {
		t.Fatal("the cell has begun")
	}
	if to, e := g.srv.addressee(kill); to != nil || e != nil {
		t.Errorf("the kill is for %v, %v", to, e)
	}
	g.srv.welcome(g)
	if g.state != cell.Killed {
		t.Errorf("the cell is %s", g.state)
	}
}
