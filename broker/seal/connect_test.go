package seal_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"testing"
	"testing/iotest"
	"time"

	"github.com/pyisolate/pyisolate/broker/seal"
)

type result struct {
	session *seal.Session
	err     error
}

// handshakeOver runs both sides over two connected transports.
func handshakeOver(t *testing.T, a, b net.Conn, nodeConfig, hostConfig seal.Config) (node, host result) {
	t.Helper()
	done := make(chan result)
	go func() {
		s, err := seal.Accept(b, hostConfig)
		if err != nil {
			err = errors.Join(err, b.Close())
		}
		done <- result{s, err}
	}()
	node.session, node.err = seal.Connect(a, nodeConfig)
	return node, <-done
}

func pipe(t *testing.T) (a, b net.Conn) {
	t.Helper()
	a, b = net.Pipe()
	t.Cleanup(func() {
		if err := errors.Join(a.Close(), b.Close()); err != nil {
			t.Error(err)
		}
	})
	return a, b
}

func TestConnectAndAccept(t *testing.T) {
	for _, suite := range bothSuites {
		t.Run(suite.String(), func(t *testing.T) {
			a, b := pipe(t)
			node, host := handshakeOver(t, a, b, config(t, suite), config(t, suite))
			if node.err != nil || host.err != nil {
				t.Fatal(node.err, host.err)
			}
			passes(t, node.session, host.session)
			passes(t, host.session, node.session)
		})
	}
}

// loop is a transport that has what the peer will say, and keeps what is said.
type loop struct {
	io.Reader
	bytes.Buffer
}

func (l *loop) Read(p []byte) (int, error) { return l.Reader.Read(p) }

// Neither side reads beyond the handshake, even if bytes come one at a time, so
// that frames behind it are left for the session.
func TestNothingIsReadBeyondTheHandshake(t *testing.T) {
	r := record(t, seal.XWing)
	fromNode := slices.Concat(r.Hello, r.Confirm)
	for name, c := range map[string]struct {
		run        func(io.ReadWriter, seal.Config) (*seal.Session, error)
		cfg        seal.Config
		said, want []byte
	}{
		"node": {seal.Connect, r.node(t), r.Answer, fromNode},
		"host": {seal.Accept, r.host(t), fromNode, r.Answer},
	} {
		t.Run(name, func(t *testing.T) {
			source := bytes.NewReader(append(slices.Clone(c.said), "frames"...))
			rw := &loop{Reader: iotest.OneByteReader(source)}
			must(c.run(rw, c.cfg))(t)
			same(t, "what was said", rw.Bytes(), c.want)
			same(t, "what is left", must(io.ReadAll(source))(t), []byte("frames"))
		})
	}
}

// A peer without the secret hears nothing at all, and neither side a session.
func TestAcceptTellsAStrangerNothing(t *testing.T) {
	stranger := config(t)
	stranger.Secret = must(seal.NewSecret(count(0x77, 32)))(t)
	_, hello, err := seal.NewInitiator(stranger)
	if err != nil {
		t.Fatal(err)
	}
	for name, said := range map[string][]byte{
		"nothing": nil, "noise": count(0, 200), "a stranger's hello": hello,
		"another protocol": []byte("GET / HTTP/1.1\r\n\r\n"), "huge length": []byte("PYSL\x01\x01\xff\xff"),
		"another version": []byte("PYSL\x02\x01\x62\x00"),
	} {
		t.Run(name, func(t *testing.T) {
			rw := &loop{Reader: bytes.NewReader(said)}
			s, err := seal.Accept(rw, config(t))
			wantKind(t, err, seal.ErrHandshake)
			if s != nil || rw.Len() != 0 {
				t.Errorf("session %v, the peer is told %x", s, rw.Bytes())
			}
		})
	}
}

func TestPeersThatDoNotShareASecretOrPolicy(t *testing.T) {
	other := func() seal.Config {
		return seal.Config{Secret: must(seal.NewSecret(count(0x77, 32)))(t)}
	}
	for name, c := range map[string]struct{ node, host seal.Config }{
		"secret": {config(t), other()},
		"policy": {config(t, seal.X25519), config(t)},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := pipe(t)
			node, host := handshakeOver(t, a, b, c.node, c.host)
			wantKind(t, node.err, seal.ErrHandshake)
			wantKind(t, host.err, seal.ErrHandshake)
			if node.session != nil || host.session != nil {
				t.Error("there is a session")
			}
		})
	}
}

// The peer goes away after each number of bytes.
func TestPeerGoesAway(t *testing.T) {
	r := record(t, seal.X25519)
	toHost := slices.Concat(r.Hello, r.Confirm)
	for n := range toHost {
		_, err := seal.Accept(&loop{Reader: bytes.NewReader(toHost[:n])}, r.host(t))
		wantKind(t, err, seal.ErrHandshake)
	}
	for n := range r.Answer {
		_, err := seal.Connect(&loop{Reader: bytes.NewReader(r.Answer[:n])}, r.node(t))
		wantKind(t, err, seal.ErrHandshake)
	}
}

// The caller's deadline ends a handshake with a silent peer, and shows.
func TestDeadline(t *testing.T) {
	for name, run := range map[string]func(io.ReadWriter, seal.Config) (*seal.Session, error){
		"connect": seal.Connect, "accept": seal.Accept,
	} {
		t.Run(name, func(t *testing.T) {
			a, _ := pipe(t)
			if err := a.SetDeadline(time.Now()); err != nil {
				t.Fatal(err)
			}
			_, err := run(a, config(t))
			wantKind(t, err, seal.ErrHandshake)
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%v hides the deadline", err)
			}
		})
	}
}

// A transport that fails at each write leaves no session.
func TestWritesThatFail(t *testing.T) {
	r := record(t, seal.X25519)
	for n := range 2 {
		rw := &failing{loop: loop{Reader: bytes.NewReader(r.Answer)}, writes: n}
		s, err := seal.Connect(rw, r.node(t))
		wantKind(t, err, seal.ErrHandshake)
		if s != nil {
			t.Error("there is a session")
		}
	}
	rw := &failing{loop: loop{Reader: bytes.NewReader(r.Hello)}}
	_, err := seal.Accept(rw, r.host(t))
	wantKind(t, err, seal.ErrHandshake)
	if !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%v hides the transport's error", err)
	}
}

type failing struct {
	loop
	writes int // that succeed
}

func (f *failing) Write(p []byte) (int, error) {
	if f.writes == 0 {
		return 0, io.ErrClosedPipe
	}
	f.writes--
	return f.Buffer.Write(p)
}
