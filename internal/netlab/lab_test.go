package netlab

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pyisolate/pyisolate/internal/await"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newLab(tb testing.TB, names ...string) *Lab {
	tb.Helper()
	l, err := New(1, names...)
	if errors.Is(err, os.ErrPermission) || errors.Is(err, os.ErrNotExist) {
		tb.Skipf("no network of namespaces: %v", err)
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := l.Close(); err != nil {
			tb.Error(err)
		}
	})
	return l
}

// port is a UDP socket on a host. What it hears is in heard.
type port struct {
	conn  *net.UDPConn
	mu    sync.Mutex
	heard []string
	when  []time.Time
}

func open(tb testing.TB, h *Host) *port {
	tb.Helper()
	p := &port{}
	if err := h.Do(func() (err error) {
		p.conn, err = net.ListenUDP("udp4", &net.UDPAddr{IP: h.Address().AsSlice(), Port: 99})
		return err
	}); err != nil {
		tb.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(p.listen)
	tb.Cleanup(func() {
		_ = p.conn.Close()
		reading.Wait()
	})
	return p
}

func (p *port) listen() {
	buf := make([]byte, 1<<16)
	for {
		n, err := p.conn.Read(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		p.heard, p.when = append(p.heard, string(buf[:n])), append(p.when, time.Now())
		p.mu.Unlock()
	}
}

func (p *port) all() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.heard
}

func (p *port) say(tb testing.TB, to *Host, what string) {
	tb.Helper()
	if _, err := p.conn.WriteTo([]byte(what), &net.UDPAddr{IP: to.Address().AsSlice(), Port: 99}); err != nil {
		tb.Fatal(err)
	}
}

// A cut is one way, silent, and ends.
func TestCut(t *testing.T) {
	l := newLab(t, "a", "b")
	a, b := open(t, l.Host("a")), open(t, l.Host("b"))
	l.Set("a", "b", Condition{Cut: true})
	a.say(t, l.Host("b"), "lost")
	b.say(t, l.Host("a"), "the other way")
	await.That(t, "the other way is open", func() bool { return len(a.all()) == 1 })
	await.That(t, "the packet is dropped", func() bool { return l.Traffic("a", "b").Dropped == 1 })
	l.Heal()
	a.say(t, l.Host("b"), "after")
	await.That(t, "it is healed", func() bool { return len(b.all()) > 0 })
	if heard := b.all(); heard[0] != "after" {
		t.Errorf("heard %q through the cut", heard)
	}
}

// A delay delays, keeps the order, and a cut takes what is on its way.
func TestDelay(t *testing.T) {
	l := newLab(t, "a", "b")
	a, b := open(t, l.Host("a")), open(t, l.Host("b"))
	const delay = 50 * time.Millisecond
	l.Set("a", "b", Condition{Delay: delay, Jitter: delay})
	began := time.Now()
	for i := range 20 {
		a.say(t, l.Host("b"), fmt.Sprint(i))
	}
	await.That(t, "the packets are taken", func() bool { return l.Traffic("a", "b").Packets == 20 })
	l.Set("a", "b", Condition{}) // later ones do not overtake
	a.say(t, l.Host("b"), "20")
	await.That(t, "all have arrived", func() bool { return len(b.all()) == 21 })
	for i, what := range b.all() {
		if what != fmt.Sprint(i) {
			t.Fatalf("they arrive in the order %q", b.all())
		}
	}
	b.mu.Lock()
	first := b.when[0].Sub(began)
	b.mu.Unlock()
	if first < delay {
		t.Errorf("the first took %s", first)
	}

	l.Set("a", "b", Condition{Delay: 3 * time.Second}) // until then it is cut, also by a busy machine
	a.say(t, l.Host("b"), "on its way")
	await.That(t, "it is on its way", func() bool { return l.Traffic("a", "b").Packets == 22 })
	l.Set("a", "b", Condition{Cut: true})
	await.That(t, "it is dropped", func() bool { return l.Traffic("a", "b").Dropped == 1 })
}

// The same seed loses and repeats the same packets.
func TestChance(t *testing.T) {
	var first []string
	for range 2 {
		l := newLab(t, "a", "b")
		a, b := open(t, l.Host("a")), open(t, l.Host("b"))
		l.Set("a", "b", Condition{Loss: 0.3, Repeat: 0.3})
		for i := range 200 {
			a.say(t, l.Host("b"), fmt.Sprint(i))
			await.That(t, "it is taken", func() bool { return l.Traffic("a", "b").Packets == uint64(i)+1 })
		}
		l.Heal()
		a.say(t, l.Host("b"), "end")
		var heard []string
		await.That(t, "the end", func() bool { heard = b.all(); return len(heard) > 0 && heard[len(heard)-1] == "end" })
		lost := l.Traffic("a", "b").Dropped
		if lost < 30 || lost > 90 {
			t.Errorf("%d of 200 packets lost, of a chance of 0.3", lost)
		}
		if repeated := len(heard) - 1 - (200 - int(lost)); repeated < 20 || repeated > 80 {
			t.Errorf("%d packets repeated", repeated)
		}
		if first == nil {
			first = heard
		} else if strings.Join(first, " ") != strings.Join(heard, " ") {
			t.Error("the same seed, another outcome")
		}
	}
}

// TCP goes through, whole, and heals after a cut.
func TestTCP(t *testing.T) {
	l := newLab(t, "a", "b")
	a, b := l.Host("a"), l.Host("b")
	var listener net.Listener
	if err := b.Do(func() (err error) {
		listener, err = net.Listen("tcp4", net.JoinHostPort(b.Address().String(), "98"))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	const size = 4 << 20
	var sent sync.WaitGroup
	defer sent.Wait()
	sent.Go(func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		_, _ = conn.Write(make([]byte, size))
		_ = conn.Close()
	})
	conn := dial(t, a, listener.Addr().String())
	defer func() { _ = conn.Close() }()
	if err := conn.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil { // or all of it may have come before the cut
		t.Fatal(err)
	}
	half := make([]byte, size/2)
	if _, err := io.ReadFull(conn, half); err != nil {
		t.Fatal(err)
	}
	l.Set("b", "a", Condition{Cut: true})
	dropped := l.Traffic("b", "a").Dropped
	rest := make(chan error, 1)
	go func() {
		n, err := io.Copy(io.Discard, conn)
		if err == nil && n != size/2 {
			err = fmt.Errorf("%d bytes came", n)
		}
		rest <- err
	}()
	await.That(t, "the cut takes packets", func() bool { return l.Traffic("b", "a").Dropped > dropped })
	l.Set("b", "a", Condition{Loss: 0.01})
	if err := <-rest; err != nil {
		t.Error(err)
	}
}

// dial connects on the host's thread; a net.Dialer would do it in goroutines of its own.
func dial(tb testing.TB, h *Host, to string) net.Conn {
	tb.Helper()
	address, err := net.ResolveTCPAddr("tcp4", to)
	if err != nil {
		tb.Fatal(err)
	}
	var conn net.Conn
	if err := h.Do(func() (err error) {
		conn, err = net.DialTCP("tcp4", nil, address)
		return err
	}); err != nil {
		tb.Fatal(err)
	}
	return conn
}

// A program is on its machine, sees that network alone, and ends with it.
func TestStart(t *testing.T) {
	l, err := New(1, "a")
	if errors.Is(err, os.ErrPermission) {
		t.Skipf("no network of namespaces: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	c := exec.Command("cat", "/proc/net/dev", "-")
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Host("a").Start(c); err != nil {
		t.Fatal(err)
	}
	// Its devices go with the machine: it has to have looked at them before.
	seen := make([]byte, 4096)
	n, err := out.Read(seen)
	if devices := string(seen[:n]); err != nil || !strings.Contains(devices, deviceName) || strings.Contains(devices, "eth0") {
		t.Errorf("%v: it sees\n%s", err, devices)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := c.Wait(); err == nil {
		t.Error("it did not end with its machine")
	}
	if err := l.Host("a").Do(func() error { return nil }); !errors.Is(err, errClosed) {
		t.Errorf("after the end: %v", err)
	}
}

func TestNew(t *testing.T) {
	for name, hosts := range map[string][]string{"nobody": {}, "the same twice": {"a", "a"}, "too many": make([]string, maxHosts+1)} {
		l, err := New(1, hosts...)
		if err == nil {
			_ = l.Close()
			t.Errorf("%s: no error", name)
		}
	}
	newLab(t, "a").Set("a", "nobody", Condition{Cut: true})
}

func FuzzDestination(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0x45, 19: 1})
	f.Add([]byte{0x60, 39: 1})
	f.Fuzz(func(t *testing.T, packet []byte) {
		if to, ok := destination(packet); ok && !to.Is4() {
			t.Errorf("%v goes to %s", packet, to)
		}
	})
}

// BenchmarkPacket is a UDP packet to another machine and one back.
func BenchmarkPacket(b *testing.B) {
	l := newLab(b, "a", "b")
	conns := map[string]*net.UDPConn{}
	for _, name := range l.Names() {
		h := l.Host(name)
		if err := h.Do(func() (err error) {
			conns[name], err = net.ListenUDP("udp4", &net.UDPAddr{IP: h.Address().AsSlice(), Port: 99})
			return err
		}); err != nil {
			b.Fatal(err)
		}
	}
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	to := &net.UDPAddr{IP: l.Host("b").Address().AsSlice(), Port: 99}
	var echo sync.WaitGroup
	echo.Go(func() {
		buf := make([]byte, 64)
		for {
			n, from, err := conns["b"].ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = conns["b"].WriteTo(buf[:n], from)
		}
	})
	defer echo.Wait()
	defer func() { _ = conns["b"].Close() }()
	buf := make([]byte, 64)
	for b.Loop() {
		if _, err := conns["a"].WriteTo(buf, to); err != nil {
			b.Fatal(err)
		}
		if _, err := conns["a"].Read(buf); err != nil {
			b.Fatal(err)
		}
	}
}
