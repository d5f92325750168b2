package live

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/internal/await"
)

// zone answers for names, or does not.
type zone struct {
	mu sync.Mutex
	of map[string][]netip.Addr
}

func (z *zone) set(name string, addresses ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.of[name] = nil
	for _, a := range addresses {
		z.of[name] = append(z.of[name], netip.MustParseAddr(a))
	}
}

func (z *zone) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if len(z.of[host]) == 0 {
		return nil, fmt.Errorf("no such host %s", host)
	}
	return slices.Clone(z.of[host]), nil
}

// clock stands until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }
func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func TestNames(t *testing.T) {
	z, c := &zone{of: map[string][]netip.Addr{}}, &clock{now: time.Unix(1, 0)}
	z.set("db.example", "192.0.2.2", "192.0.2.1")
	w := newWorld(t, Options{Resolver: z, ResolveEvery: 5 * time.Millisecond, ResolveKeep: time.Minute, Now: c.Now})
	w.put("p", `a: { net: [ { connect: ["db.example:443"] } ] }`)
	target := &recorder{}
	f := w.follow("p", "", target)
	prefixes := func() (list []string) {
		target.mu.Lock()
		defer target.mu.Unlock()
		for _, r := range target.got[len(target.got)-1].Compiled.Policy.Net {
			list = append(list, r.Prefix.String())
		}
		return list
	}
	want := func(what string, list ...string) {
		t.Helper()
		await.That(t, what, func() bool { return slices.Equal(prefixes(), list) })
	}
	want("when followed", "192.0.2.1/32", "192.0.2.2/32")
	z.set("db.example", "192.0.2.1", "192.0.2.2") // in another order they are the same
	z.set("db.example", "2001:db8::1")
	want("moved", "2001:db8::1/128")
	z.set("db.example")
	c.pass(30 * time.Second)
	w.put("p", `a: { files: 10, net: [ { connect: ["db.example:443", "new.example:1"] } ] }`)
	await.That(t, "the new version", func() bool { return f.Report().Version == 2 })
	want("kept while nobody answers", "2001:db8::1/128")
	if r := f.Report(); !slices.Equal(r.Unresolved, []string{"new.example"}) {
		t.Errorf("%+v", r)
	}
	z.set("new.example", "192.0.2.9")
	want("found later", "192.0.2.9/32", "2001:db8::1/128")
	c.pass(time.Hour)
	want("and dropped in the end", "192.0.2.9/32")
	if got := target.versions(); !slices.IsSorted(got) || got[len(got)-1] != 2 {
		t.Errorf("versions %v", got)
	}
}
