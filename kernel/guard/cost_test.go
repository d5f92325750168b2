package guard

import (
	"errors"
	"testing"
	"time"

	"github.com/cilium/ebpf"
)

// TestCost writes how many instructions the verifier looked at, for docs/verifier-cost.md,
// and holds a program to a thousandth of what it may look at.
func TestCost(t *testing.T) {
	for name, o := range ways {
		if o.byThread {
			continue
		}
		t.Run(name, func(t *testing.T) {
			shared.get(t, o) // or skip
			g := &Guard{kind: o.Kind, cgroup: shared.cgroup, byThread: shared.of[o].byThread}
			if err := g.prepare(Options{byThread: g.byThread}); err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			c, err := ebpf.NewCollection(g.spec)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			t.Logf("%d programs loaded in %v", len(c.Programs), time.Since(begin))
			for name, p := range c.Programs {
				info, err := p.Info()
				if err != nil {
					t.Fatal(err)
				}
				n, known := info.VerifiedInstructions()
				if !known {
					t.Skip(errors.New("this kernel does not say"))
				}
				t.Logf("verified %s %s %d", o.Kind, name, n)
				if n > 5000 {
					t.Errorf("the verifier looks at %d instructions of %s", n, name)
				}
			}
		})
	}
}
