package policystore

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/internal/failpoint"
)

// A child is this test, built with failpoints: it works on the store in the directory that crashDirEnv
// names until it dies. With crashPoints for a directory it says which points there are.
const (
	crashDirEnv  = "PYISOLATE_TEST_POLICYSTORE_CRASH"
	crashSeedEnv = "PYISOLATE_TEST_POLICYSTORE_SEED"

	crashPoints = "points"

	childChanges = 60
)

// childConfig compacts the log every few changes.
func childConfig(dir string) Config {
	return Config{Dir: dir, Validate: anything, SnapshotEvery: 8, SnapshotInterval: 5 * time.Millisecond}
}

// crashChild prints a line before and after each change.
func crashChild(dir string) int {
	if dir == crashPoints {
		fmt.Println(strings.Join(failpoint.Names(), "\n"))
		return 0
	}
	var seed int
	_, _ = fmt.Sscan(os.Getenv(crashSeedEnv), &seed)
	c := childConfig(dir)
	c.FirstToken = func(secret string) error {
		_, err := fmt.Println("token", secret)
		return err
	}
	s, err := Open(context.Background(), c)
	if err != nil {
		return fail(err)
	}
	if err := changeAtRandom(s, rand.New(rand.NewPCG(uint64(seed), 1))); err != nil {
		return fail(err)
	}
	if err := s.Close(); err != nil {
		return fail(err)
	}
	return 0
}

func fail(err error) int {
	fmt.Println("failed", err)
	return 1
}

func changeAtRandom(s *Store, r *rand.Rand) error {
	for range childChanges {
		c := crashChange{name: fmt.Sprint("policy", r.IntN(4)), id: fmt.Sprintf("%016x", r.Uint64()), size: 1 + r.IntN(6000)}
		fmt.Println("try", c.name, c.id, c.size)
		v, err := c.do(s)
		if err != nil {
			return err
		}
		fmt.Println("made", v.Name, v.Number, v.Index)
	}
	return nil
}

// crashChange is a put; its id is its request id, its comment and the seed of its text.
type crashChange struct {
	name, id string
	size     int
}

func (c crashChange) text() []byte { return bytes.Repeat([]byte(c.id), c.size/len(c.id)+1) }

func (c crashChange) do(s *Store) (Version, error) {
	return s.Put(context.Background(), editor, PutRequest{Name: c.name, Text: c.text(), Comment: c.id, RequestID: c.id})
}

// crashes is a directory that children die on, and what they said.
type crashes struct {
	dir    string
	child  string                   // the program
	made   map[string][]crashChange // by policy, acknowledged
	open   *crashChange             // tried and not acknowledged
	secret string                   // of the first token, as it was handed over last
}

// run lets a child work and returns whether it died of a signal.
func (c *crashes) run(t *testing.T, point string, hit, seed int, after time.Duration) (died bool) {
	t.Helper()
	steered := failpoint.Dir(t.TempDir())
	if point != "" {
		if err := steered.Arm(point, failpoint.Kill, hit); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(c.child)
	cmd.Env = append(os.Environ(), crashDirEnv+"="+c.dir, failpoint.Env+"="+string(steered), fmt.Sprint(crashSeedEnv, "=", seed))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if after > 0 {
		timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		c.hear(t, lines.Text())
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return false
	case errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL:
		return true
	}
	t.Fatal(err)
	return false
}

func (c *crashes) hear(t *testing.T, line string) {
	t.Helper()
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "token":
		c.secret = rest
	case "try":
		c.open = &crashChange{}
		if _, err := fmt.Sscan(rest, &c.open.name, &c.open.id, &c.open.size); err != nil {
			c.open = nil // it died while it printed
		}
	case "made":
		c.made[c.open.name] = append(c.made[c.open.name], *c.open)
		c.open = nil
	default:
		t.Fatal(line)
	}
}

