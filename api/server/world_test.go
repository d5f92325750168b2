package server_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/api/server"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cluster/schedule"
)

// world is what nodes of a test agree on: nothing of it is distributed.
type world struct {
	mu     sync.Mutex
	dir    string
	nodes  []string
	places map[actors.Address]server.Place
	epoch  uint64
	first  string                  // the node that is chosen if it may be
	full   map[string]bool         // nodes that refuse what they are chosen for
	news   chan struct{}           // closed with the next change, if anybody waits for it
	keeps  bool                    // what has ended is not given back
	hands  int                     // that are out
	ran    map[actors.Address]bool // cells that have come, and run
	refuse func() error            // why nothing is agreed about moves now, if it says so
}

func newWorld(tb testing.TB) *world {
	return &world{dir: tb.TempDir(), places: map[actors.Address]server.Place{}, epoch: 4, full: map[string]bool{}}
}

// join makes a node of the world.
func (w *world) join(tb testing.TB, name string, options ...option) (*node, *fabric) {
	tb.Helper()
	f := w.fabric(name)
	n := newNode(tb, append(options, func(c *server.Config) { c.Fabric, c.Directory = f, &released{of: f} })...)
	l, err := net.Listen("unix", filepath.Join(w.dir, name))
	must(tb, err)
	served := make(chan error, 1)
	go func() { served <- n.server.ServeNodes(l, f.peer) }()
	tb.Cleanup(func() {
		f.transport.CloseIdleConnections()
		if err := errors.Join(n.server.Close(context.Background()), <-served); err != nil {
			tb.Errorf("node %s: %v", name, err)
		}
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nodes = append(w.nodes, name)
	return n, f
}

// released are the names of a node, of which those whose cells have ended are given back.
type released struct {
	actors.Local
	of *fabric
}

// Lookup is wrong where its node is.
func (r *released) Lookup(a actors.Address) (actors.Entry, bool) {
	r.of.mu.Lock()
	p, wrong := r.of.believed[a]
	r.of.mu.Unlock()
	if wrong && p.Node != "" && p.Node != r.of.self {
		return actors.Entry{Via: nowhere{}}, true
	}
	return r.Local.Lookup(a)
}

// nowhere is the way to where no cell is.
type nowhere struct{}

func (nowhere) Ask(_ context.Context, env actors.Envelope) actors.Reply {
	return actors.Reply{Err: actors.Elsewhere(env.To, "")}
}

func (r *released) Release(a actors.Address, pid *actor.PID) {
	if e, has := r.Lookup(a); has && e.PID == pid {
		r.of.mu.Lock()
		if r.of.places[a].Node == r.of.self && !r.of.keeps {
			delete(r.of.places, a)
		}
		r.of.mu.Unlock()
	}
	r.Local.Release(a, pid)
}

// lose ends a node as if it died: it gives nothing back.
func (w *world) lose(tb testing.TB, n *node) {
	tb.Helper()
	w.keep(true)
	must(tb, n.server.Close(context.Background()))
	w.keep(false)
}

// keep says whether what ends is not given back.
func (w *world) keep(keeps bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.keeps = keeps
}

// fabric is the part of a node that nothing is asked of yet.
func (w *world) fabric(self string) *fabric {
	var p http.Protocols
	p.SetUnencryptedHTTP2(true)
	f := &fabric{world: w, self: self}
	f.transport = &http.Transport{Protocols: &p, DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
		to, _, _ := net.SplitHostPort(address)
		c, err := new(net.Dialer).DialContext(ctx, "unix", filepath.Join(w.dir, to))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", fault.ErrUnavailable, err)
		}
		f.losing.Lock()
		defer f.losing.Unlock()
		if f.isCut() { // since the request for which it was dialed: it is none that hangUp closes
			_ = c.Close()
			return nil, fmt.Errorf("%w: the link is cut", fault.ErrUnavailable)
		}
		f.conns = append(f.conns, c)
		_, err = c.Write([]byte(self + "\n"))
		return c, err
	}}
	return f
}

// isCut tells, under losing, whether no other node can be reached.
func (f *fabric) isCut() bool { return f.cut > 0 && f.sent >= f.cut }

// hangUp closes the connections to all other nodes.
func (f *fabric) hangUp() {
	f.losing.Lock()
	defer f.losing.Unlock()
	for _, c := range f.conns {
		_ = c.Close()
	}
	f.conns = nil
}

// die makes a node's cells lost.
func (w *world) die(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for a, p := range w.places {
		switch {
		case p.Node == name && p.Phase == server.Frozen:
			w.give(&p, p.Target)
		case p.Node == name:
			p.Node, p.Lost, p.Phase, p.Target = "", name, server.Suspended, ""
		case p.Target == name && p.Node != "":
			w.give(&p, p.Node)
		}
		w.places[a] = p
	}
	w.changed()
	w.nodes = slices.DeleteFunc(w.nodes, func(n string) bool { return n == name })
}

