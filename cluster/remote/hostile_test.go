package remote

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding/gzip"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cluster/pki"
	"github.com/pyisolate/pyisolate/cluster/remote/internal/envelope"
	"github.com/pyisolate/pyisolate/internal/await"
)

// TestHostileNode: a node with a certificate that does what it may not is sent away, and that is all
// that comes of it.
func TestHostileNode(t *testing.T) {
	in := newCluster(t, "a", "b", "x")
	there(t, in, "b")
	a := here(t, in, "a")
	dial := in.insider(t, "x")
	stats := func() Stats { return told[Stats](t, a, "echo-on-b", "stats") }
	for name, does := range attacks {
		t.Run(name, func(t *testing.T) {
			before := stats().Refused
			err := does(attack(t, dial()))
			if err == nil || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("it was not sent away: %v", err)
			}
			if after := stats().Refused; after != before+1 {
				t.Errorf("%d were refused, and now %d: %v", before, after, err)
			}
			await.That(t, "its connection is closed", func() bool { return stats().Visitors == 1 })
		})
	}
	if got := told[[]string](t, a, "echo-on-b", "inbox"); len(got) != 0 {
		t.Errorf("something came through: %q", got)
	}
}

// TestHostileBytes: so it is with what is not even a message.
func TestHostileBytes(t *testing.T) {
	in := newCluster(t, "a", "b", "x")
	there(t, in, "b")
	a := here(t, in, "a")
	dial := in.insider(t, "x")
	for name, text := range map[string]string{
		"HTTP/1":  "GET / HTTP/1.1\r\nHost: b\r\n\r\n",
		"zeros":   string(make([]byte, 1<<16)),
		"preface": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff",
	} {
		t.Run(name, func(t *testing.T) {
			conn := dial()
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(time.Now().Add(enterTime / 2))
			_, _ = io.WriteString(conn, text)
			if _, err := io.Copy(io.Discard, conn); errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
				t.Error("it was not sent away")
			}
		})
	}
	t.Run("not protobuf", func(t *testing.T) {
		b := message(envelopeType, target, &envelope.CellEnvelope{})
		b.Envelopes[0].MessageData = []byte{0xff}
		if err := attack(t, dial()).say(greetingOf("x"), batchOf(b)); err == nil || isTimeout(err) {
			t.Error(err)
		}
	})
	t.Run("too large", func(t *testing.T) {
		b := message(envelopeType, target, &envelope.CellEnvelope{})
		b.Envelopes[0].MessageData = make([]byte, envelopeBytes+2*batchBytes)
		if err := attack(t, dial()).say(greetingOf("x"), batchOf(b)); err == nil || isTimeout(err) {
			t.Error(err)
		}
	})
	t.Run("a bomb", func(t *testing.T) {
		b := message(envelopeType, target, &envelope.CellEnvelope{})
		b.Envelopes[0].MessageData = make([]byte, envelopeBytes+2*batchBytes)
		at := attack(t, dial())
		stream, err := remote.NewRemotingClient(at.cc).Receive(at.ctx, grpc.UseCompressor(gzip.Name))
		if err == nil {
			_ = stream.Send(greetingOf("x"))
			_ = stream.Send(batchOf(b))
			for err == nil {
				_, err = stream.Recv()
			}
		}
		if isTimeout(err) {
			t.Error(err)
		}
	})
	t.Run("two streams", func(t *testing.T) {
		at := attack(t, dial())
		client := remote.NewRemotingClient(at.cc)
		first, err := client.Receive(at.ctx)
		if err == nil {
			err = first.Send(greetingOf("x"))
		}
		if err == nil {
			_, err = first.Recv()
		}
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(at.ctx, 500*time.Millisecond)
		defer cancel()
		if second, err := client.Receive(ctx); err == nil {
			_ = second.Send(greetingOf("y"))
			if _, err = second.Recv(); err == nil {
				t.Error("the second was served")
			}
		}
	})
	t.Run("no method", func(t *testing.T) {
		at := attack(t, dial())
		if err := at.cc.Invoke(at.ctx, "/remote.Remoting/Nothing", &remote.ListProcessesRequest{}, &remote.ListProcessesResponse{}); err == nil || isTimeout(err) {
			t.Error(err)
		}
	})
	if got := told[[]string](t, a, "echo-on-b", "inbox"); len(got) != 0 {
		t.Errorf("something came through: %q", got)
	}
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &e) && e.Timeout()
}

