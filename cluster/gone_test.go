package cluster

import (
	"errors"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cluster/wire"
)

// What clients of a node that is gone wait for here ends with it: its connections would be there until TCP gave them
// up, and receivers be given what nobody at their other end has.
func TestNobodyWaitsByWayOfANodeThatIsGone(t *testing.T) {
	nodes := form(t, 2)
	here, gone := nodes[0], nodes[1]
	l := here.Wire().Listener(wire.API)
	defer func() { _ = l.Close() }()
	c, err := gone.Wire().Dial(soon(t), here.name, wire.API)
	must(t, err)
	defer func() { _ = c.Close() }()
	in, err := l.Accept()
	must(t, err)
	must(t, in.SetReadDeadline(time.Now().Add(10*time.Second)))
	here.gone(gone.name)
	if _, err := in.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Errorf("the connection of the node that is gone is open: %v", err)
	}
}

func isTimeout(err error) bool {
	var late interface{ Timeout() bool }
	return errors.As(err, &late) && late.Timeout()
}
