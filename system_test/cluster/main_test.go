package clustertest

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/internal/fabrictest"
)

var (
	seed   = flag.Uint64("seed", 0, "of what happens by chance; 0: a new one")
	chaos  = flag.Duration("chaos", 10*time.Second, "how long TestChaos has faults happen")
	rounds = flag.Int("rounds", 3, "how often TestMigration moves its cell")
	nodes  = flag.Int("nodes", 3, "nodes of TestChaos, 3 to 9")
	points = flag.Int("points", 6, "how many cases TestFailpoints has; 0: all")

	program string
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if program = os.Getenv("PYISOLATE_NODE"); program == "" && !testing.Short() {
		dir, err := os.MkdirTemp("", "node")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(dir) }()
		program = filepath.Join(dir, "pyisolate-node")
		if err := build(program); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	return m.Run()
}

// build makes the program, with flags of go build.
func build(path string, flags ...string) error {
	c := exec.Command("go", append(append([]string{"build", "-o", path}, flags...), "github.com/pyisolate/pyisolate/cmd/pyisolate-node")...)
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("build pyisolate-node: %w\n%s", err, out)
	}
	return nil
}

// newFabric is closed when the test ends, and must leave nothing. Logs of a test that failed are
// kept.
func newFabric(t *testing.T, o fabrictest.Options) *fabrictest.Fabric {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a cluster, which is not done with -short")
	}
	var err error
	if o.Dir, err = os.MkdirTemp("", "fabric"); err != nil { // t.TempDir is too long for sockets
		t.Fatal(err)
	}
	if o.Program == "" {
		o.Program = program
	}
	o.Seed, o.Logf = *seed, t.Logf
	f, err := fabrictest.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("again with: -seed %d; what the nodes have logged is in %s", *seed, o.Dir)
			return
		}
		if err := os.RemoveAll(o.Dir); err != nil {
			t.Error(err)
		}
	})
	return f
}

// form makes a cluster of the fabric's nodes.
func form(t *testing.T, o fabrictest.Options) *fabrictest.Fabric {
	t.Helper()
	f := newFabric(t, o)
	if err := f.Form(within(t, 2*time.Minute)); err != nil {
		t.Fatal(err)
	}
	return f
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
