package members

import (
	"bytes"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"go.uber.org/goleak"

	"github.com/pyisolate/pyisolate/internal/await"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	oldKey = bytes.Repeat([]byte{1}, KeySize)
	newKey = bytes.Repeat([]byte{2}, KeySize)
)

// network joins members in one process; each has a loopback address of its own. It can be cut
// into parts.
type network struct {
	mu    sync.Mutex
	hosts int
	alone map[string]bool // hosts on the far side
	seeds []string
}

func newNetwork() *network { return &network{alone: map[string]bool{}} }

func (n *network) cut(hosts ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.alone)
	for _, h := range hosts {
		n.alone[h] = true
	}
}

func (n *network) open(from, to string) bool {
	host, _, _ := net.SplitHostPort(to)
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.alone[from] == n.alone[host]
}

func (n *network) list() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.seeds)
}

func (n *network) add(seed string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.seeds = append(n.seeds, seed)
}

// link is a member's way to the network.
type link struct {
	memberlist.NodeAwareTransport
	net  *network
	host string
}

func (l *link) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	if !l.net.open(l.host, to.Addr) {
		return time.Now(), nil // as if it was lost
	}
	return l.NodeAwareTransport.WriteToAddress(b, to)
}

func (l *link) DialAddressTimeout(to memberlist.Address, d time.Duration) (net.Conn, error) {
	if !l.net.open(l.host, to.Addr) {
		return nil, fmt.Errorf("no way from %s to %s", l.host, to.Addr)
	}
	return l.NodeAwareTransport.DialAddressTimeout(to, d)
}

// config is that of a member at an address of its own.
func (n *network) config(t testing.TB, name string) Config {
	n.mu.Lock()
	n.hosts++
	host := fmt.Sprintf("127.0.4.%d", n.hosts)
	n.mu.Unlock()
	return Config{
		Name: name, Cluster: "test", Address: host + ":0", Keys: [][]byte{oldKey}, Seeds: n.list,
		Rejoin: 200 * time.Millisecond,
		Meta:   Meta{Wire: host + ":1", Python: "cpython-314"},
		tune: func(c *memberlist.Config, b memberlist.NodeAwareTransport) {
			c.Transport = &link{b, n, host}
			c.GossipToTheDeadTime = 0 // only the rejoin loop heals
		},
	}
}

func start(t testing.TB, c Config) *Members {
	t.Helper()
	m, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// member starts one and makes it a seed of the others.
func (n *network) member(t testing.TB, name string) *Members {
	t.Helper()
	m := start(t, n.config(t, name))
	n.add(m.Addr())
	return m
}

func names(m *Members) string {
	var list []string
	for _, n := range m.List() {
		list = append(list, n.Name)
	}
	return strings.Join(list, " ")
}

func mustSee(t testing.TB, want string, all ...*Members) {
	t.Helper()
	for _, m := range all {
		await.That(t, m.list.LocalNode().Name+" sees "+want, func() bool { return names(m) == want })
	}
}

// next is the next event of a watcher.
func next(t testing.TB, w <-chan Event) Event {
	t.Helper()
	select {
	case e, ok := <-w:
		if !ok {
			t.Fatal("the watcher is closed")
		}
		return e
	case <-time.After(20 * time.Second):
		t.Fatal("no event in 20 s")
	}
	return Event{}
}
