package clustertest

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/internal/fabrictest"
	"github.com/pyisolate/pyisolate/internal/failpoint"
)

// A node that is killed, stopped until its lease is over, or cut off exactly when somebody has reached a point of a
// move takes along what only it had: there is one cell afterwards, its state is what it would be without, and what
// was acknowledged is there. -points says how many cases, -seed draws the same again.
func TestFailpoints(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster, which is not done with -short")
	}
	steered := filepath.Join(t.TempDir(), "pyisolate-node")
	if err := build(steered, "-tags", "failpoints"); err != nil {
		t.Fatal(err)
	}
	f := form(t, fabrictest.Options{Program: steered, Steered: true})
	t.Logf("seed %d", *seed)
	j := &fabrictest.Journey{Fabric: f, Cell: "traveller", Seed: *seed, Ballast: 64 << 10}
	if err := j.Begin(within(t, time.Minute), "n1"); err != nil {
		t.Fatal(err)
	}
	lost, unjudged, number := 0, 0, 0 // cells, cases, and of the next cell
	renew := func(t *testing.T) {
		number++
		again(within(t, roundTime), t, j, number)
	}
	for _, c := range fabrictest.Sample(*seed, *points, fabrictest.Cases(f.Links())) {
		t.Run(c.String(), func(t *testing.T) {
			during := func(ctx context.Context) (fabrictest.Leniency, error) { return j.Pass(ctx, c) }
			seen, err := j.Round(within(t, roundTime), during)
			if seen.Lapsed != "" && (err == nil || errors.Is(err, fabrictest.ErrLost)) {
				t.Logf("not judged, and done again: %s lost a lease, and nothing was done to it: %v", seen.Lapsed, err)
				unjudged++
				if err != nil {
					renew(t)
				}
				seen, err = j.Round(within(t, roundTime), during)
			}
			switch {
			case err == nil:
				return
			case seen.Lapsed != "":
				t.Errorf("%v; %s lost a lease, and nothing was done to it", err, seen.Lapsed)
			case errors.Is(err, fabrictest.ErrLost):
				lost++
			default:
				t.Error(err)
			}
			renew(t)
		})
	}
	if err := j.StayClosed(within(t, time.Minute)); err != nil {
		t.Error(err)
	}
	t.Logf("in %d cases the cell was lost with its node; %d were done again", lost, unjudged)
}

// A program that is built as all are cannot be steered: it does not know how.
func TestProgramHasNoFailpoints(t *testing.T) {
	if testing.Short() {
		t.Skip("the program is not built with -short")
	}
	text, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte(failpoint.Env)) {
		t.Errorf("the program knows %s", failpoint.Env)
	}
}

var pointRE = regexp.MustCompile(`failpoint\.New\("([^"]+)"\)`)

// Each point in the code has a case, and each case a point. Those of the policy store are its own test's, which
// has all of them.
func TestPointsHaveCases(t *testing.T) {
	named, own := map[string]bool{}, map[string]bool{}
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			if d != nil && d.Name() == "node_modules" {
				return fs.SkipDir
			}
			return err
		}
		text, err := os.ReadFile(path)
		for _, found := range pointRE.FindAllSubmatch(text, -1) {
			named[string(found[1])] = true
			own[string(found[1])] = strings.HasPrefix(path, filepath.Join(root, "policystore"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	cases := fabrictest.Cases(true)
	for point := range named {
		if !own[point] && !slices.ContainsFunc(cases, func(c fabrictest.Case) bool { return c.Point() == point }) {
			t.Errorf("point %s has no case", point)
		}
	}
	for _, c := range cases {
		if !named[c.Point()] {
			t.Errorf("%s: there is no such point", c)
		}
	}
}
