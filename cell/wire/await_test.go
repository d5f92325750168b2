package wire_test

import (
	"errors"
	"testing"

	"github.com/pyisolate/pyisolate/broker/transport"
	"github.com/pyisolate/pyisolate/cell/wire/wiretest"
)

// Await does not sleep over a message that somebody has read from the transport and left
// in the connection's buffer: nothing more may ever come.
func TestAwaitSeesWhatIsBuffered(t *testing.T) {
	for _, mode := range []transport.Mode{transport.ModeSocket, transport.ModeUring} {
		t.Run(string(mode), func(t *testing.T) {
			ours, theirs, err := transport.Pair()
			if err != nil {
				t.Fatal(err)
			}
			near, err := transport.Open(ours, mode)
			if errors.Is(err, transport.ErrNoUring) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			a, b := wiretest.Connect(t, near, transport.NewSocket(theirs))
			defer func() { _, _ = a.Close(), b.Close() }()
			if err := errors.Join(b.Queue(post(1, nil)), b.Send(post(2, nil))); err != nil {
				t.Fatal(err)
			}
			for got := 0; got < 2; {
				m, err := a.TryRecv()
				if err != nil {
					t.Fatal(err)
				}
				if m != nil {
					got++
				}
				if got == 1 {
					a.Await() // a hang here is the failure
				}
			}
		})
	}
}
