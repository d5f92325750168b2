package guard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/kernel/internal/osthread"
	"github.com/pyisolate/pyisolate/kernel/policy"
)

// headers of IPv4 and UDP.
const udpHeaders = 20 + 8

// sink is a UDP socket of a free thread, which answers nothing.
func sink(t testing.TB) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func addressOf(c *net.UDPConn) *unix.SockaddrInet4 {
	return &unix.SockaddrInet4{Port: c.LocalAddr().(*net.UDPAddr).Port, Addr: [4]byte{127, 0, 0, 1}}
}

// anywhere permits the loopback network and what own does.
func anywhere(q policy.Quotas) policy.Policy {
	p := own()
	p.Net = []policy.NetRule{permit("127.0.0.0/8")}
	p.Quotas = q
	return p
}

// sent writes datagrams of size bytes until one is refused or there were n, and returns how
// many went.
func sent(sa unix.Sockaddr, n, size int) (went int, err error) {
	err = to(unix.AF_INET, unix.SOCK_DGRAM, func(fd int) error {
		if err := unix.Connect(fd, sa); err != nil {
			return err
		}
		for ; went < n; went++ {
			if _, err := unix.Write(fd, make([]byte, size)); err != nil {
				return err
			}
		}
		return nil
	})
	return went, err
}

func TestBytes(t *testing.T) {
	each(t, func(t *testing.T, g *Guard) {
		c := newCell(t, g, anywhere(policy.Quotas{}))
		peer := sink(t)
		on(t, c, func() error {
			_, err := sent(addressOf(peer), 50, 1000)
			return err
		})
		if u := c.Usage(); u.Sent != 50*(1000+udpHeaders) || u.Received != 0 || u.Connects != 1 {
			t.Errorf("50 datagrams of 1000 bytes: %+v", u)
		}
		on(t, c, func() error {
			return to(unix.AF_INET, unix.SOCK_DGRAM, func(fd int) error {
				if err := unix.Connect(fd, addressOf(peer)); err != nil {
					return err
				}
				local, err := unix.Getsockname(fd)
				if err != nil {
					return err
				}
				port := local.(*unix.SockaddrInet4).Port
				answered := make(chan error, 1)
				go func() { // a free thread answers
					_, err := peer.WriteToUDPAddrPort(make([]byte, 500), netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port)))
					answered <- err
				}()
				_, err = unix.Read(fd, make([]byte, 1000))
				return errors.Join(err, <-answered)
			})
		})
		if u := c.Usage(); u.Received != 500+udpHeaders {
			t.Errorf("an answer of 500 bytes: %+v", u)
		}
	})
}

// stream is how many bytes come to a free thread in one connection.
func stream(t *testing.T) (sa *unix.SockaddrInet4, came <-chan int) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	got := make(chan int, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			got <- 0
			return
		}
		n, _ := io.Copy(io.Discard, conn) // what came is what counts
		_ = conn.Close()
		got <- int(n)
	}()
	return &unix.SockaddrInet4{Port: l.Addr().(*net.TCPAddr).Port, Addr: [4]byte{127, 0, 0, 1}}, got
}

// writeStream connects and writes n bytes.
func writeStream(sa unix.Sockaddr, n int) error {
	return to(unix.AF_INET, unix.SOCK_STREAM, func(fd int) error {
		if err := unix.Connect(fd, sa); err != nil {
			return err
		}
		for n > 0 {
			went, err := unix.Write(fd, make([]byte, min(n, 1<<16)))
			if err != nil {
				return err
			}
			n -= went
		}
		return nil
	})
}

// TestStreamBytes: packets that the kernel sends for a thread, in whatever context, are
// charged to its cell.
func TestStreamBytes(t *testing.T) {
	each(t, func(t *testing.T, g *Guard) {
		c := newCell(t, g, anywhere(policy.Quotas{}))
		const total = 4 << 20
		sa, came := stream(t)
		on(t, c, func() error { return writeStream(sa, total) })
		if n := <-came; n != total {
			t.Fatalf("%d bytes came of %d", n, total)
		}
		// Headers are some hundredths of it; what a machine that stalls sends again is counted, too. Twice would be
		// twice as much.
		if u := c.Usage(); u.Sent < total || u.Sent > total*3/2 || u.Received == 0 || u.Received > total/4 {
			t.Errorf("%d bytes sent: %+v", total, u)
		}
	})
}

