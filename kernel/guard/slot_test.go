package guard

import (
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

func port(n uint16) policy.Policy {
	p := own()
	p.Net = []policy.NetRule{{Prefix: netip.MustParsePrefix("127.0.0.0/8"), Ports: []policy.PortRange{{First: n, Last: n}}}}
	return p
}

// build is Build without contracts.
func build(t testing.TB, g *Guard, p policy.Policy) *Rules {
	t.Helper()
	r, err := g.Build(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestShared: policies that judge the same are one, and live until nobody has them.
func TestShared(t *testing.T) {
	g := shared.get(t, ways["cgroup"])
	a, b, other := build(t, g, port(1)), build(t, g, port(1)), build(t, g, port(2))
	quota := port(1)
	quota.Quotas.Connects = 1
	bounded := build(t, g, quota)
	if a != b || a == other || a == bounded {
		t.Errorf("slots %d, %d, %d, %d", a.slot, b.slot, other.slot, bounded.slot)
	}
	bounded.Release()
	other.Release()
	c := newCell(t, g, port(1))
	if c.rules != a || a.holders != 3 {
		t.Errorf("a cell has slot %d, %d hold it", c.rules.slot, a.holders)
	}
	a.Release()
	b.Release()
	c.DenyAll()
	if a.holders != 0 || len(g.slots.retired) == 0 {
		t.Errorf("%d hold it when nobody does", a.holders)
	}
	if err := c.Publish(a); !errors.Is(err, ErrReleased) {
		t.Errorf("what was released is published: %v", err)
	}
	again := build(t, g, port(1))
	defer again.Release()
	if again != a {
		t.Error("what was just there was built again")
	}
}

// TestManyCells: all cells there can be have a policy, and one slot.
func TestManyCells(t *testing.T) {
	g := shared.get(t, ways["cgroup"])
	r := build(t, g, port(9))
	defer r.Release()
	var all []*Cell
	for {
		c, err := g.NewCellOf(r)
		if errors.Is(err, ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	if len(all) < maxCells-16 || len(all) > maxCells {
		t.Errorf("%d cells", len(all))
	}
	last := all[len(all)-1]
	on(t, last, func() error { return errors.Join(dial(9), denied("another port", dial(10))) })
	for _, c := range all {
		c.Close()
	}
}

// TestFlips: verdicts of two threads of one process change at once, each with its cell's
// policy.
func TestFlips(t *testing.T) {
	each(t, func(t *testing.T, g *Guard) {
		a, b := build(t, g, port(1)), build(t, g, port(2))
		defer a.Release()
		defer b.Release()
		ask := func(r *Rules) (*Cell, chan int, chan error) {
			c, err := g.NewCellOf(r)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(c.Close)
			ports, answers := make(chan int), make(chan error)
			go func() {
				defer close(answers)
				on(t, c, func() error {
					for port := range ports {
						answers <- dial(port)
					}
					return nil
				})
			}()
			t.Cleanup(func() {
				close(ports)
				for range answers { // until its thread has ended
				}
			})
			return c, ports, answers
		}
		one, toOne, fromOne := ask(a)
		two, toTwo, fromTwo := ask(b)
		for round := range 100 {
			for i, ports := range []chan int{toOne, toTwo} {
				answers := []chan error{fromOne, fromTwo}[i]
				for port := 1; port <= 2; port++ {
					ports <- port
					want := port == (round+i)%2+1
					if got := <-answers; (got == nil) != want {
						t.Fatalf("round %d: thread %d, port %d: %v", round, i, port, got)
					}
				}
			}
			a, b = b, a
			if err := errors.Join(one.Publish(a), two.Publish(b)); err != nil {
				t.Fatal(err)
			}
		}
		if one.DenyAll(); dialed(toOne, fromOne, 1) || dialed(toOne, fromOne, 2) || !dialed(toTwo, fromTwo, 1) && !dialed(toTwo, fromTwo, 2) {
			t.Error("DenyAll")
		}
	})
}

func dialed(ports chan int, answers chan error, port int) bool {
	ports <- port
	return <-answers == nil
}

// TestFlipRace: under a load of publishing what both policies permit is always permitted,
// and what none does never.
func TestFlipRace(t *testing.T) {
	each(t, func(t *testing.T, g *Guard) {
		rules := func(ports ...uint16) *Rules {
			p := own()
			r := policy.NetRule{Prefix: netip.MustParsePrefix("127.0.0.0/8")}
			for _, n := range ports {
				r.Ports = append(r.Ports, policy.PortRange{First: n, Last: n})
			}
			p.Net = []policy.NetRule{r}
			return build(t, g, p)
		}
		a, b := rules(1, 3), rules(2, 3)
		defer a.Release()
		defer b.Release()
		c, err := g.NewCellOf(a)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		var stop atomic.Bool
		var publishing sync.WaitGroup
		var flips atomic.Int64
		publishing.Go(func() {
			for !stop.Load() {
				if err := c.Publish([]*Rules{a, b}[flips.Add(1)%2]); err != nil {
					t.Error(err)
					return
				}
			}
		})
		const tries = 3000
		on(t, c, func() error {
			return to(unix.AF_INET, unix.SOCK_DGRAM, func(fd int) error {
				dial := func(port int) error {
					return unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
				}
				// The publisher may have to wait for a processor.
				for n := 0; n < tries || flips.Load() < 100 && !t.Failed(); n++ {
					if err := errors.Join(dial(3), denied("a port of neither", dial(4))); err != nil {
						return err
					}
				}
				return nil
			})
		})
		stop.Store(true)
		publishing.Wait()
	})
}

// TestBoundBuilds: a thread that may not speak to eBPF is told so.
func TestBoundBuilds(t *testing.T) {
	g := guarded(t)
	c := newCell(t, g, own())
	on(t, c, func() error {
		if _, err := g.Build(port(77), nil); !errors.Is(err, ErrBound) {
			t.Errorf("a bound thread builds: %v", err)
		}
		return nil
	})
}

// TestClosed: what is left of a closed cell may do nothing, nor has it what the next cell of
// the same number has.
func TestClosed(t *testing.T) {
	each(t, func(t *testing.T, g *Guard) {
		g.mu.Lock()
		rest := g.freeCells[1:]
		g.freeCells = g.freeCells[:1:1]
		g.mu.Unlock()
		t.Cleanup(func() { g.freeCells = append(g.freeCells, rest...) })
		old := newCell(t, g, anywhere(policy.Quotas{}))
		peer := addressOf(sink(t))
		on(t, old, func() error {
			return to(unix.AF_INET, unix.SOCK_DGRAM, func(fd int) error {
				if err := errors.Join(unix.Connect(fd, peer), unix.Sendto(fd, []byte("x"), 0, nil)); err != nil {
					return err
				}
				old.Close()
				next := make(chan *Cell)
				go func() { next <- newCell(t, g, anywhere(policy.Quotas{})) }() // a bound thread may not build
				c := <-next
				if c.Index() != old.Index() || c.Life() == old.Life() || c.Life() == 0 {
					t.Errorf("cell %d, life %d after cell %d, life %d", c.Index(), c.Life(), old.Index(), old.Life())
				}
				_, err := unix.Write(fd, []byte("x"))
				err = errors.Join(denied("send as the next cell", err), denied("connect as the next cell", dial(9)))
				old.DenyAll()
				if swap := old.Swap(anywhere(policy.Quotas{})); g.Kind() == Cgroup && !errors.Is(swap, ErrClosed) {
					t.Errorf("a closed cell is swapped: %v", swap)
				}
				if g.shared(c.Index()).word.Load()&0xffffffff == 0 {
					t.Error("a closed cell's DenyAll is the next one's")
				}
				if u := c.Usage(); u != (Usage{}) {
					t.Errorf("the next cell's usage: %+v", u)
				}
				return err
			})
		})
	})
}
