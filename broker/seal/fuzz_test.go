package seal_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/pyisolate/pyisolate/broker/seal"
)

// fuzzDecoder holds a decoder to this: it does not panic, and what it accepts is
// the only encoding of what it returns.
func fuzzDecoder(f *testing.F, message int, roundTrip func([]byte) ([]byte, error)) {
	for _, suites := range [][]seal.Suite{{seal.XWing}, {seal.X25519}, bothSuites} {
		f.Add(record(f, suites...).messages[message])
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		again, err := roundTrip(slices.Clone(msg))
		if err == nil {
			same(t, "encoding", again, msg)
		}
	})
}

func FuzzHello(f *testing.F)   { fuzzDecoder(f, 0, seal.EncodeHello) }
func FuzzAnswer(f *testing.F)  { fuzzDecoder(f, 1, seal.EncodeAnswer) }
func FuzzConfirm(f *testing.F) { fuzzDecoder(f, 2, seal.EncodeConfirm) }

// FuzzReadMessage reads from a stream. What is read is the front of the stream,
// as long as it says, and of the kind that was asked for.
func FuzzReadMessage(f *testing.F) {
	for i, msg := range record(f, seal.XWing).messages {
		f.Add(uint8(i+1), msg)
		f.Add(uint8(i+1), slices.Concat(msg, msg))
	}
	f.Fuzz(func(t *testing.T, kind uint8, stream []byte) {
		r := bytes.NewReader(stream)
		msg, err := seal.ReadMessage(r, kind)
		if err != nil {
			return
		}
		same(t, "message", msg, stream[:len(stream)-r.Len()])
		if msg[5] != kind || len(msg) != 8+int(msg[6])+int(msg[7])<<8 {
			t.Fatalf("asked for kind %d, got %x", kind, msg)
		}
	})
}

// FuzzHandshake calls both roles in whatever order with whatever messages. Each
// byte of the script is a call: who, and with which message, perhaps damaged. The
// sides are always the recorded ones, so there is exactly one message that each
// step may accept, once, and only after the step before.
func FuzzHandshake(f *testing.F) {
	r := record(f, seal.X25519)
	const genuine = 3
	f.Add([]byte{0 | 0<<2, 1 | 1<<2, 2 | 2<<2}, []byte{})        // hello, answer, confirm
	f.Add([]byte{2 | 2<<2, 0 | 0<<2, 0 | 0<<2}, []byte{})        // out of order
	f.Add([]byte{0 | genuine<<2, 1 | genuine<<2}, r.messages[0]) // from outside
	f.Add([]byte{0 | 0<<2 | 1<<4, 1 | 1<<2 | 1<<4}, []byte{20})  // damaged
	f.Fuzz(func(t *testing.T, script, outside []byte) {
		if len(script) > 16 {
			return // nothing new happens after so many refusals
		}
		node, _, err := seal.NewInitiator(r.node(t))
		if err != nil {
			t.Fatal(err)
		}
		host := must(seal.NewResponder(r.host(t)))(t)
		nodeOver, hostStep := false, 0
		for _, op := range script {
			msg := outside
			if n := op >> 2 & 3; n < genuine {
				msg = slices.Clone(r.messages[n])
				if op>>4 != 0 && len(outside) > 0 {
					msg[int(outside[0])%len(msg)] ^= op >> 4
				}
			}
			switch op & 3 {
			case 0:
				_, err := host.Answer(msg)
				hostStep = checkStep(t, err, hostStep, 0, bytes.Equal(msg, r.Hello))
			case 2:
				_, err := host.Finish(msg)
				hostStep = checkStep(t, err, hostStep, 1, bytes.Equal(msg, r.Confirm))
			default:
				_, _, err := node.Finish(msg)
				if want := !nodeOver && bytes.Equal(msg, r.Answer); want != (err == nil) {
					t.Fatalf("node: %v for %x, over %v", err, msg, nodeOver)
				}
				nodeOver = true
			}
		}
	})
}

const stepsOver = 9

// checkStep checks one call of the responder and returns where it is now.
func checkStep(t *testing.T, err error, at, step int, genuine bool) int {
	t.Helper()
	if want := at == step && genuine; want != (err == nil) {
		t.Fatalf("host at step %d: %v for step %d, genuine %v", at, err, step, genuine)
	}
	if err != nil {
		if !errors.Is(err, seal.ErrHandshake) {
			t.Fatalf("%v is of another kind", err)
		}
		return stepsOver
	}
	return at + 1
}

// FuzzOpen gives a session's opener a stream. What it opens are the session's own
// frames from the first on, and after the first refusal it opens nothing.
func FuzzOpen(f *testing.F) {
	r := record(f, seal.X25519)
	genuine := r.sealed(f, 5)
	f.Add([]byte{})
	f.Add(slices.Concat(genuine...))
	f.Add(slices.Concat(genuine[0], genuine[2]))
	f.Add(slices.Concat(genuine[0], genuine[1], genuine[1]))
	f.Add(length(seal.MaxFrame))
	f.Fuzz(func(t *testing.T, stream []byte) {
		_, host := r.pair(t)
		opened := 0
		for len(stream) > 0 {
			n, err := host.In.FrameLength(stream)
			n = min(max(n, seal.LengthSize), len(stream))
			frame := slices.Clone(stream[:n])
			stream = stream[n:]
			plaintext, openErr := host.In.Open(frame)
			if openErr != nil {
				isOver(t, host, openErr)
				continue
			}
			if err != nil || opened >= len(genuine) || !bytes.Equal(plaintext, count(1, opened)) {
				t.Fatalf("opened frame %d as %x after %v", opened, plaintext, err)
			}
			opened++
		}
	})
}
