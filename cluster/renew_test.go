package cluster

import (
	"os"
	"path/filepath"
	"testing"
)

// However often a renewal fails, and the node is started again meanwhile, it is one that the others let in.
func TestRenewalsThatFail(t *testing.T) {
	t.Parallel()
	n := found(t, "n1")
	n.open()
	leader(t, []*node{n})
	inTheWay := filepath.Join(n.dir, identityFile+".new")
	must(t, os.MkdirAll(filepath.Join(inTheWay, "x"), 0o700)) // no identity is written
	for try := range 5 {
		if try == 3 {
			n.close()
			n = n.again()
			leader(t, []*node{n})
		}
		if err := n.identity.Renew(soon(t), n.renewal()); err == nil {
			t.Fatal("it is renewed without a disk")
		}
		r := n.Group().Roster()
		if err := r.Allow(n.name, n.identity.Key()); err != nil {
			t.Fatalf("after %d that failed: %v", try+1, err)
		}
		if keys := member(t, r, n.name).Keys; len(keys) != 2 {
			t.Errorf("after %d that failed the others know %d keys", try+1, len(keys))
		}
	}
	must(t, os.RemoveAll(inTheWay))
	must(t, n.identity.Renew(soon(t), n.renewal()))
	r := n.Group().Roster()
	if err := r.Allow(n.name, n.identity.Key()); err != nil || len(member(t, r, n.name).Keys) != 2 {
		t.Errorf("%v; %+v", err, member(t, r, n.name))
	}
}
