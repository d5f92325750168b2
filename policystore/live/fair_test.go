package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/kernel/policy"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/policystore/document"
)

// gate is a key of a plug-in that is read when the test says so.
type gate struct {
	reads chan struct{} // one when a value is being read
	open  chan struct{}
}

func (gate) Name() string                  { return "gate" }
func (gate) Schema() json.RawMessage       { return []byte(`{}`) }
func (gate) Enforce(any, *cell.Spec) error { return nil }
func (g gate) Decode(value json.RawMessage) (decoded any, e error) {
	if string(value) == `"shut"` {
		g.reads <- struct{}{}
		<-g.open
	}
	return string(value), nil
}

// Nobody waits for the compiling of another's policy.
func TestCompilingHoldsUpNobodyElse(t *testing.T) {
	g := gate{make(chan struct{}, 9), make(chan struct{})}
	keys, err := document.NewKeys(g)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, Options{Keys: keys})
	w.put("a/p", "s: { x-gate: open }")
	w.put("b/p", "s: { files: 10 }")
	fa, fb := w.follow("a/p", "", &recorder{}), w.follow("b/p", "", &recorder{})
	w.put("a/p", "s: { x-gate: shut }")
	<-g.reads
	for i := range 3 {
		v := w.put("b/p", fmt.Sprintf("s: { files: %d }", 20+i))
		await.That(t, "the other's version", func() bool { return fb.Report().Version == v })
	}
	w.follow("b/p", "", &recorder{}).Close()
	close(g.open)
	await.That(t, "the slow one", func() bool { return fa.Report().Version == 2 })
}

// Targets that do not answer hold up their own tenant alone.
func TestHungTargetsHoldUpNobodyElse(t *testing.T) {
	w := newWorld(t, Options{Parallel: 8})
	w.put("a/p", "s: { files: 10 }")
	w.put("b/p", "s: { files: 10 }")
	hold := make(chan struct{}, 100)
	var hung []*recorder
	for range 10 {
		hold <- struct{}{}
		hung = append(hung, &recorder{hold: hold})
		w.follow("a/p", "", hung[len(hung)-1])
	}
	f := w.follow("b/p", "", &recorder{})
	w.put("a/p", "s: { files: 11 }")
	await.That(t, "two at work", func() bool { return atWork(hung) == 2 })
	w.put("b/p", "s: { files: 11 }")
	await.That(t, "the other tenant's", func() bool { return f.Report().Version == 2 })
	close(hold)
}

// atWork is how many of them have been given a version after their first, and have not answered.
func atWork(hung []*recorder) (n int) {
	for _, h := range hung {
		n += len(h.versions()) - 1
	}
	return n
}

// cellOf is a cell of a tenant.
type cellOf struct {
	*recorder
	tenant string
}

func (c cellOf) Subject() (tenant, cell string) { return c.tenant, "worker" }

// Cells that do not answer hold up their own tenant's, whether under the tenant's own policy or under one that all share.
func TestHungCellsHoldUpNoOtherTenants(t *testing.T) {
	w := newWorld(t, Options{Parallel: 8})
	w.put("shared", "s: { files: 10 }")
	w.put("a/p", "s: { files: 10 }")
	hold := make(chan struct{}, 100)
	var hung []*recorder
	follow := func(policy string) {
		hold <- struct{}{}
		hung = append(hung, &recorder{hold: hold})
		w.follow(policy, "", cellOf{hung[len(hung)-1], "a"})
	}
	for range 5 {
		follow("shared")
		follow("a/p")
	}
	f := w.follow("shared", "", cellOf{&recorder{}, "b"})
	w.put("a/p", "s: { files: 11 }")
	w.put("shared", "s: { files: 11 }")
	await.That(t, "the other tenant's", func() bool { return f.Report().Version == 2 })
	await.That(t, "two at work", func() bool { return atWork(hung) == 2 })
	w.put("shared", "s: { files: 12 }")
	await.That(t, "the other tenant's next", func() bool { return f.Report().Version == 3 })
	if n := atWork(hung); n != 2 {
		t.Errorf("%d of one tenant are at work", n)
	}
	close(hold)
}

