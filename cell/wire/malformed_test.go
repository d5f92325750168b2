package wire_test

import (
	"errors"
	"testing"

	"github.com/pyisolate/pyisolate/cell/wire"
)

// What follows a malformed message, in its frame or behind it, is not received, whoever asks.
func TestNothingFollowsAMalformedMessage(t *testing.T) {
	for name, receive := range map[string]func(wire.Conn) (*wire.Msg, error){
		"waiting": wire.Conn.Recv, "trying": wire.Conn.TryRecv,
		"after a wait": func(c wire.Conn) (*wire.Msg, error) { c.Await(); return c.TryRecv() },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := conns(t)
			malformed := post(1, nil)
			malformed.ProtoReflect().SetUnknown([]byte{0xff})
			if err := errors.Join(a.Queue(post(1, nil)), a.Queue(malformed), a.Send(post(2, nil)), a.Send(post(3, nil))); err != nil {
				t.Fatal(err)
			}
			if m, err := b.Recv(); err != nil || m.Cell != 1 {
				t.Fatalf("before it came %v, %v", m, err)
			}
			for range 4 {
				if m, err := receive(b); !errors.Is(err, wire.ErrFormat) {
					t.Fatalf("%v, %v; want ErrFormat", m, err)
				}
			}
		})
	}
}
