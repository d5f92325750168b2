package measure

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pyisolate/pyisolate/kernel/cgroup"
	"github.com/pyisolate/pyisolate/kernel/guard"
	"github.com/pyisolate/pyisolate/kernel/probe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newGroup moves the test into a control group of version 2, and back in the end; "" where that
// cannot be.
func newGroup(t *testing.T) string {
	t.Helper()
	tree, err := cgroup.Open(cgroup.Options{Name: cgroup.OwnName("pyisolate-measure-test"), Version: 2})
	if err != nil {
		return ""
	}
	t.Cleanup(func() {
		if err := tree.Close(); err != nil {
			t.Error(err)
		}
	})
	g, err := tree.Create("measured", cgroup.Limits{})
	if err != nil {
		return ""
	}
	t.Cleanup(func() {
		if err := os.WriteFile(filepath.Dir(tree.Unified())+"/cgroup.procs", []byte("0"), 0); err != nil {
			t.Fatal(err) // removing it would kill what is in it
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := g.Remove(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := g.AddProcess(os.Getpid()); err != nil {
		return ""
	}
	return g.Unified()
}

// TestTake: each path has figures, or the reason why there are none.
func TestTake(t *testing.T) {
	group := newGroup(t)
	programs := probe.Host().Works(probe.BPFLSM) || (probe.Host().Works(probe.BPFConnect4) && group != "")
	const n = 3
	for p, c := range map[Path]struct{ there, compared bool }{
		Load:       {programs, false},
		Bind:       {programs, false},
		Publish:    {programs, false},
		Open:       {probe.Host().Works(probe.BPFLSM), true},
		OpenNotify: {probe.Host().Works(probe.SeccompNotify), true},
		Connect:    {programs, true},
	} {
		t.Run(string(p), func(t *testing.T) {
			f, err := Take(p, n, group)
			if errors.Is(err, ErrMissing) && (!c.there || errors.Is(err, guard.ErrClaim)) { // before Linux 6.9
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(f.Samples) != n || f.By == "" || (f.Free != nil) != c.compared || (c.compared && len(f.Free) != n) {
				t.Errorf("%+v", f)
			}
			t.Logf("by %s: %.3g; free %.3g", f.By, f.Samples, f.Free)
			for _, took := range append(f.Free, f.Samples...) {
				if took <= 0 {
					t.Errorf("a sample of %g", took)
				}
			}
		})
	}
}

// What has no layer has no figures.
func TestWithoutAGroup(t *testing.T) {
	if probe.Host().Works(probe.BPFLSM) {
		t.Skip("programs of the LSM need no group")
	}
	for _, p := range []Path{Load, Bind, Publish, Open, Connect} {
		if f, err := Take(p, 1, ""); !errors.Is(err, ErrMissing) || f.Samples != nil {
			t.Errorf("%s: %+v, %v", p, f, err)
		}
	}
}

func TestTakeRefuses(t *testing.T) {
	if _, err := Take("close", 1, ""); err == nil || errors.Is(err, ErrMissing) {
		t.Errorf("a path that is not known: %v", err)
	}
	if _, err := Take(Load, 0, ""); err == nil || errors.Is(err, ErrMissing) {
		t.Errorf("no samples: %v", err)
	}
}

// A thread that fails ends the comparison, whichever it is and whenever.
func TestCompareFails(t *testing.T) {
	want := errors.New("no")
	fine := func() error { return nil }
	left := 3 * calls
	for name, f := range map[string]func() (Figures, error){
		"prepare": func() (Figures, error) { return compare(5, func() error { return want }, fine) },
		"call":    func() (Figures, error) { return compare(5, fine, func() error { return want }) },
		"later": func() (Figures, error) {
			return compare(5, fine, func() error { // by turns: never both at once
				if left--; left < 0 {
					return want
				}
				return nil
			})
		},
	} {
		if got, err := f(); !errors.Is(err, want) || got.Samples != nil {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}