// slowed expects that packets of a cell were held back, and that this is not told as denied. One
// signal or two may be: Go's own, to stop other threads.
func slowed(t *testing.T, c *Cell) {
	t.Helper()
	if u := c.Usage(); u.Slowed == 0 || u.Denied > u.Slowed/4 {
		t.Errorf("%+v", u)
	}
}

// TestBandwidth: what comes too fast comes later, and all of it.
func TestBandwidth(t *testing.T) {
	each(t, func(t *testing.T, g *Guard) {
		const rate, total = 4 << 20, 4 << 20
		// What may come at once: a quarter of a second, and one packet.
		const least = time.Second * (total - rate/4 - 1<<16) / rate
		p := anywhere(policy.Quotas{Bandwidth: rate})
		c := newCell(t, g, p)
		sa, came := stream(t)
		begun := time.Now()
		on(t, c, func() error { return writeStream(sa, total) })
		if n := <-came; n != total {
			t.Errorf("%d bytes came of %d", n, total)
		}
		took := time.Since(begun)
		if took < least {
			t.Errorf("%d bytes took %s at %d a second; %s at least", total, took, rate, least)
		}
		slowed(t, c)
		t.Logf("%s, %+v", took, c.Usage())
	})
}

// TestBandwidthReceived: so is what is sent to it.
func TestBandwidthReceived(t *testing.T) {
	each(t, func(t *testing.T, g *Guard) {
		const rate, total = 4 << 20, 4 << 20
		const least = time.Second * (total - rate/4 - 1<<16) / rate
		c := newCell(t, g, anywhere(policy.Quotas{Bandwidth: rate}))
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		go func() {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write(make([]byte, total))
			_ = conn.Close()
		}()
		var n int
		begun := time.Now()
		on(t, c, func() error {
			return to(unix.AF_INET, unix.SOCK_STREAM, func(fd int) error {
				if err := unix.Connect(fd, &unix.SockaddrInet4{Port: l.Addr().(*net.TCPAddr).Port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
					return err
				}
				for buf := make([]byte, 1<<16); ; {
					m, err := unix.Read(fd, buf)
					if n += m; err != nil || m == 0 {
						return err
					}
				}
			})
		})
		if took := time.Since(begun); n != total || took < least {
			t.Errorf("%d of %d bytes took %s; %s at least", n, total, took, least)
		}
		slowed(t, c)
		t.Logf("%s, %+v", time.Since(begun), c.Usage())
	})
}

// spin uses the processor for so long by this thread's clock.
func spin(d time.Duration) time.Duration {
	used := func() time.Duration {
		var ts unix.Timespec
		_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts)
		return time.Duration(ts.Nano())
	}
	begin := used()
	for used()-begin < d {
	}
	return used() - begin
}

func TestProcessorTime(t *testing.T) {
	each(t, func(t *testing.T, g *Guard) {
		c := newCell(t, g, anywhere(policy.Quotas{}))
		var real time.Duration
		on(t, c, func() error {
			real = spin(400 * time.Millisecond)
			return nil
		})
		// Charged by the thread's end, which is a switch, with what it did before and after; in a busy machine's
		// emulator that, and interrupts, which it is charged for, may take long.
		if !await.Within(10*time.Second, func() bool { return c.Usage().CPU > real*95/100 }) || c.Usage().CPU > real*150/100 {
			t.Errorf("%v were used and %v charged", real, c.Usage().CPU)
		}
	})
}