// A target that is busy gives its place to others until it is asked again.
func TestBusyTargetsLeaveTheirPlace(t *testing.T) {
	w := newWorld(t, Options{Parallel: 1})
	w.put("p", "s: { files: 10 }")
	busy := &recorder{fail: func(r Revision) error {
		if r.Version > 1 {
			return cell.Errorf(cell.Busy, "not now")
		}
		return nil
	}}
	w.follow("p", "", busy)
	free := make([]*Followed, 5)
	var asked atomic.Int64 // how often the busy one had been when the last of the others was
	for i := range free {
		free[i] = w.follow("p", "", &recorder{fail: func(Revision) error { asked.Store(int64(len(busy.versions()))); return nil }})
	}
	w.put("p", "s: { files: 11 }")
	await.That(t, "that it is busy", func() bool { return len(busy.versions()) > 1 })
	for _, f := range free {
		await.That(t, "the others", func() bool { return f.Report().Version == 2 })
	}
	if asked.Load() == 1+retries {
		t.Error("the others had to wait until it was asked for the last time")
	}
}

// What failed for want of something is tried again, and what was refused is not.
func TestFailuresAreTriedAgain(t *testing.T) {
	w := newWorld(t, Options{ResolveEvery: 5 * time.Millisecond})
	w.put("p", "s: { files: 10 }")
	fails := func(how error) *recorder {
		return &recorder{fail: func(r Revision) error {
			if r.Version > 1 {
				return how
			}
			return nil
		}}
	}
	poor, refusing := fails(nil), fails(cell.Errorf(cell.PolicyDenied, "hardened mode"))
	left := 3
	poor.fail = func(r Revision) error {
		if r.Version == 1 || left == 0 {
			return nil
		}
		left--
		return errors.New("too many open files")
	}
	f := w.follow("p", "", poor)
	refused := w.follow("p", "", refusing)
	w.put("p", "s: { files: 11 }")
	await.That(t, "the refusal", func() bool { return refused.Report().Failed != "" })
	await.That(t, "that it worked in the end", func() bool { r := f.Report(); return r.Version == 2 && r.Failed == "" })
	equal(t, "it", poor.versions(), []uint64{1, 2, 2, 2, 2})
	equal(t, "what was refused", refusing.versions(), []uint64{1, 2})
}

// What deleted a policy while nobody watched is seen by who does.
func TestMissedDeletion(t *testing.T) {
	w := newWorld(t, Options{})
	for _, name := range []string{"p", "pp"} {
		w.put(name, "a: { files: 10 }")
	}
	source := &lossy{Store: w.Store}
	source.losses.Store(1 << 30)
	r := New(source, Options{})
	defer r.Close()
	f, err := r.Follow(t.Context(), "p", "", &recorder{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Delete(t.Context(), editor, policystore.DeleteRequest{Name: "p"}); err != nil {
		t.Fatal(err)
	}
	source.losses.Store(1)
	await.That(t, "that it is deleted", func() bool { return f.Report().Deleted })
	if r := f.Report(); r.Version != 1 || r.Newest != 2 {
		t.Errorf("%+v", r)
	}
}

// hanging is a zone in which some names hang until nobody waits any more, or they are let go.
type hanging struct {
	zone
	lookUp func(ctx context.Context)

	mu    sync.Mutex
	names []string
	hung  int // look-ups that do
	free  chan struct{}
}

func (h *hanging) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if h.lookUp != nil {
		h.lookUp(ctx)
	}
	if free, is := h.hangs(host); is {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-free:
		}
	}
	return h.zone.LookupNetIP(ctx, network, host)
}

func (h *hanging) hangs(host string) (free <-chan struct{}, is bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if is = slices.Contains(h.names, host); is {
		h.hung++
	}
	return h.free, is
}

