package notify

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

// Patterns decide on where things are, and what is under them does not slip out by a rename of
// what it is in.
func TestGlobs(t *testing.T) {
	s := supervisor(t, Options{})
	tr := newTree(t)
	if err := os.Symlink("b", tr.at("alias")); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"b/x.csv", "b/x.key", "a/x.key", "a/sub/x.key", "a/sub/x.txt", "a/plain"} {
		if err := os.WriteFile(tr.at(f), []byte(secret), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	rules := compiled(t, policy.FileRule{Path: tr.at("a"), Access: rw}, policy.FileRule{Path: tr.at("a/closed")},
		policy.FileRule{Path: tr.at("a"), Glob: tr.at("a/**/*.key")}, policy.FileRule{Path: tr.at("alias"), Glob: tr.at("alias/*.csv"), Access: r},
		policy.FileRule{Path: tr.at(""), Glob: strings.TrimSuffix(tr.at(""), "/") + "/i?/f*", Access: r})
	const denied = unix.EACCES
	on(t, s, Target{Rules: rules}, func(*Watched) error {
		for _, c := range []struct {
			name string
			do   func() error
			want error
		}{
			{"what matches", func() error { return readAs(tr.at("b/x.csv")) }, nil},
			{"by the link", func() error { return readAs(tr.at("alias/x.csv")) }, nil},
			{"not to write", func() error { return open(tr.at("b/x.csv"), unix.O_WRONLY) }, denied},
			{"what does not match", func() error { return readAs(tr.at("b/x.key")) }, denied},
			{"the directory", func() error { _, err := os.ReadDir(tr.at("b")); return errors.Unwrap(err) }, denied},
			{"a character", func() error { return readAs(tr.at("in/file")) }, nil},
			{"taken away", func() error { return readAs(tr.at("a/x.key")) }, denied},
			{"taken away below", func() error { return readAs(tr.at("a/sub/x.key")) }, denied},
			{"beside it", func() error { return readAs(tr.at("a/sub/x.txt")) }, nil},
			{"closed", func() error { return readAs(tr.at("a/closed/file")) }, denied},
			{"made", func() error { return open(tr.at("a/new.key"), unix.O_CREAT|unix.O_WRONLY) }, denied},
			{"renamed", func() error { return unix.Rename(tr.at("a/x.key"), tr.at("a/x")) }, denied},
			{"renamed to it", func() error { return unix.Rename(tr.at("a/plain"), tr.at("a/plain.key")) }, denied},
			{"with its directory", func() error { return unix.Rename(tr.at("a/sub"), tr.at("a/bus")) }, denied},
			{"as a directory", func() error { return unix.Rename(tr.at("a/sub")+"/", tr.at("a/bus")+"/") }, denied},
			{"exchanged with it", func() error {
				return unix.Renameat2(unix.AT_FDCWD, tr.at("a/plain"), unix.AT_FDCWD, tr.at("a/sub"), unix.RENAME_EXCHANGE)
			}, denied},
			{"a file", func() error { return unix.Rename(tr.at("a/plain"), tr.at("a/plane")) }, nil},
		} {
			if err := c.do(); !errors.Is(err, c.want) {
				t.Errorf("%s: %v; want %v", c.name, err, c.want)
			}
		}
		return nil
	})
}

// costly are rules whose globs almost match one path, and that path, which would be given.
func costly(t *testing.T, tr tree) (rules []policy.FileRule, path string) {
	t.Helper()
	path = tr.at("a") + strings.Repeat("/a", 1500)
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	rules = tr.rules()
	for i := range 1024 {
		rules = append(rules, policy.FileRule{Path: tr.at("a"), Glob: fmt.Sprintf("%s%s%d", tr.at("a/**"), strings.Repeat("/a", 80), i), Access: r})
	}
	return rules, path
}

// used is the processor time of this process, whoever else wants the machine.
func used() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u) // fails only for a bad address
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Patterns take so much of the node's time and no more: then the call is refused, and that is why.
func TestGlobsTakeNoLongTime(t *testing.T) {
	denials := make(chan Denial, 1)
	s := supervisor(t, Options{Denied: func(d Denial) { denials <- d }})
	tr := newTree(t)
	rules, path := costly(t, tr)
	on(t, s, Target{Rules: compiled(t, rules...)}, func(*Watched) error {
		if err := open(tr.at("a/file"), 0); err != nil {
			t.Errorf("a usual path: %v", err)
		}
		begun := used()
		if err := open(path, unix.O_DIRECTORY); !errors.Is(err, unix.EACCES) {
			t.Errorf("a costly path: %v", err)
		}
		if took := used() - begun; took > time.Second/2 { // without a bound some seconds
			t.Errorf("it took %s", took)
		}
		return nil
	})
	if t.Skipped() || t.Failed() {
		return
	}
	if d := <-denials; !d.Spent {
		t.Errorf("it was told as %+v", d)
	}
}