// TestQuotas: each holds at its number, and is told once.
func TestQuotas(t *testing.T) {
	each(t, func(t *testing.T, g *Guard) {
		events := collect(t, g)
		peer := addressOf(sink(t))
		for quota, k := range map[string]struct {
			quotas policy.Quotas
			try    func(*Cell) error
		}{
			"connects": {policy.Quotas{Connects: 3}, func(c *Cell) error {
				for i := range 5 {
					err := to(unix.AF_INET, unix.SOCK_DGRAM, connect(peer))
					if i < 3 && err != nil {
						return err
					}
					if i >= 3 && denied("a connection too many", err) != nil {
						return denied("a connection too many", err)
					}
				}
				return nil
			}},
			"sent": {policy.Quotas{Sent: 10 * (100 + udpHeaders)}, func(c *Cell) error {
				if n, err := sent(peer, 20, 100); n != 10 || denied("", err) != nil {
					return fmt.Errorf("%d datagrams of 10 went: %w", n, err)
				}
				if u := c.Usage(); u.Sent != 10*(100+udpHeaders) {
					return fmt.Errorf("charged %d", u.Sent)
				}
				return nil
			}},
			"cpu_total": {policy.Quotas{CPUTotal: 20 * time.Millisecond}, func(c *Cell) error {
				if err := to(unix.AF_INET, unix.SOCK_DGRAM, connect(peer)); err != nil {
					return err
				}
				spin(60 * time.Millisecond)
				return denied("when its time is used up", to(unix.AF_INET, unix.SOCK_DGRAM, connect(peer)))
			}},
		} {
			c := newCell(t, g, anywhere(k.quotas))
			on(t, c, func() error { return k.try(c) })
			if !events.has(func(e Event) bool { return e.Cell == c.Index() && e.Kind == OverQuota && e.Quota == quota }) {
				t.Errorf("nobody was told that %s are used up", quota)
			}
			if n := events.count(func(e Event) bool { return e.Cell == c.Index() && e.Kind == OverQuota }); n != 1 {
				t.Errorf("%s: %d were told", quota, n)
			}
			// More is given, and the cell goes on with what it has used.
			if err := c.Swap(anywhere(policy.Quotas{})); err != nil {
				t.Fatal(err)
			}
			on(t, c, func() error { return to(unix.AF_INET, unix.SOCK_DGRAM, connect(peer)) })
		}
	})
}

// TestQuotaIsToldLate: where nobody reads and others have filled the room for events, that a cell
// has used its time up is told when there is room again, as long as it computes.
func TestQuotaIsToldLate(t *testing.T) {
	g := shared.get(t, ways["cgroup"]) // the programs of all kinds tell by the same function
	const most = 100                   // a cell has as many events a second, of some 5,000
	full := false
	for n := 0; n < most && !full; n++ {
		c := newCell(t, g, own())
		on(t, c, func() error {
			for range most {
				if err := denied("", to(unix.AF_INET, unix.SOCK_DGRAM, connect(&unix.SockaddrInet4{Port: 9, Addr: [4]byte{127, 0, 0, 1}}))); err != nil {
					return err
				}
			}
			return nil
		})
		full = c.Usage().Lost > 0
	}
	if !full {
		t.Fatal("there is still room")
	}
	c := newCell(t, g, anywhere(policy.Quotas{CPUTotal: 20 * time.Millisecond}))
	var over atomic.Bool
	var computing sync.WaitGroup
	computing.Go(func() {
		on(t, c, func() error {
			for !over.Load() {
				spin(time.Millisecond)
			}
			return nil
		})
	})
	defer computing.Wait()
	defer over.Store(true)
	await.That(t, "an event of the quota to find no room", func() bool { return c.Usage().Lost > 0 })
	if !collect(t, g).has(func(e Event) bool { return e.Cell == c.Index() && e.Life == c.Life() && e.Kind == OverQuota }) {
		t.Error("nobody was told that the time is used up")
	}
}

// TestReceived: what would be too much is dropped.
func TestReceived(t *testing.T) {
	each(t, func(t *testing.T, g *Guard) {
		c := newCell(t, g, anywhere(policy.Quotas{Received: 3 * (100 + udpHeaders)}))
		peer := sink(t)
		on(t, c, func() error {
			return to(unix.AF_INET, unix.SOCK_DGRAM, func(fd int) error {
				if err := unix.Connect(fd, addressOf(peer)); err != nil {
					return err
				}
				local, err := unix.Getsockname(fd)
				if err != nil {
					return err
				}
				answered := make(chan error, 1)
				go func() {
					var failed error
					for range 5 {
						_, err := peer.WriteToUDPAddrPort(make([]byte, 100), netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(local.(*unix.SockaddrInet4).Port)))
						failed = errors.Join(failed, err)
					}
					answered <- failed
				}()
				if err := <-answered; err != nil {
					return err
				}
				came := 0
				for ; ; came++ {
					if _, _, err := unix.Recvfrom(fd, make([]byte, 1000), unix.MSG_DONTWAIT); err != nil {
						break
					}
				}
				if came != 3 {
					return fmt.Errorf("%d datagrams came of 3", came)
				}
				return nil
			})
		})
		if u := c.Usage(); u.Received != 3*(100+udpHeaders) || u.Denied != 2 {
			t.Errorf("%+v", u)
		}
	})
}

