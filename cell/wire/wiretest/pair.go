// Package wiretest connects two ends of a test by a real sealed connection.
package wiretest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/broker/seal"
	"github.com/pyisolate/pyisolate/broker/transport"
	"github.com/pyisolate/pyisolate/cell/wire"
)

// Pair returns both ends, the node's and the host's. Closing them is the test's.
func Pair(tb testing.TB) (node, host wire.Conn) {
	tb.Helper()
	ours, theirs, err := transport.Pair()
	if err != nil {
		tb.Fatal(err)
	}
	return Connect(tb, transport.NewSocket(ours), transport.NewSocket(theirs))
}

// Connect runs the handshake between the two ends of a transport.
func Connect(tb testing.TB, a, b transport.Transport) (node, host wire.Conn) {
	tb.Helper()
	return ConnectWith(tb, a, b, 0)
}

// ConnectWith is Connect of a node with patience.
func ConnectWith(tb testing.TB, a, b transport.Transport, patience time.Duration) (node, host wire.Conn) {
	tb.Helper()
	value := make([]byte, seal.SecretSize)
	value[0] = 1
	dialed, err1 := seal.NewSecret(append([]byte(nil), value...))
	accepted, err2 := seal.NewSecret(value)
	if err := errors.Join(err1, err2); err != nil {
		tb.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { host, err2 = wire.Accept(b, seal.Config{Secret: accepted}) })
	node, err1 = wire.Dial(a, seal.Config{Secret: dialed}, patience)
	wg.Wait()
	if err := errors.Join(err1, err2); err != nil {
		tb.Fatal(err)
	}
	return node, host
}