// TestRejected: a node that sends what cannot be answered has little wait for it, and is sent away; one
// that can be is answered, however much it is.
func TestRejected(t *testing.T) {
	t.Run("no way back", func(t *testing.T) {
		in := newCluster(t, "a")
		in.network = func(ctx context.Context, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		a := here(t, in, "a")
		own, other := net.Pipe()
		a.remote.door.arrive(a.remote.visitor(own, "x"))
		for i := range uint64(10 * rejectedCount) {
			a.remote.asks(asker{"x", "1"}, &envelope.CellEnvelope{Session: "another", Call: i})
		}
		if got := a.remote.rejected.of["x"]; got != rejectedCount { // each waits for the dial
			t.Errorf("%d wait", got)
		}
		_ = other.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := other.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("its connection is not ended: %v", err)
		}
	})
	t.Run("answered", func(t *testing.T) {
		a, _ := pair(t)
		l := a.link(t, "b")
		await.That(t, "b is connected both ways", func() bool { return told[Stats](t, a, "echo-on-b", "stats").Links == 1 })
		session, err := l.ready(soon(t))
		if err != nil {
			t.Fatal(err)
		}
		calls := make([]*call, 20*rejectedCount)
		for i := range calls {
			calls[i] = &call{done: make(chan outcome, 1)}
			if err := l.send(session, &envelope.CellEnvelope{Session: "another", Call: uint64(1<<40 + i)}, uint64(1<<40+i), calls[i]); err != nil {
				t.Fatal(err)
			}
		}
		for i, c := range calls {
			select {
			case o := <-c.done:
				if e := errorFromWire(o.reply.GetError()); o.err != nil || cell.KindOf(e) != cell.CellGone {
					t.Fatalf("%d: %v, %v", i, o.err, e)
				}
			case <-soon(t).Done():
				t.Fatalf("%d is not answered", i)
			}
		}
	})
}

// TestIdle: connections that say nothing take no room for long, and none from others.
func TestIdle(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes the 10 s that a connection may be silent")
	}
	in := newCluster(t, "a", "b", "x")
	there(t, in, "b")
	a := here(t, in, "a")
	dial := in.insider(t, "x")
	var all []net.Conn
	for range 200 {
		all = append(all, dial())
	}
	if got := told[Stats](t, a, "echo-on-b", "stats"); got.Visitors > 2 {
		t.Errorf("%+v", got)
	}
	begun := time.Now()
	silent := attack(t, dial())
	ctx, cancel := context.WithTimeout(context.Background(), enterTime+20*time.Second)
	defer cancel()
	stream, err := remote.NewRemotingClient(silent.cc).Receive(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); ctx.Err() != nil {
		t.Errorf("a stream without a greeting is not ended: %v", err)
	}
	for _, conn := range all {
		_ = conn.SetDeadline(begun.Add(enterTime + 20*time.Second))
		if _, err := io.Copy(io.Discard, conn); isTimeout(err) {
			t.Fatal("a silent connection is not closed")
		}
		_ = conn.Close()
	}
	await.That(t, "only a is there", func() bool { return told[Stats](t, a, "echo-on-b", "stats").Visitors == 1 })
}

