package cluster

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyisolate/pyisolate/cluster/enroll"
	"github.com/pyisolate/pyisolate/cluster/pki"
	"github.com/pyisolate/pyisolate/internal/await"
)

// petition for a name with a token.
func petition(t *testing.T, token pki.Token, name string) enroll.Petition {
	t.Helper()
	request, err := pki.NewRequest(name)
	must(t, err)
	return enroll.Petition{Token: token.ID(), Secret: token.Secret(), Name: name, Request: request.DER(), Address: "h:1"}
}

func parsed(t *testing.T, text string) pki.Token {
	t.Helper()
	token, err := pki.ParseToken(text)
	must(t, err)
	return token
}

// Who shows no token that the cluster has made puts nothing on its log, however often.
func TestStrangersWriteNothing(t *testing.T) {
	t.Parallel()
	n1 := found(t, "n1")
	n1.open(lasting(time.Minute)) // a session that lapsed would be on it
	settled(t, []*node{n1}, 1)
	text, _, err := n1.Invite(soon(t), "", 0)
	must(t, err)
	known := petition(t, parsed(t, text), "n9")
	known.Secret = make([]byte, len(known.Secret))
	unknown := known
	unknown.Token = "0123456789abcdef"
	before := n1.Group().Raft().LastIndex()
	var all sync.WaitGroup
	for range 50 {
		for name, p := range map[string]enroll.Petition{"an unknown id": unknown, "a wrong secret": known} {
			all.Go(func() {
				if _, err := n1.admit(soon(t), p); !errors.Is(err, pki.ErrToken) {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
	}
	all.Wait()
	if after := n1.Group().Raft().LastIndex(); after != before {
		t.Errorf("they put %d entries on the log", after-before)
	}
}

// An invitation is good at each node that signs as soon as it is made, also where it is not known yet.
func TestInvitationsAreGoodAtOnce(t *testing.T) {
	t.Parallel()
	nodes := form(t, 3)
	leads, other := follower(t, nodes)
	await.That(t, "it can sign", func() bool { return other.Status().Authority })
	for range 10 {
		text, _, err := leads.Invite(soon(t), "", 0)
		must(t, err)
		// The name is not free, which is heard by those alone whose token is good.
		if _, err := other.admit(soon(t), petition(t, parsed(t, text), "n1")); !errors.Is(err, enroll.ErrName) {
			t.Fatal(err)
		}
	}
}

// Fences are made one after the other; all who came before one began have it in common, and who came later, the next.
func TestFencesAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFences()
		var made atomic.Int64
		let := make(chan error)
		fence := func(context.Context) error {
			made.Add(1)
			return <-let
		}
		done := make(chan error, 100)
		come := func() { done <- f.pass(t.Context(), fence) }
		go come()
		synctest.Wait() // it is at its fence
		for range 99 {
			go come()
		}
		synctest.Wait()
		if made.Load() != 1 || len(done) != 0 {
			t.Errorf("%d fences at once; %d are through", made.Load(), len(done))
		}
		let <- nil
		synctest.Wait()
		if made.Load() != 2 || len(done) != 1 {
			t.Errorf("%d fences; %d are through with one that began before they came", made.Load(), len(done))
		}
		let <- errors.New("no leader") // it is nobody's but its maker's
		synctest.Wait()
		let <- nil
		synctest.Wait()
		if made.Load() != 3 || len(done) != 100 {
			t.Errorf("%d fences; %d are through", made.Load(), len(done))
		}
		close(let)
	})
}

// There are no more than some in a second, and who cannot wait for one does not.
func TestFencesAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, made := newFences(), 0
		begun := time.Now()
		for range 100 {
			must(t, f.pass(t.Context(), func(context.Context) error { made++; return nil }))
		}
		if took := time.Since(begun); made != 100 || took < 4*time.Second {
			t.Errorf("%d fences in %s", made, took)
		}
		if err := f.pass(cancelled(), func(context.Context) error { made++; return nil }); err == nil || made != 100 {
			t.Errorf("%v, %d", err, made)
		}
	})
}