// fabric is a node's part in a world. What its transport has sent can be lost on the way back.
type fabric struct {
	*world
	self      string
	transport *http.Transport

	losing sync.Mutex
	lose   int // answers, from now on
	sent   int
	cut    int    // as many are sent, and no more; 0: all
	after  func() // an answer is lost
	conns  []net.Conn

	believed map[actors.Address]server.Place // until it asks what is true
	refreshs int
}

var _ server.Fabric = (*fabric)(nil)

func (f *fabric) Self() string     { return f.self }
func (f *fabric) Lost() []*pb.Node { return []*pb.Node{{Id: "n9", State: "lost"}} }

func (f *fabric) Refresh(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refreshs++
	f.believed = nil
	return nil
}

// believe has it take a cell to be where it is not.
func (f *fabric) believe(name, node string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := actors.Address{Tenant: "default", Name: name}
	f.believed = map[actors.Address]server.Place{a: {Address: a, Node: node, Session: 1}}
}

// mourn has it take a cell to have been lost with a node.
func (f *fabric) mourn(name, node string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := actors.Address{Tenant: "default", Name: name}
	f.believed = map[actors.Address]server.Place{a: {Address: a, Lost: node}}
}

func (f *fabric) Find(a actors.Address) (server.Place, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p, wrong := f.believed[a]; wrong {
		return p, true
	}
	p, known := f.places[a]
	return p, known
}

// at is where a cell is.
func (w *world) at(a actors.Address) server.Place {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.places[a]
}

func (f *fabric) Places(tenant string) (all []server.Place) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for a, p := range f.places {
		if tenant == "" || a.Tenant == tenant {
			all = append(all, p)
		}
	}
	return all
}

func (f *fabric) Peers() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(f.nodes), func(n string) bool { return n == f.self })
}

func (f *fabric) Takes(node string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Contains(f.nodes, node) && !f.full[node]
}

func (f *fabric) Choose(_ context.Context, w schedule.Wish, without []string) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range slices.Concat([]string{cmp.Or(w.Node, f.first)}, f.nodes) {
		if n != "" && (w.Node == "" || w.Node == n) && !slices.Contains(without, n) {
			return n, nil
		}
	}
	return "", cell.Errorf(cell.Busy, "no node")
}

func (f *fabric) Claim(_ context.Context, a actors.Address, request, _ string, _ uint64) (server.Place, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, taken := f.places[a]
	switch {
	case f.full[f.self]:
		return server.Place{}, cell.Errorf(cell.Busy, "node %s is full", f.self)
	case taken && request != "" && p.Claim == request:
		return p, nil
	case taken && p.Node != "":
		return server.Place{}, cell.Errorf(cell.Invalid, "there is a cell %s already, on node %s", a, p.Node)
	}
	f.epoch++
	p = server.Place{Address: a, Node: f.self, Session: 1, Epoch: f.epoch, Claim: request, Phase: server.Active}
	f.places[a] = p
	return p, nil
}

func (f *fabric) Restart(_ context.Context, a actors.Address, epoch uint64) (uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.places[a]
	if p.Epoch != epoch || p.Node != f.self {
		return 0, cell.Errorf(cell.CellGone, "not ours")
	}
	f.epoch++
	p.Epoch = f.epoch
	f.places[a] = p
	return p.Epoch, nil
}

// peer reads which node connects, where the certificate would say so.
func (f *fabric) peer(c net.Conn) (string, error) {
	var name strings.Builder
	for b := []byte{0}; ; name.WriteByte(b[0]) {
		if _, err := io.ReadFull(c, b); err != nil || b[0] == '\n' {
			break
		}
	}
	if !strings.HasPrefix(name.String(), "n") {
		return "", errors.New("a stranger")
	}
	return name.String(), nil
}

func (f *fabric) HTTP(string) http.RoundTripper { return losing{f} }

// losing loses answers.
type losing struct{ f *fabric }

func (l losing) RoundTrip(r *http.Request) (*http.Response, error) {
	l.f.losing.Lock()
	cut := l.f.isCut()
	l.f.losing.Unlock()
	if cut {
		return nil, fmt.Errorf("%w: the link is cut", fault.ErrUnavailable)
	}
	answer, err := l.f.transport.RoundTrip(r)
	l.f.losing.Lock()
	l.f.sent++
	loses := err == nil && l.f.lose > 0
	if loses {
		l.f.lose--
	}
	l.f.losing.Unlock()
	if !loses {
		return answer, err
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
	if l.f.after != nil {
		l.f.after()
	}
	return nil, errors.New("the connection was lost")
}