// hang has names hang from now on.
func (h *hanging) hang(names []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.names, h.free = names, make(chan struct{})
}

// full waits until as many look-ups hang as may. Of a round that is half done fewer are left, and it does not end
// while they hang: they are let go, and it is the next one's turn.
func (h *hanging) full() bool {
	if await.Within(100*time.Millisecond, func() bool { h.mu.Lock(); defer h.mu.Unlock(); return h.hung >= ownLookups }) {
		return true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.free)
	h.hung, h.free = 0, make(chan struct{})
	return false
}

func slowNames() (list []string) {
	for i := range document.MaxHosts {
		list = append(list, fmt.Sprintf("slow%d.example", i))
	}
	return list
}

func connects(names ...string) string {
	return `s: { net: [ { connect: ["` + strings.Join(names, `:443", "`) + `:443"] } ] }`
}

// Names that nobody answers for hold up no other policy's.
func TestHungNamesHoldUpNoOthers(t *testing.T) {
	z := &hanging{zone: zone{of: map[string][]netip.Addr{}}}
	slow := slowNames()
	for _, name := range append(slow, "b.example") {
		z.set(name, "192.0.2.1")
	}
	w := newWorld(t, Options{Resolver: z, ResolveEvery: 5 * time.Millisecond, ResolveTimeout: time.Hour})
	w.put("a/p", connects(slow...))
	w.put("b/p", connects("b.example"))
	w.follow("a/p", "", &recorder{})
	b := &recorder{}
	w.follow("b/p", "", b)
	z.hang(slow)
	await.That(t, "all that may hang", z.full)
	z.set("b.example", "192.0.2.7")
	await.That(t, "the address that moved", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return slices.ContainsFunc(b.got[len(b.got)-1].Compiled.Policy.Net, func(n policy.NetRule) bool { return n.Prefix.String() == "192.0.2.7/32" })
	})
}

// A cell that starts waits for one look-up's time, however many names there are.
func TestFollowWaitsOnce(t *testing.T) {
	z := &hanging{zone: zone{of: map[string][]netip.Addr{}}}
	z.hang(slowNames())
	type starts struct{} // in the context of the one that starts, not of what goes on behind it
	var n atomic.Int64
	z.lookUp = func(ctx context.Context) {
		if ctx.Value(starts{}) != nil {
			n.Add(1)
		}
	}
	w := newWorld(t, Options{Resolver: z, ResolveTimeout: 200 * time.Millisecond})
	w.put("p", connects(slowNames()...))
	f, err := w.Follow(context.WithValue(t.Context(), starts{}, true), "p", "", &recorder{})
	if err != nil {
		t.Fatal(err)
	}
	if n := n.Load(); n == 0 || n > 2*ownLookups { // some may begin as the time ends
		t.Errorf("it waited for %d look-ups", n)
	}
	if r := f.Report(); len(r.Unresolved) != document.MaxHosts || r.Version != 1 {
		t.Errorf("%+v", r)
	}
}

// Names that are not found are looked up ever less, up to a bound, and at once when they are back.
func TestNamesBackOff(t *testing.T) {
	z := &hanging{zone: zone{of: map[string][]netip.Addr{}}}
	asked := 0
	z.lookUp = func(context.Context) { asked++ }
	moved := 0
	n := newNames(Options{Resolver: z}.withDefaults(), func(string) { moved++ })
	rounds := func(many int) int {
		before := asked
		for range many {
			n.next(map[string]bool{"x.example": true})
			n.lookUp(t.Context(), "p", []string{"x.example", "x.example"}, false)
		}
		return asked - before
	}
	if got := rounds(16); got != 5 { // 1, 2, 4, 8 and 16
		t.Errorf("looked up %d times in 16 rounds", got)
	}
	if got := rounds(8 * maxBackoff); got != 8 {
		t.Errorf("then %d times in %d rounds", got, 8*maxBackoff)
	}
	z.set("x.example", "192.0.2.1")
	rounds(maxBackoff)
	if got := rounds(10); got != 10 || moved != 1 {
		t.Errorf("when it is back, %d times in 10 rounds; it moved %d times", got, moved)
	}
}

