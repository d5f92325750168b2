package policystore

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/internal/await"
)

// TestFewValidations has a third validation wait for the first two, no longer than its
// context lasts.
func TestFewValidations(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	var under, most atomic.Int32
	s := openTest(t, Config{Validate: func(string, []byte) error {
		if n := under.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer under.Add(-1)
		begun <- struct{}{}
		<-release
		return nil
	}})
	done := make(chan error)
	put := func(ctx context.Context, who string) {
		_, err := s.Put(ctx, Principal{Name: who, Role: PolicyAdmin}, PutRequest{Name: "p", Text: []byte("x")})
		done <- err
	}
	for i := range maxJudging {
		go put(t.Context(), strconv.Itoa(i))
		<-begun
	}
	ctx, cancel := context.WithCancel(t.Context())
	go put(ctx, "late")
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	go put(t.Context(), "late")
	close(release)
	<-begun
	for range maxJudging + 1 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if most.Load() > maxJudging {
		t.Errorf("%d at once", most.Load())
	}
}

// TestATenantKeepsNobodyFromPutting has a tenant ask for many validations that take long, here or
// at another node, while others put and roll back.
func TestATenantKeepsNobodyFromPutting(t *testing.T) {
	a := Principal{Name: "a", Role: PolicyAdmin, Tenant: "a"}
	for name, from := range map[string]string{"here": "", "at another node": "n2"} {
		t.Run(name, func(t *testing.T) {
			release := make(chan struct{})
			var under atomic.Int32
			s := openTest(t, Config{Validate: func(name string, _ []byte) error {
				if strings.HasPrefix(name, "a/") {
					under.Add(1)
					<-release
				}
				return nil
			}})
			mustPut(t, s, "shared", "1")
			const many = 10
			done := make(chan error, many)
			for range many {
				go func() {
					done <- s.vet(t.Context(), &command{action: PutPolicy, principal: a, name: "a/p", text: []byte("x"), from: from}, Linearizable)
				}()
			}
			await.That(t, "one is under way", func() bool { return under.Load() > 0 })
			if await.Within(100*time.Millisecond, func() bool { return under.Load() > 1 }) {
				t.Error("a tenant has more than one turn")
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			b := Principal{Name: "b", Role: PolicyAdmin, Tenant: "b"}
			if _, err := s.Put(ctx, b, PutRequest{Name: "b/p", Text: []byte("x")}); err != nil {
				t.Error(err)
			}
			if _, err := s.Rollback(ctx, root, RollbackRequest{Name: "shared", To: 1}); err != nil {
				t.Error(err)
			}
			close(release)
			for range many {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
		})
	}
}
