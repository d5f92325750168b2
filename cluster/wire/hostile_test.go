package wire

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cluster/pki"
	"github.com/pyisolate/pyisolate/internal/await"
)

// from dials from an address of the loopback network.
func from(t testing.TB, source, to string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
	c, err := d.DialContext(t.Context(), "tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestStrangers(t *testing.T) {
	f, g := newFabric(t), newFabric(t)
	one, two := f.node(t, "one", Limits{}), f.node(t, "two", Limits{})
	echo(t, two, Actors)
	echo(t, two, Join)
	own, foreign := identity(t, f.authority, "three"), identity(t, g.authority, "three")
	with := func(i *pki.Identity, protocols ...string) *tls.Config {
		c := pki.Client(i, "two", nil)
		c.NextProtos = protocols
		if i == foreign { // it does not care whom it meets
			c.InsecureSkipVerify, c.VerifyConnection = true, nil
		}
		return c
	}
	bare := with(own, Actors.alpn())
	bare.GetClientCertificate = nil
	for name, c := range map[string]struct {
		config *tls.Config
		says   string
	}{
		"no certificate":         {bare, "certificate required"},
		"another cluster":        {with(foreign, Actors.alpn()), "unknown certificate authority"},
		"no protocol":            {with(own), "internal error"},
		"another protocol":       {with(own, "h2"), "internal error"},
		"another version":        {with(own, "pyisolate/2/actors"), "internal error"},
		"two protocols":          {with(own, Join.alpn(), Actors.alpn()), "internal error"},
		"join for a certificate": {with(own, Directory.alpn()), ErrNoStream.Error()},
	} {
		before := two.Stats()
		err := knock(t.Context(), two.Addr().String(), c.config)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		await.That(t, name+" is counted", func() bool {
			now := two.Stats()
			return now.Failed+now.Refused == before.Failed+before.Refused+1 && now.Accepted == before.Accepted
		})
	}
	mustTalk(t, one, "two", Actors)
}

func TestGarbage(t *testing.T) {
	f := newFabric(t)
	one, two := f.node(t, "one", Limits{}), f.node(t, "two", Limits{})
	echo(t, two, Actors)
	for name, text := range map[string]string{
		"HTTP":          "GET / HTTP/1.1\r\nHost: two\r\n\r\n",
		"zeros":         strings.Repeat("\x00", 1<<16),
		"a long record": "\x16\x03\x01\xff\xff" + strings.Repeat("x", 1<<16),
		"SSL 3":         "\x16\x03\x00\x00\x05\x01\x00\x00\x01\x00",
		"an alert":      "\x15\x03\x03\x00\x02\x02\x28",
		"data at once":  "\x17\x03\x03\x00\x05hello",
		"half a hello":  "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
	} {
		c := from(t, "127.0.0.9", two.Addr().String())
		_, _ = io.WriteString(c, text)
		if name == "half a hello" {
			_ = c.(*net.TCPConn).CloseWrite()
		}
		if err := hangsUp(c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	await.That(t, "all failed", func() bool { return two.Stats().Failed == 7 && two.Stats().Handshakes == 0 })
	mustTalk(t, one, "two", Actors)
}

// Those who begin and do not go on keep nobody out, and are shown the door.
func TestSlowHandshakes(t *testing.T) {
	f := newFabric(t)
	limits := Limits{Handshakes: 8, HandshakesPerAddress: 4, HandshakeTime: 5 * time.Second}
	one, two := f.node(t, "one", Limits{}), f.node(t, "two", limits)
	echo(t, two, Actors)
	var slow []net.Conn
	for i := range 40 {
		c := from(t, fmt.Sprintf("127.0.1.%d", 1+i%10), two.Addr().String())
		_, _ = io.WriteString(c, "\x16\x03\x01")
		slow = append(slow, c)
		if i%10 == 9 {
			mustTalk(t, one, "two", Actors)
		}
	}
	if got := two.Stats(); got.Handshakes > limits.Handshakes || got.Evicted < 40-8 {
		t.Errorf("%+v", got)
	}
	for i, c := range slow {
		if err := hangsUp(c); err != nil {
			t.Errorf("the %dth: %v", i, err)
		}
	}
	mustTalk(t, one, "two", Actors)
}

func TestThousandIdle(t *testing.T) {
	f := newFabric(t)
	one, two := f.node(t, "one", Limits{}), f.node(t, "two", Limits{})
	echo(t, two, Actors)
	for i := range 1000 {
		from(t, fmt.Sprintf("127.0.2.%d", 1+i%4), two.Addr().String())
	}
	began := time.Now()
	mustTalk(t, one, "two", Actors)
	t.Logf("beside 1000 idle connections a node is served in %s", time.Since(began))
	await.That(t, "all are dealt with", func() bool {
		s := two.Stats()
		return s.TurnedAway+s.Evicted+uint64(s.Handshakes)+1 >= 1000 || s.Failed >= 900
	})
	if got := two.Stats(); got.Handshakes > 4*64 || got.TurnedAway == 0 || got.Evicted == 0 {
		t.Errorf("%+v", got)
	}
}

func TestFlood(t *testing.T) {
	f := newFabric(t)
	one, two := f.node(t, "one", Limits{}), f.node(t, "two", Limits{Rate: 1e-3, Burst: 5})
	echo(t, two, Actors)
	for range 50 {
		from(t, "127.0.3.1", two.Addr().String())
	}
	await.That(t, "the flood is turned away", func() bool { return two.Stats().TurnedAway == 45 })
	mustTalk(t, one, "two", Actors)
}

func TestDoor(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	conn := func(a string) net.Conn {
		return dead{at: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(a))}
	}
	limits := Limits{Rate: 1, Burst: 3, Handshakes: 4, HandshakesPerAddress: 2}
	d := newDoor(limits)
	a1, _ := d.enter(conn("192.0.2.1:1"), now)
	if _, gone := d.enter(conn("[::ffff:192.0.2.1]:2"), now); gone != nil {
		t.Error("two from one address are one too many")
	}
	if _, gone := d.enter(conn("192.0.2.1:3"), now); gone != a1 {
		t.Errorf("%v went, not the oldest of the address", gone)
	}
	if v, gone := d.enter(conn("192.0.2.1:4"), now); v != nil || gone != nil {
		t.Error("four at once came in")
	}
	if v, _ := d.enter(conn("192.0.2.1:5"), now.Add(time.Second)); v == nil {
		t.Error("a second later none came in")
	}
	b1, _ := d.enter(conn("[2001:db8::1]:1"), now)
	_, _ = d.enter(conn("[2001:db8::2]:1"), now)
	if _, gone := d.enter(conn("[2001:db8::3]:1"), now); gone != b1 {
		t.Error("a /64 is not one address")
	}
	if d.len() != 4 {
		t.Errorf("%d wait", d.len())
	}
	if _, gone := d.enter(conn("[2001:db8:0:1::1]:1"), now); gone == nil || gone.from.Addr().String() != "192.0.2.1" {
		t.Errorf("%v went, not the oldest of all", gone)
	}
	d.leave(a1)
	d.leave(b1)
	if d.len() != 4 {
		t.Error("what had left already, left again")
	}
	for i := range 3 * maxAddresses {
		v, _ := d.enter(conn(fmt.Sprintf("10.%d.%d.1:1", i>>8, i&255)), now.Add(time.Duration(i)*time.Millisecond))
		if v == nil {
			t.Fatal("a fresh address was turned away")
		}
		d.leave(v)
	}
	if len(d.rates) > maxAddresses || len(d.from) > 4 {
		t.Errorf("%d rates, %d addresses", len(d.rates), len(d.from))
	}
	if p := source(&net.UnixAddr{}); p.IsValid() {
		t.Errorf("%s", p)
	}
}

// dead is a connection that has said all it will say.
type dead struct {
	net.Conn
	at   net.Addr
	says *bytes.Reader
}

func (d dead) RemoteAddr() net.Addr             { return d.at }
func (d dead) LocalAddr() net.Addr              { return d.at }
func (d dead) Read(b []byte) (int, error)       { return d.says.Read(b) }
func (d dead) Write(b []byte) (int, error)      { return len(b), nil }
func (d dead) Close() error                     { return nil }
func (d dead) SetDeadline(time.Time) error      { return nil }
func (d dead) SetReadDeadline(time.Time) error  { return nil }
func (d dead) SetWriteDeadline(time.Time) error { return nil }

func FuzzHandshake(f *testing.F) {
	w := newFabric(f).node(f, "one", Limits{})
	w.Listener(Join)
	f.Add([]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add(hello(f))
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := w.welcome(dead{at: &net.TCPAddr{}, says: bytes.NewReader(text)}); err == nil {
			t.Error("bytes alone were let in")
		}
	})
}

// hello is the first that a node sends.
func hello(t testing.TB) []byte {
	a, b := net.Pipe()
	defer func() { _, _ = a.Close(), b.Close() }()
	c := pki.Client(identity(t, newFabric(t).authority, "two"), "one", nil)
	c.NextProtos = []string{Join.alpn()}
	go func() { _ = tls.Client(a, c).HandshakeContext(t.Context()) }()
	got := make([]byte, 1<<14)
	n, err := b.Read(got)
	if err != nil {
		t.Fatal(err)
	}
	return got[:n]
}

func FuzzStream(f *testing.F) {
	for _, s := range streams {
		f.Add(s.alpn())
	}
	f.Add("h2")
	f.Fuzz(func(t *testing.T, alpn string) {
		if s, ok := streamOf(alpn); ok && s.alpn() != alpn {
			t.Errorf("%q is read as %q", alpn, s)
		}
	})
}
