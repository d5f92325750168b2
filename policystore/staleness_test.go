package policystore

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/internal/await"
)

// TestStaleness cuts off a node that leads, and one that does not: both find that they no longer
// know, and admit no tokens; the other ones stay fresh.
func TestStaleness(t *testing.T) {
	for name, choose := range map[string]func(*network) *node{
		"leader":   func(w *network) *node { return w.leader(t, "") },
		"follower": func(w *network) *node { return w.follower(t) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newNetwork()
			voters := []raft.Server{{ID: "n0", Address: "n0"}, {ID: "n1", Address: "n1"}, {ID: "n2", Address: "n2"}}
			for _, v := range voters {
				w.start(t, string(v.ID), Config{}, Cluster{Bootstrap: voters, MaxStaleness: 2 * time.Second})
			}
			w.leader(t, "")
			secret, info, err := w.nodes["n0"].CreateToken(t.Context(), root, TokenRequest{Name: "m", Role: Viewer})
			if err != nil {
				t.Fatal(err)
			}
			cut := choose(w)
			await.That(t, "it to be fresh, and to know the token", func() bool { return cut.TokenValid(t.Context(), info.ID) == nil })
			w.isolate(cut.id, true)
			await.That(t, "it to be stale", func() bool { return errors.Is(cut.Fresh(), ErrStale) })
			if age := cut.Staleness(); age < 2*time.Second {
				t.Errorf("after %v", age)
			}
			if _, err := cut.Authenticate(t.Context(), secret, "here"); !errors.Is(err, ErrStale) {
				t.Errorf("a token: %v", err)
			}
			if err := cut.TokenValid(t.Context(), info.ID); !errors.Is(err, ErrStale) {
				t.Errorf("the token of a call that goes on: %v", err)
			}
			if err := cut.TokenValid(t.Context(), "00000000000000ff"); !errors.Is(err, ErrUnauthenticated) {
				t.Errorf("a token that is not valid in any case: %v", err)
			}
			for _, n := range w.all() {
				if n != cut {
					await.That(t, n.id+" to be fresh", func() bool { return n.Fresh() == nil })
				}
			}
			w.isolate(cut.id, false)
			await.That(t, "it to be fresh again", func() bool { return cut.Fresh() == nil })
			if _, err := cut.Authenticate(t.Context(), secret, "here"); err != nil {
				t.Error(err)
			}
			if err := cut.TokenValid(t.Context(), info.ID); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestNeverFresh: a node that was away may have policies of any age.
func TestNeverFresh(t *testing.T) {
	n := newNetwork().start(t, "n0", Config{}, Cluster{})
	if err := n.Fresh(); !errors.Is(err, ErrStale) || !strings.Contains(err.Error(), "since it was started") || n.Staleness() != unknownStaleness {
		t.Error(err, n.Staleness())
	}
	alone := openTest(t, Config{})
	if err := alone.Fresh(); err != nil || alone.Staleness() != 0 {
		t.Error(err, alone.Staleness())
	}
}