// TestStranger: without a certificate of this cluster nothing is even looked at.
func TestStranger(t *testing.T) {
	in, foreign := newCluster(t, "a", "b"), newCluster(t, "x")
	there(t, in, "b")
	a := here(t, in, "a")
	address, err := in.lookup("b")
	if err != nil {
		t.Fatal(err)
	}
	other, err := pki.LoadIdentity(foreign.identityFile("x"))
	if err != nil {
		t.Fatal(err)
	}
	another := pki.Client(other, "b", nil)
	another.NextProtos = []string{"pyisolate/1/actors"}
	another.InsecureSkipVerify, another.VerifyConnection = true, nil // it does not care whom it meets
	bare := another.Clone()
	bare.Certificates, bare.GetClientCertificate = nil, nil
	for kind, config := range map[string]*tls.Config{"plain": nil, "no certificate": bare, "another cluster's": another} {
		t.Run(kind, func(t *testing.T) {
			for name, does := range attacks {
				conn, err := net.Dial("tcp", address)
				if err != nil {
					t.Fatal(err)
				}
				if config != nil {
					conn = tls.Client(conn, config)
				}
				if err := does(attack(t, conn)); err == nil || isTimeout(err) {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
	if got := told[Stats](t, a, "echo-on-b", "stats"); got.Refused != 0 || got.Visitors != 1 {
		t.Errorf("a stranger was let in: %+v", got)
	}
}

// TestBell: through the port that protoactor opens nobody comes in, nor keeps others out.
func TestBell(t *testing.T) {
	a, _ := pair(t)
	var all []net.Conn
	for range 100 {
		conn, err := net.Dial("tcp", a.remote.door.bell)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, conn)
	}
	if err := attack(t, all[0]).say(greetingOf("x")); err == nil || isTimeout(err) {
		t.Errorf("somebody was let in: %v", err)
	}
	if r := a.system.Ask(soon(t), invoke("echo-on-b", "send echo-on-a", []byte("x"))); r.Err != nil {
		t.Errorf("somebody was kept out: %v", r.Err)
	}
	for _, conn := range all[1:] {
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the bell answers: %v", err)
		}
		_ = conn.Close()
	}
}

// TestBellUnheard: whom the bell cannot be rung for is not let in, and takes nobody's place.
func TestBellUnheard(t *testing.T) {
	const closed = "127.0.0.1:1" // where nobody listens
	a := here(t, newCluster(t, "a"), "a")
	d := a.remote.door
	comes := func(node string) (*visitor, error) {
		own, other := net.Pipe()
		t.Cleanup(func() { _ = other.Close() })
		v := a.remote.visitor(own, node)
		d.arrive(v)
		err := d.ring(t.Context(), v)
		if err != nil {
			_ = v.Close()
		}
		return v, err
	}
	bell := d.bell
	d.bell = closed
	for i := range entering {
		if _, err := comes(fmt.Sprint("x", i)); err == nil {
			t.Fatal("the bell was rung")
		}
	}
	d.bell = bell
	if v, err := comes("y"); err != nil {
		t.Errorf("nobody else is let in: %v", err)
	} else {
		await.That(t, "it is let in", func() bool {
			d.mu.Lock()
			defer d.mu.Unlock()
			return len(d.waiting) == 0
		})
		_ = v.Close()
	}
	old, err := comes("z")
	if err != nil {
		t.Fatal(err)
	}
	_ = old.Close()
	if err := d.ring(t.Context(), old); err == nil {
		t.Error("who has gone waits")
	}
}

// TestUnguarded holds the attacks to what they are for: without the guard two of them end the
// process. When it fails, protoactor has got better.
func TestUnguarded(t *testing.T) {
	for _, name := range []string{"list processes", "type 1 of 1"} {
		t.Run(name, func(t *testing.T) {
			c, stdout := spawn(t, envBare+"=1")
			address, err := bufio.NewReader(stdout).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			conn, err := net.Dial("tcp", string(bytes.TrimSpace([]byte(address))))
			if err != nil {
				t.Fatal(err)
			}
			_ = attacks[name](attack(t, conn))
			if c.stop() == nil {
				t.Error("it lives")
			}
		})
	}
}
