package guard

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/kernel/policy"
)

// told are the events that a guard told since.
type told struct {
	mu     sync.Mutex
	events []Event
}

// collect reads events until the test ends.
func collect(t testing.TB, g *Guard) *told {
	t.Helper()
	all := &told{}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- g.ReadEvents(ctx, func(e Event) {
			all.mu.Lock()
			defer all.mu.Unlock()
			all.events = append(all.events, e)
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return all
}

func (a *told) count(is func(Event) bool) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, e := range a.events {
		if is(e) {
			n++
		}
	}
	return n
}

func (a *told) has(is func(Event) bool) bool {
	return await.Within(10*time.Second, func() bool { return a.count(is) > 0 })
}

func (a *told) first(is func(Event) bool) (Event, bool) {
	if !a.has(is) {
		return Event{}, false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.events[slices.IndexFunc(a.events, is)], true
}

func TestEvents(t *testing.T) {
	each(t, func(t *testing.T, g *Guard) {
		events := collect(t, g)
		c := newCell(t, g, own())
		var tid int
		var begin time.Duration
		on(t, c, func() error {
			tid = unix.Gettid()
			var now unix.Timespec
			_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
			begin = time.Duration(now.Nano())
			return errors.Join(
				denied("IPv4", to(unix.AF_INET, unix.SOCK_DGRAM, connect(&unix.SockaddrInet4{Port: 99, Addr: [4]byte{127, 0, 0, 7}}))),
				denied("IPv6", to(unix.AF_INET6, unix.SOCK_DGRAM, connect(&unix.SockaddrInet6{Port: 98, Addr: [16]byte{15: 1}}))))
		})
		for _, peer := range []string{"127.0.0.7:99", "[::1]:98"} {
			e, ok := events.first(func(e Event) bool { return e.Cell == c.Index() && e.Peer == netip.MustParseAddrPort(peer) })
			if !ok {
				t.Fatalf("nobody was told of %s", peer)
			}
			if e.Kind != Denied || e.Life != c.Life() || e.Hook != "connect" || e.Thread != uint32(tid) || e.Time < begin || e.Time > begin+time.Minute {
				t.Errorf("%+v", e)
			}
		}
	})
}

func TestPathEvent(t *testing.T) {
	g := guarded(t)
	events := collect(t, g)
	tr := newTree(t)
	c := newCell(t, g, tr.policy())
	on(t, c, func() error { return denied("", readAs(tr.at("b/file"))) })
	e, ok := events.first(func(e Event) bool { return e.Cell == c.Index() && e.Kind == Denied })
	if !ok || e.Hook != "open" || e.Path != tr.at("b/file")[:min(127, len(tr.at("b/file")))] || e.Access != policy.Read {
		t.Errorf("%+v", e)
	}
}

// TestFlood: what a cell has too much of is its own loss, and counted.
func TestFlood(t *testing.T) {
	each(t, func(t *testing.T, g *Guard) {
		events := collect(t, g)
		c, other := newCell(t, g, own()), newCell(t, g, own())
		const tries = 2000
		begin := time.Now()
		refuse := func() error {
			return denied("", to(unix.AF_INET, unix.SOCK_DGRAM, connect(&unix.SockaddrInet4{Port: 9, Addr: [4]byte{127, 0, 0, 1}})))
		}
		on(t, c, func() error {
			for range tries {
				if err := refuse(); err != nil {
					return err
				}
			}
			return nil
		})
		seconds := int(time.Since(begin)/time.Second) + 2
		on(t, other, refuse)
		if !events.has(func(e Event) bool { return e.Cell == other.Index() }) {
			t.Error("the other cell's event is not there")
		}
		n := events.count(func(e Event) bool { return e.Cell == c.Index() })
		if u := c.Usage(); u.Denied != tries || n > 100*seconds || n+int(u.Lost) != tries {
			t.Errorf("%d events in %d s, %+v", n, seconds, u)
		}
	})
}

// encode is what the programs write.
func encode(raw rawEvent) []byte {
	var b bytes.Buffer
	_ = binary.Write(&b, binary.NativeEndian, raw)
	return b.Bytes()
}

func TestDecode(t *testing.T) {
	base := rawEvent{Time: 5, Cell: 7, Life: 3, Thread: 9, Kind: 1, Hook: 1}
	with := func(change func(*rawEvent)) []byte {
		raw := base
		change(&raw)
		return encode(raw)
	}
	for name, c := range map[string]struct {
		data []byte
		want Event
		bad  bool
	}{
		"a path": {with(func(r *rawEvent) { copy(r.Path[:], "/a/b\x00old"); r.Value = 3 | 8 }), Event{Time: 5, Cell: 7, Life: 3, Thread: 9, Kind: Denied, Hook: "open",
			Access: policy.Read | policy.Write, Path: "/a/b"}, false},
		"a peer": {with(func(r *rawEvent) { r.Hook, r.Family, r.Port, r.Address = 7, unix.AF_INET, 80, [16]byte{10, 0, 0, 1} }),
			Event{Time: 5, Cell: 7, Life: 3, Thread: 9, Kind: Denied, Hook: "connect", Peer: netip.MustParseAddrPort("10.0.0.1:80")}, false},
		"a quota":         {with(func(r *rawEvent) { r.Kind, r.Hook, r.Value = 2, 15, 5 }), Event{Time: 5, Cell: 7, Life: 3, Thread: 9, Kind: OverQuota, Hook: "cpu", Quota: "cpu_total"}, false},
		"a contract":      {with(func(r *rawEvent) { r.Kind, r.Value = 3, 2<<16|4 }), Event{Time: 5, Cell: 7, Life: 3, Thread: 9, Kind: Broken, Hook: "open", Line: 2, Column: 4}, false},
		"nothing":         {nil, Event{}, true},
		"cut off":         {encode(base)[:100], Event{}, true},
		"no kind":         {with(func(r *rawEvent) { r.Kind = 0 }), Event{}, true},
		"unknown kind":    {with(func(r *rawEvent) { r.Kind = 9 }), Event{}, true},
		"unknown hook":    {with(func(r *rawEvent) { r.Hook = 99 }), Event{}, true},
		"unknown quota":   {with(func(r *rawEvent) { r.Kind, r.Value = 2, 99 }), Event{}, true},
		"a cell too high": {with(func(r *rawEvent) { r.Cell = maxCells }), Event{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := decode(c.data)
			if c.bad != errors.Is(err, errEvent) || (err != nil) != c.bad {
				t.Errorf("error %v", err)
			}
			if diff := cmp.Diff(c.want, got, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encode(rawEvent{Kind: 1, Hook: 1}))
	f.Add(encode(rawEvent{Kind: 2, Hook: 15, Value: 5, Family: unix.AF_INET6}))
	f.Fuzz(func(t *testing.T, data []byte) {
		if e, err := decode(data); err == nil && (e.Hook == "" || e.Cell >= maxCells || len(e.Path) > 128) {
			t.Errorf("%+v", e)
		}
	})
}
