package cluster

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/policystore"
)

// store opens a node's policies, as part of its cluster. It is closed before the Cluster.
func (n *node) store() *policystore.Store {
	n.t.Helper()
	s, err := policystore.Open(soon(n.t), policystore.Config{
		Dir: filepath.Join(filepath.Dir(n.dir), "policies"), NodeID: n.name, Cluster: n.Policies(), Logger: logs(n.t).With("at", n.name),
		Validate: func(string, []byte) error { return nil },
	})
	must(n.t, err)
	must(n.t, n.Govern(s))
	n.t.Cleanup(func() { must(n.t, s.Close()) })
	return s
}

// The policies' group follows the roster: what is put on one node is there on all, and a node that is
// removed is in neither group.
func TestPolicies(t *testing.T) {
	t.Parallel()
	n1 := found(t, "n1")
	must(t, policystore.Found(filepath.Join(filepath.Dir(n1.dir), "policies"), "n1"))
	n1.open()
	nodes, stores := []*node{n1}, []*policystore.Store{n1.store()}
	for _, name := range []string{"n2", "n3"} {
		n := join(t, n1, name)
		n.open()
		nodes, stores = append(nodes, n), append(stores, n.store())
	}
	settled(t, nodes, 3)
	voters := func(s *policystore.Store) (count int) {
		all, err := s.Members()
		for _, m := range all {
			if err == nil && m.Voter {
				count++
			}
		}
		return count
	}
	for i, s := range stores {
		if got := voters(s); s.Leads() && got != 3 {
			t.Errorf("three vote by the roster, and %d on policies by %s", got, nodes[i].name)
		}
	}
	admin := func(node string) policystore.Principal {
		return policystore.Principal{Name: "uid:0@" + node, Role: policystore.Admin}
	}
	put := func(i int, r policystore.PutRequest) (v policystore.Version) {
		t.Helper()
		await.That(t, "a change", func() bool { // it is given up after seconds without a leader
			var err error
			v, err = stores[i].Put(soon(t), admin(nodes[i].name), r)
			if err != nil && !errors.Is(err, policystore.ErrNotLeader) && !errors.Is(err, policystore.ErrUncertain) {
				t.Fatal(err)
			}
			return err == nil
		})
		return v
	}
	v := put(2, policystore.PutRequest{Name: "etl", Text: []byte("one"), RequestID: "1"})
	got, err := stores[1].Get(soon(t), "etl", 0, policystore.Linearizable)
	if err != nil || got.Number != v.Number || string(got.Text) != "one" {
		t.Errorf("%+v, %v", got, err)
	}
	if err := n1.Govern(stores[0]); err == nil {
		t.Error("two groups are governed")
	}
	// The leader of the policies is removed, whoever it is.
	var leads *node
	await.That(t, "somebody leads", func() bool {
		for i, s := range stores {
			if s.Leads() {
				leads = nodes[i]
			}
		}
		return leads != nil
	})
	var rest []int
	for i, n := range nodes {
		if n != leads {
			rest = append(rest, i)
		}
	}
	nodes[rest[0]].removes(t, leads.name, false)
	for _, i := range rest {
		await.That(t, "two are left", func() bool {
			all, err := stores[i].Members()
			return err == nil && len(all) == 2 && stores[i].Leader() != "" && stores[i].Leader() != leads.name
		})
	}
	put(rest[1], policystore.PutRequest{Name: "etl", Text: []byte("two"), RequestID: "2"})
	await.That(t, "it is known who leads the policies", func() bool {
		s := nodes[rest[0]].Status()
		return s.PolicyLeader != "" && s.PolicyLeader != leads.name
	})
}

// Whom a node may say that a change without a token is by: a user of its own machine.
func TestVouch(t *testing.T) {
	for name, by := range map[string]string{"uid:0@n1": "n1", "uid:1000@n-2": "n-2", "uid:0@n1 ": "", "uid:0": "", "ann": "", "uid:x@n1": "", "uid:@n1": "", "uid:0@n2@n1": "", "": ""} {
		for _, node := range []string{"n1", "n-2"} {
			if err := vouch(node, name); (err == nil) != (node == by) {
				t.Errorf("node %s says that it is %q: %v", node, name, err)
			}
		}
	}
}
