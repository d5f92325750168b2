package cluster

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/policystore/live"
)

// benchAdmin is a user of the i-th node's machine.
func benchAdmin(i int) policystore.Principal {
	return policystore.Principal{Name: "uid:0@n" + strconv.Itoa(i+1), Role: policystore.Admin}
}

// benchStores are the policies of three nodes that all vote, the leader's first.
func benchStores(b *testing.B) []*policystore.Store {
	b.Helper()
	n1 := found(b, "n1")
	must(b, policystore.Found(filepath.Join(filepath.Dir(n1.dir), "policies"), "n1"))
	n1.open()
	nodes, stores := []*node{n1}, []*policystore.Store{n1.store()}
	for _, name := range []string{"n2", "n3"} {
		n := join(b, n1, name)
		n.open()
		nodes, stores = append(nodes, n), append(stores, n.store())
	}
	settled(b, nodes, 3)
	await.That(b, "all vote on policies, and know them", func() bool {
		for _, s := range stores {
			members, err := s.Members()
			if err != nil || len(members) != 3 || slices.ContainsFunc(members, func(m policystore.Member) bool { return !m.Voter }) || s.Fresh() != nil {
				return false
			}
		}
		return true
	})
	slices.SortStableFunc(stores, func(a, c *policystore.Store) int {
		if a.Leads() == c.Leads() {
			return 0
		} else if a.Leads() {
			return -1
		}
		return 1
	})
	return stores
}

// times report the median and the 99th percentile beside the mean.
type times []time.Duration

func (t times) report(b *testing.B) {
	b.Helper()
	slices.Sort(t)
	b.ReportMetric(float64(t[len(t)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(t[len(t)*99/100].Microseconds()), "p99-µs")
}

func document(i int) []byte {
	return fmt.Appendf(nil, "version: 1.0\nsandboxes:\n  a: { files: %d }\n", 10+i%50)
}

// BenchmarkPolicyCommit is a change of a policy that three nodes agree on, over mutual TLS and with
// their files in one file system, at the node that leads and at one that does not.
func BenchmarkPolicyCommit(b *testing.B) {
	stores := benchStores(b)
	for i, name := range []string{"leader", "follower"} {
		b.Run(name, func(b *testing.B) {
			var took times
			for n := 0; b.Loop(); n++ {
				began := time.Now()
				_, err := stores[i].Put(soon(b), benchAdmin(i), policystore.PutRequest{Name: "p" + strconv.Itoa(n%100), Text: document(n)})
				must(b, err)
				took = append(took, time.Since(began))
			}
			took.report(b)
		})
	}
}

// BenchmarkPolicyRead is a read that sees all that was answered anywhere before it.
func BenchmarkPolicyRead(b *testing.B) {
	stores := benchStores(b)
	_, err := stores[1].Put(soon(b), benchAdmin(1), policystore.PutRequest{Name: "p", Text: document(1)})
	must(b, err)
	for i, name := range []string{"leader", "follower"} {
		b.Run(name, func(b *testing.B) {
			var took times
			for b.Loop() {
				began := time.Now()
				_, err := stores[i].Get(soon(b), "p", 0, policystore.Linearizable)
				must(b, err)
				took = append(took, time.Since(began))
			}
			took.report(b)
		})
	}
}

// applied tells of the version that a cell got.
type applied struct{ to chan uint64 }

func (a applied) Apply(_ context.Context, r live.Revision) (cell.Reloaded, error) {
	a.to <- r.Version
	return cell.Reloaded{}, nil
}

// BenchmarkPolicyEnforced is from a put at a node that does not lead until a cell of each node has the
// version.
func BenchmarkPolicyEnforced(b *testing.B) {
	stores := benchStores(b)
	_, err := stores[1].Put(soon(b), benchAdmin(1), policystore.PutRequest{Name: "p", Text: document(0)})
	must(b, err)
	cells := make([]applied, len(stores))
	for i, s := range stores {
		must(b, s.Fresh())
		r := live.New(s, live.Options{})
		b.Cleanup(func() { r.Close() })
		cells[i] = applied{make(chan uint64, 16)}
		await.That(b, "the policy is here", func() bool {
			_, err := r.Follow(soon(b), "p", "a", cells[i])
			return err == nil
		})
		<-cells[i].to
	}
	var took times
	for n := 1; b.Loop(); n++ {
		began := time.Now()
		v, err := stores[1].Put(soon(b), benchAdmin(1), policystore.PutRequest{Name: "p", Text: document(n)})
		must(b, err)
		var all sync.WaitGroup
		for _, c := range cells {
			all.Go(func() {
				for got := range c.to {
					if got >= v.Number {
						return
					}
				}
			})
		}
		all.Wait()
		took = append(took, time.Since(began))
	}
	took.report(b)
}
