package guard

import (
	"context"
	"net"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/internal/osthread"
	"github.com/pyisolate/pyisolate/kernel/policy"
)

// eachBench measures with each way to attach.
func eachBench(b *testing.B, f func(*testing.B, *Guard)) {
	for name, o := range ways {
		b.Run(name, func(b *testing.B) { f(b, shared.get(b, o)) })
	}
}

// measure runs f on a thread that is free of every guard's cells, or bound to c.
func measure(b *testing.B, c *Cell, f func() error) {
	b.Helper()
	err := osthread.Run(func() error {
		if c != nil {
			if err := c.BindSelf(); err != nil {
				return err
			}
		}
		for b.Loop() {
			if err := f(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}

// worker runs f in batches on a thread of its own, and tells how long each took.
func worker(b *testing.B, c *Cell, f func() error) (batch func() time.Duration) {
	b.Helper()
	begin, took, ended := make(chan struct{}), make(chan time.Duration), make(chan error, 1)
	go func() {
		ended <- osthread.Run(func() error {
			if c != nil {
				if err := c.BindSelf(); err != nil {
					return err
				}
			}
			for range begin {
				start := time.Now()
				for range batchSize {
					if err := f(); err != nil {
						close(took)
						return err
					}
				}
				took <- time.Since(start)
			}
			return nil
		})
	}()
	b.Cleanup(func() {
		close(begin)
		if err := <-ended; err != nil {
			b.Error(err)
		}
	})
	return func() time.Duration {
		begin <- struct{}{}
		return <-took
	}
}

const batchSize = 50

// compare runs f by turns on a free thread and on one that is bound to c, so that whatever
// else the machine does is the same for both, and reports the medians and their ratio.
func compare(b *testing.B, c *Cell, f func() error) {
	b.Helper()
	free, bound := worker(b, nil, f), worker(b, c, f)
	var frees, bounds []time.Duration
	for b.Loop() {
		frees, bounds = append(frees, free()), append(bounds, bound())
	}
	median := func(list []time.Duration) float64 {
		slices.Sort(list)
		return float64(list[len(list)/2]) / batchSize
	}
	b.ReportMetric(median(frees), "free-ns/op")
	b.ReportMetric(median(bounds), "bound-ns/op")
	b.ReportMetric(median(bounds)/median(frees), "times")
}

func BenchmarkOpenClose(b *testing.B) {
	g := guarded(b)
	tr := newTree(b)
	compare(b, newCell(b, g, tr.policy()), func() error {
		fd, err := unix.Open(tr.at("a/file"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		return unix.Close(fd)
	})
}

// BenchmarkConnect is of UDP, which is all judgement and no handshake, and of TCP. "outside"
// is before any program is attached.
func BenchmarkConnect(b *testing.B) {
	peer := addressOf(sink(b))
	l := acceptor(b)
	kinds := map[string]func() error{
		"udp": func() error { return to(unix.AF_INET, unix.SOCK_DGRAM, connect(peer)) },
		"tcp": func() error {
			return to(unix.AF_INET, unix.SOCK_STREAM, func(fd int) error {
				if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
					return err
				}
				return unix.Connect(fd, &unix.SockaddrInet4{Port: l, Addr: [4]byte{127, 0, 0, 1}})
			})
		},
	}
	for of, f := range kinds {
		b.Run("outside/"+of, func(b *testing.B) { measure(b, nil, f) })
	}
	for _, name := range []string{"cgroup", "cgroup by number", "lsm"} {
		b.Run(name, func(b *testing.B) {
			g := loaded(b, with(b, ways[name]))
			c := newCell(b, g, anywhere(policy.Quotas{}))
			for of, f := range kinds {
				b.Run(of, func(b *testing.B) { compare(b, c, f) })
			}
		})
	}
}

// acceptor takes connections and closes them.
func acceptor(b *testing.B) (port int) {
	b.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	b.Cleanup(func() { _ = l.Close(); <-ended })
	return l.Addr().(*net.TCPAddr).Port
}

// with is o in the tests' group, or skips where it cannot be.
func with(b *testing.B, o Options) Options {
	b.Helper()
	shared.possible(b, o)
	o.Cgroup = shared.group(b)
	return o
}

func BenchmarkLoad(b *testing.B) {
	for name, o := range ways {
		b.Run(name, func(b *testing.B) {
			o := with(b, o)
			for b.Loop() {
				g, err := Load(o)
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := g.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

// BenchmarkBind binds another thread: a bound one may not bind.
func BenchmarkBind(b *testing.B) {
	eachBench(b, func(b *testing.B, g *Guard) {
		c := newCell(b, g, policy.Policy{})
		tid, done, ended := make(chan int), make(chan struct{}), make(chan error)
		go func() {
			ended <- osthread.Run(func() error {
				tid <- unix.Gettid()
				<-done
				return nil
			})
		}()
		other := <-tid
		for b.Loop() {
			if err := c.Bind(other); err != nil {
				close(done)
				b.Skip(err, <-ended)
			}
		}
		close(done)
		if err := <-ended; err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkPublish(b *testing.B) {
	g := shared.get(b, ways["cgroup"])
	first, second := build(b, g, port(1)), build(b, g, port(2))
	defer first.Release()
	defer second.Release()
	c := newCell(b, g, port(1))
	b.Run("built", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if err := c.Publish([]*Rules{first, second}[i%2]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("a policy that is there", func(b *testing.B) {
		for b.Loop() {
			if err := c.Swap(port(1)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("a policy that is new", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			p := port(3)
			p.Quotas.Opens = int64(i + 1)
			if err := c.Swap(p); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("deny all", func(b *testing.B) {
		for b.Loop() {
			c.DenyAll()
		}
	})
}

func BenchmarkNewCell(b *testing.B) {
	g := shared.get(b, ways["cgroup"])
	r := build(b, g, port(1))
	defer r.Release()
	for b.Loop() {
		c, err := g.NewCellOf(r)
		if err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}

func BenchmarkUsage(b *testing.B) {
	c := newCell(b, shared.get(b, ways["cgroup"]), policy.Policy{})
	for b.Loop() {
		_ = c.Usage()
	}
}

// BenchmarkEvents is of a denied connection, with and without room for its event.
func BenchmarkEvents(b *testing.B) {
	eachBench(b, func(b *testing.B, g *Guard) {
		c := newCell(b, g, own())
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- g.ReadEvents(ctx, func(Event) {}) }()
		measure(b, c, func() error {
			_ = dial(9) // it is denied
			return nil
		})
		cancel()
		if err := <-ended; err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	data := encode(rawEvent{Kind: 1, Hook: 7, Family: unix.AF_INET})
	for b.Loop() {
		if _, err := decode(data); err != nil {
			b.Fatal(err)
		}
	}
}