// What could not be tried could be a rule that takes away.
func TestDeniesBeyondAllGlobs(t *testing.T) {
	rules := &Rules{access: map[string]policy.Access{"/": r}, globs: []glob{{"", "/*/x", w}, {"", "/*/y", 0}}}
	for steps, want := range map[policy.Steps]policy.Access{maxSteps: rw, 12: 0, 3: 0, 0: 0} {
		if left := steps; rules.judge("/aaaa/x", &left) != want || left.Spent() != (want == 0) {
			t.Errorf("%d steps, of which %d are left: want %s", steps, left, want)
		}
	}
}

// A directory does not come under another pattern by being put where a file was looked at.
func TestDirectoriesStayInRaces(t *testing.T) {
	s := supervisor(t, Options{})
	tr := newTree(t)
	all := policy.FileRule{Path: tr.at("a"), Access: rw}
	free, bound := Target{Rules: compiled(t, all)}, Target{Rules: compiled(t, all, policy.FileRule{Path: tr.at("a"), Glob: tr.at("a/*/*.key")})}
	exchange := func(one, other string) error {
		return unix.Renameat2(unix.AT_FDCWD, tr.at(one), unix.AT_FDCWD, tr.at(other), unix.RENAME_EXCHANGE)
	}
	var over atomic.Bool
	var other sync.WaitGroup
	other.Go(func() { // one that has no patterns, and may
		_ = onThread(s, free, func(*Watched) error {
			for !over.Load() {
				_ = exchange("a/move", "a/sub")
			}
			return nil
		})
	})
	defer other.Wait()
	defer over.Store(true)
	moved, refused := 0, 0
	on(t, s, bound, func(*Watched) error {
		for end := time.Now().Add(raceFor()); time.Now().Before(end); {
			if err := exchange("a/move", "a/file"); err != nil {
				refused++
				continue
			}
			moved++
			if at, err := os.Lstat(tr.at("a/file")); err != nil {
				return err
			} else if at.IsDir() {
				return fmt.Errorf("after %d files a directory was moved", moved)
			}
		}
		return nil
	})
	t.Logf("%d files were moved, %d directories not", moved, refused)
}

// Rules are judged as the policy's own evaluator does.
func TestJudgesAsThePolicy(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	names := []string{"a", "b", "ab", "*", "?", "**", "a*"}
	for range 5000 {
		var rules []policy.FileRule
		for range 1 + random.IntN(8) {
			path := "/none"
			for range 1 + random.IntN(4) {
				path += "/" + names[random.IntN(len(names))]
			}
			rule := policy.FileRule{Path: path, Access: policy.Access(random.IntN(4))}
			if dir := policy.GlobDir(path); dir != path {
				rule.Path, rule.Glob = dir, path
			}
			if (policy.Policy{Files: append(rules, rule)}).Validate() == nil {
				rules = append(rules, rule)
			}
		}
		compiled, err := Compile(rules)
		if err != nil {
			t.Fatal(err)
		}
		path := "/none"
		for range random.IntN(5) {
			path += "/" + names[random.IntN(3)]
		}
		left := policy.Steps(maxSteps)
		if got := compiled.judge(path, &left); got != policy.Judge(rules, path) {
			t.Fatalf("%+v of %s: %s; want %s", rules, path, got, policy.Judge(rules, path))
		}
	}
}

// BenchmarkJudgeGlobs is one path by a hundred patterns about its directory, none of which
// matches.
func BenchmarkJudgeGlobs(b *testing.B) {
	var files []policy.FileRule
	for i := range 100 {
		files = append(files, policy.FileRule{Path: "/none", Glob: fmt.Sprintf("/none/**/*.%d", i), Access: policy.Read})
	}
	rules, err := Compile(files)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		left := policy.Steps(maxSteps)
		rules.judge("/none/2026/11/26/measurements.csv", &left)
	}
}