func TestOpensQuota(t *testing.T) {
	g := guarded(t)
	tr := newTree(t)
	p := tr.policy()
	p.Quotas.Opens = 2
	c := newCell(t, g, p)
	on(t, c, func() error {
		for range 2 {
			if err := readAs(tr.at("a/file")); err != nil {
				return err
			}
		}
		return denied("a file too many", readAs(tr.at("a/file")))
	})
	if u := c.Usage(); u.Opens != 2 || u.Denied != 1 {
		t.Errorf("%+v", u)
	}
}

// TestChildren: what a bound thread starts is bound and counted.
func TestChildren(t *testing.T) {
	each(t, func(t *testing.T, g *Guard) {
		peer := sink(t).LocalAddr().String()
		c := newCell(t, g, anywhere(policy.Quotas{}))
		none := newCell(t, g, own())
		for _, k := range []struct {
			cell *Cell
			want string
		}{{c, "worked worked"}, {none, "denied denied"}} {
			on(t, k.cell, func() error {
				if out, err := child("connect", peer); err != nil || out != k.want {
					return fmt.Errorf("a child connects: %q, %w, want %q", out, err, k.want)
				}
				return nil
			})
			if u := k.cell.Usage(); u.Children < 2 {
				t.Errorf("%+v", u)
			}
		}
		if out, err := child("connect", peer); err != nil || out != "worked worked" {
			t.Errorf("a child of a free thread: %q, %v", out, err)
		}
	})
}

// TestOrphan: a child that cannot be bound is killed; where the kernel can only kill its
// parent, nobody may connect who may be such a child.
func TestOrphan(t *testing.T) {
	shared.get(t, ways["cgroup by number"]) // or skip
	g := loaded(t, Options{Kind: Cgroup, Cgroup: shared.group(t), byThread: true, maxThreads: 1})
	c := newCell(t, g, own())
	events := collect(t, g)
	parent, tid, goOn := startParent(t)
	if err := c.Bind(tid); err != nil {
		t.Fatal(err)
	}
	goOn()
	err := parent.Wait()
	if !events.has(func(e Event) bool { return e.Kind == Orphan && e.Cell == c.Index() && e.Thread == uint32(tid) }) {
		t.Error("nobody was told")
	}
	n, failed := g.Orphans()
	switch {
	case failed != nil:
		t.Error(failed)
	case n == 0 && err != nil:
		t.Errorf("the parent: %v; its child was not killed", err)
	case n > 0 && err == nil:
		t.Error("the parent lives, and its child is not bound")
	case n > 0 && udp("127.0.0.1:9") == nil:
		t.Error("who is not bound may connect, with orphans about")
	}
}

// startParent starts a process whose thread tid starts a child when it is told to go on.
func startParent(t *testing.T) (c *exec.Cmd, tid int, goOn func()) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c = exec.CommandContext(context.Background(), self)
	c.Env = []string{roleEnv + "=parent:"}
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fscan(out, &tid); err != nil {
		t.Fatal(err)
	}
	return c, tid, func() { _ = in.Close() }
}

// parent starts a child from the thread that it tells, and fails unless that is killed.
func parent() error {
	return osthread.Run(func() error {
		fmt.Println(unix.Gettid())
		_, _ = os.Stdin.Read(make([]byte, 1)) // until it is closed
		_, err := child("read", os.DevNull)
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != unix.SIGKILL {
			return fmt.Errorf("the child ended with %w", err)
		}
		return nil
	})
}