// An answer with a crowd of addresses counts for few of them, and the report tells.
func TestCrowdedNames(t *testing.T) {
	z := &zone{of: map[string][]netip.Addr{}}
	for i := range 5000 {
		z.of["x.example"] = append(z.of["x.example"], netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)}))
	}
	w := newWorld(t, Options{Resolver: z})
	w.put("p", connects("x.example"))
	target := &recorder{}
	f := w.follow("p", "", target)
	if n := len(target.got[0].Compiled.Policy.Net); n != document.MaxAddresses {
		t.Errorf("%d addresses", n)
	}
	if r := f.Report(); !slices.Equal(r.Unresolved, []string{"x.example"}) {
		t.Errorf("%+v", r)
	}
	if n := len(w.names.of["x.example"].addresses); n != document.MaxAddresses+1 {
		t.Errorf("%d are kept", n)
	}
}

// Answers by which a policy cannot be had as written neither stop its versions nor last longer
// than they do.
func TestAnswersFreezeNothing(t *testing.T) {
	z := &zone{of: map[string][]netip.Addr{}}
	z.set("a.example", "192.0.2.1")
	z.set("b.example", "192.0.2.1")
	w := newWorld(t, Options{Resolver: z, ResolveEvery: 5 * time.Millisecond})
	w.put("p", `s: { net: [ { connect: "a.example:1,3,5,7,9" }, { connect: "b.example:11,13,15,17,19" } ] }`)
	target := &recorder{}
	f := w.follow("p", "", target)
	if r := f.Report(); !slices.Equal(r.Unresolved, []string{"b.example"}) {
		t.Errorf("%+v", r)
	}
	z.set("b.example", "192.0.2.2")
	await.That(t, "that it heals", func() bool { r := f.Report(); return len(r.Unresolved) == 0 && r.Failed == "" })
	if got := target.got[len(target.got)-1].Compiled.Policy.Net; len(got) != 2 {
		t.Errorf("%v", got)
	}
}

// A cell whose boundary is too weak for a version is bounded by it, and gets nothing else of it.
func TestWeakCellsGetNothing(t *testing.T) {
	w := newWorld(t, Options{})
	w.put("p", "s: { fs: [ { read: /a } ], imports: [math], files: 10 }")
	weak, strong := &bounded{}, &recorder{}
	f := w.follow("p", "", weak)
	w.follow("p", "", strong)
	w.put("p", "s: { fs: [ { allow: /b } ], net: [ { connect: 10.0.0.0/8 } ], imports: [json], capabilities: { clock: {} }, files: 11, backend: process }")
	await.That(t, "the second", func() bool { return f.Report().Version == 2 })
	c := weak.got[1].Compiled
	if len(c.Policy.Files) != 0 || len(c.Policy.Net) != 0 || len(c.Imports) != 0 || len(c.Grants) != 0 || c.Limits.Files != 11 {
		t.Errorf("it got %+v", c)
	}
	for _, q := range []document.Query{{Path: "/a/x", Access: policy.Read}, {Path: "/b/x", Access: policy.Write}, {Import: "json"}, {Address: netip.MustParseAddrPort("10.0.0.1:80")}} {
		if v := c.Explain(q); v.Allowed {
			t.Errorf("%+v: %+v", q, v)
		}
	}
	await.That(t, "the strong one's", func() bool { return len(strong.versions()) == 2 })
	if c := strong.got[1].Compiled; len(c.Imports) != 1 {
		t.Errorf("who is not bounded got %+v", c)
	}
	w.put("p", "s: { fs: [ { read: /a } ] }")
	await.That(t, "the third", func() bool { return f.Report().Version == 3 })
	if r := f.Report(); r.Wants != "" || len(weak.got[2].Compiled.Policy.Files) != 1 {
		t.Errorf("%+v", r)
	}
}
