package enroll

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pyisolate/pyisolate/cluster/pki"
	"github.com/pyisolate/pyisolate/cluster/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// founder is a cluster of one node, which has the authority and keeps the invitations.
type founder struct {
	authority *pki.Authority
	wire      *wire.Wire

	mu      sync.Mutex
	invites map[string]pki.Invite
	nodes   map[string]string
	signed  int
	fail    error
}

func allowAll(pki.Peer) error { return nil }

func found(t testing.TB, limits wire.Limits) *founder {
	t.Helper()
	a, err := pki.Create("test")
	if err != nil {
		t.Fatal(err)
	}
	f := &founder{authority: a, invites: map[string]pki.Invite{}, nodes: map[string]string{}}
	r, err := pki.NewRequest("first")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := a.Sign(r.DER(), "first", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	id, err := r.Accept(cert, a.Certificate())
	if err != nil {
		t.Fatal(err)
	}
	f.wire = f.listen(t, id, limits)
	f.nodes["first"] = f.wire.Addr().String()
	return f
}

func (f *founder) listen(t testing.TB, id *pki.Identity, limits wire.Limits) *wire.Wire {
	t.Helper()
	w, err := wire.Listen(t.Context(), wire.Config{
		Identity: id, Address: "127.0.0.1:0", Lookup: f.lookup, Allow: allowAll, Limits: limits,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func (f *founder) lookup(node string) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if a, ok := f.nodes[node]; ok {
		return a, nil
	}
	return "", fmt.Errorf("no node %s", node)
}

// invite makes a token for this node's address.
func (f *founder) invite(t testing.TB, name string, life time.Duration) pki.Token {
	t.Helper()
	tok, err := pki.NewToken(f.authority.Fingerprint(), []string{f.wire.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	v, err := tok.Invite(name, time.Now(), life)
	if err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.invites[v.ID] = v
	return tok
}

// admit does what a cluster does, with a map for its agreed state.
func (f *founder) admit(_ context.Context, p Petition) (Admission, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return Admission{}, f.fail
	}
	key, err := pki.KeyOf(p.Request)
	if err != nil {
		return Admission{}, err
	}
	v, err := f.invites[p.Token].Redeem(p.Secret, p.Name, key, time.Now())
	if err != nil {
		return Admission{}, err
	}
	if p.Name == "first" {
		return Admission{}, fmt.Errorf("%w: %s is a node already", ErrName, p.Name)
	}
	f.invites[p.Token], f.nodes[p.Name] = v, p.Address
	f.signed++
	cert, err := f.authority.Sign(p.Request, p.Name, time.Hour)
	return Admission{Certificate: cert, Roster: []byte(f.nodes["first"])}, err
}

// serve answers new nodes until the test ends.
func (f *founder) serve(t testing.TB, wrap func(net.Listener) net.Listener) {
	t.Helper()
	l := f.wire.Listener(wire.Join)
	if wrap != nil {
		l = wrap(l)
	}
	done := make(chan error, 1)
	go func() { done <- Serve(t.Context(), l, Config{Admit: f.admit}) }()
	t.Cleanup(func() {
		if err := errors.Join(l.Close(), <-done); err != nil {
			t.Error(err)
		}
	})
}
