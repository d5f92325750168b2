package wire_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/broker/transport"
	"github.com/pyisolate/pyisolate/cell/wire"
	"github.com/pyisolate/pyisolate/cell/wire/wiretest"
)

// dialed are two ends of which the first has patience.
func dialed(t *testing.T, mode transport.Mode, patience time.Duration) (a, b wire.Conn) {
	t.Helper()
	ours, theirs, err := transport.Pair()
	if err != nil {
		t.Fatal(err)
	}
	near, err := open(ours, mode)
	if errors.Is(err, transport.ErrNoUring) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	a, b = wiretest.ConnectWith(t, near, transport.NewSocket(theirs), patience)
	t.Cleanup(func() { _, _ = a.Close(), b.Close() })
	return a, b
}

func eachTransport(t *testing.T, test func(*testing.T, transport.Mode)) {
	for _, mode := range []transport.Mode{transport.ModeSocket, transport.ModeUring, stream} {
		t.Run(string(mode), func(t *testing.T) { test(t, mode) })
	}
}

// Who sends does not wait for a far side that does not read; one that goes on not reading ends
// the connection, for who receives, too.
func TestFarSideDoesNotRead(t *testing.T) {
	eachTransport(t, func(t *testing.T, mode transport.Mode) {
		a, _ := dialed(t, mode, 50*time.Millisecond)
		if err := a.Send(post(1, make([]byte, 3<<20))); err != nil {
			t.Errorf("the first message: %v", err)
		}
		if m, err := a.Recv(); !errors.Is(err, wire.ErrStalled) {
			t.Errorf("received %v, %v", m, err)
		}
		if err := a.Send(post(2, nil)); !errors.Is(err, wire.ErrStalled) {
			t.Errorf("afterwards: %v", err)
		}
	})
}

// What was left to be written later comes whole and in order, whoever sent it.
func TestLeftForLaterKeepsItsOrder(t *testing.T) {
	eachTransport(t, func(t *testing.T, mode transport.Mode) {
		a, b := dialed(t, mode, time.Minute)
		const senders, each = 4, 20
		var sending sync.WaitGroup
		for s := range uint64(senders) {
			sending.Go(func() {
				for n := range each {
					if err := a.Send(post(s, bytes.Repeat([]byte{byte(n)}, 150<<10))); err != nil {
						t.Error(err)
					}
				}
			})
		}
		next := map[uint64]int{}
		for range senders * each {
			m, err := b.Recv()
			if err != nil {
				t.Fatal(err)
			}
			want := bytes.Repeat([]byte{byte(next[m.Cell])}, 150<<10)
			if next[m.Cell]++; !bytes.Equal(m.Payload, want) {
				t.Fatalf("message %d of sender %d is of %d bytes, or another", next[m.Cell], m.Cell, len(m.Payload))
			}
		}
		sending.Wait()
	})
}

// Who waits because too much waits already gives up with its context, and has sent nothing.
func TestSendWithin(t *testing.T) {
	a, b := dialed(t, transport.ModeSocket, time.Minute)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	sent := 0
	var err error
	for ; err == nil && sent < 100; sent++ {
		err = a.SendWithin(ctx, post(1, make([]byte, 1<<20)))
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("after %d MiB: %v", sent, err)
	}
	var last sync.WaitGroup
	last.Go(func() {
		if err := a.Send(post(2, nil)); err != nil {
			t.Errorf("when there is room again: %v", err)
		}
	})
	for got := 1; ; got++ {
		m, err := b.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if m.Cell == 2 {
			if got != sent { // one was not, and one is the last
				t.Errorf("%d messages have come, want %d", got, sent)
			}
			break
		}
	}
	last.Wait()
}

// A payload is the sender's again after Send, also where what was sent waits to be written.
func TestPayloadIsTheSendersAgain(t *testing.T) {
	eachTransport(t, func(t *testing.T, mode transport.Mode) {
		a, b := dialed(t, mode, time.Minute)
		const messages, size = 3, 1 << 20
		payload := make([]byte, size)
		for n := range messages {
			for i := range payload {
				payload[i] = byte(i>>8) + byte(n)
			}
			if err := a.Send(post(1, payload)); err != nil {
				t.Fatal(err)
			}
		}
		clear(payload)
		for n := range messages {
			m, err := b.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if len(m.Payload) != size {
				t.Fatalf("message %d has %d bytes", n, len(m.Payload))
			}
			for i, got := range m.Payload {
				if want := byte(i>>8) + byte(n); got != want {
					t.Fatalf("byte %d of message %d is %d, want %d", i, n, got, want)
				}
			}
		}
	})
}

// Memory that is released, which what comes later has, is of nothing that is still looked at.
func TestReleasedMemory(t *testing.T) {
	a, b := dialed(t, transport.ModeSocket, time.Minute)
	var kept []*wire.Msg
	for n := range byte(40) {
		if err := a.Send(post(1, bytes.Repeat([]byte{n}, 200<<10))); err != nil {
			t.Fatal(err)
		}
		m, err := b.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if n%2 == 0 {
			m.Release()
			if m.Payload != nil {
				t.Error("a payload that was released can be looked at")
			}
			m.Release() // is nothing's any more
			continue
		}
		kept = append(kept, m)
	}
	for i, m := range kept {
		if want := bytes.Repeat([]byte{byte(2*i + 1)}, 200<<10); !bytes.Equal(m.Payload, want) {
			t.Errorf("message %d was written over", 2*i+1)
		}
	}
}