// check opens what the child left: everything acknowledged is there, in order and without
// gaps; the change that was under way is made once when it is repeated; the chain holds.
func (c *crashes) check(t *testing.T) {
	t.Helper()
	config := childConfig(c.dir)
	config.FirstToken = func(secret string) error { c.secret = secret; return nil }
	s := mustOpen(t, config)
	defer mustClose(t, s)
	if c.open != nil {
		if _, err := c.open.do(s); err != nil {
			t.Errorf("repeating the last change: %v", err)
		}
		c.made[c.open.name] = append(c.made[c.open.name], *c.open)
		c.open = nil
	}
	for name, made := range c.made {
		history, err := s.History(t.Context(), name, 0, maxHistory)
		if err != nil || len(history) != len(made) {
			t.Fatalf("%s has %d versions, %v; %d were acknowledged", name, len(history), err, len(made))
		}
		for i, change := range made {
			v := history[len(made)-1-i]
			if v.Number != uint64(i+1) || v.Comment != change.id || v.Hash != sha256.Sum256(change.text()) {
				t.Errorf("version %d of %s is %+v, want the change %+v", i+1, name, v, change)
			}
		}
	}
	if _, err := s.VerifyAudit(t.Context()); err != nil {
		t.Error(err)
	}
	if p, err := s.Authenticate(t.Context(), c.secret, "here"); err != nil || p.Role != Admin {
		t.Errorf("the first token does not work: %v", err)
	}
}

// crashHits are the points that a child reaches only a few times, some only in a new directory.
var crashHits = map[string]struct {
	hits  int
	fresh bool
}{
	"boltfile.made":      {2, true}, // the log's file, the state's
	"boltfile.renamed":   {2, true},
	"boltfile.placed":    {2, true},
	"raftlog.set":        {4, true}, // a new group's term, an election's term and vote
	"store.token":        {1, true},
	"durable.synced":     {1, false}, // the state's mark
	"durable.renamed":    {1, false},
	"durable.kept":       {1, false},
	"raftlog.deleted":    {2, false},
	"snapshot.synced":    {2, false},
	"snapshot.created":   {2, false},
	"snapshot.persisted": {2, false},
	"snapshot.removed":   {1, false},
	"restore.written":    {1, false},
	"restore.synced":     {1, false},
	"restore.exchanged":  {1, false},
}

// TestCrash kills a node at each failpoint, and at any moment, again and again.
func TestCrash(t *testing.T) {
	rounds, r := 200, rand.New(rand.NewPCG(6, 7))
	if testing.Short() {
		rounds = 30
	}
	child := buildCrashChild(t)
	points := pointsOf(t, child)
	died := map[string]int{}
	var c *crashes
	crash := func(round int, point string) {
		after := time.Duration(0)
		if point == "" {
			after = time.Duration(5+r.IntN(80)) * time.Millisecond
		}
		hit := 1 + r.IntN(20)
		if few, found := crashHits[point]; found {
			hit = 1 + r.IntN(few.hits)
			if few.fresh && c != nil {
				if err := os.RemoveAll(c.dir); err != nil {
					t.Fatal(err)
				}
				c = nil
			}
		}
		if c == nil {
			c = &crashes{dir: t.TempDir(), child: child, made: map[string][]crashChange{}}
		}
		if strings.HasPrefix(point, "restore.") {
			c.loseState(t, round)
		}
		if c.run(t, point, hit, round, after) {
			died[point]++
		}
		c.check(t)
		if t.Failed() {
			t.Fatalf("round %d, %q at hit %d, after %v", round, point, hit, after)
		}
	}
	points = append(points, "", "") // at any moment, twice
	for round := range rounds {
		crash(round, points[round%len(points)])
	}
	for _, point := range points {
		for end := rounds + 20; died[point] == 0 && rounds < end; rounds++ { // it was not reached, or the child was done before
			crash(rounds, point)
		}
		if died[point] == 0 {
			t.Errorf("nobody died at %q: %v", point, died)
		}
	}
	t.Log(died)
}

func buildCrashChild(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "child")
	if out, err := exec.Command("go", "test", "-c", "-tags", "failpoints", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("build the child: %v\n%s", err, out)
	}
	return path
}

// pointsOf are the store's points: what it is made of has no others.
func pointsOf(t *testing.T, child string) []string {
	t.Helper()
	cmd := exec.Command(child)
	cmd.Env = append(os.Environ(), crashDirEnv+"="+crashPoints)
	out, err := cmd.Output()
	points := strings.Fields(string(out))
	if err != nil || len(points) < len(crashHits) {
		t.Fatalf("the points are %q, %v", points, err)
	}
	return points
}

// loseState removes the state, which a snapshot can replace: it sees to it that there is one.
func (c *crashes) loseState(t *testing.T, seed int) {
	t.Helper()
	for {
		snaps, err := filepath.Glob(filepath.Join(c.dir, snapDir, "*.snapshot"))
		if err != nil {
			t.Fatal(err)
		}
		if len(snaps) > 0 {
			break
		}
		c.run(t, "", 0, seed, 0)
		seed += 1000
	}
	if err := os.Remove(filepath.Join(c.dir, stateFile)); err != nil {
		t.Fatal(err)
	}
}
