package notify

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

// linked is a tree with rules for out, for what the link way leads to over another link, and
// for what is not there.
func linked(t *testing.T) (tree, *Rules) {
	t.Helper()
	tr := newTree(t)
	for _, d := range []string{"a/up", "a/up/out", "a/real", "a/real/deep", "a/other"} {
		if err := os.Mkdir(tr.at(d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{"a/way": "real", "a/real/hop": "../real/deep", "a/away": tr.at("b")} {
		if err := os.Symlink(to, tr.at(name)); err != nil {
			t.Fatal(err)
		}
	}
	return tr, compiled(t, policy.FileRule{Path: tr.at("a"), Access: rw}, policy.FileRule{Path: tr.at("a/up/out"), Access: rw},
		policy.FileRule{Path: tr.at("a/way/hop"), Access: rw}, policy.FileRule{Path: tr.at("a/up/none"), Access: rw})
}

// A path that rules were looked up by stays what it is, by whatever name it is called:
// neither is it taken away nor does anything come in its place.
func TestRulesStayWhereTheyAre(t *testing.T) {
	s := supervisor(t, Options{})
	tr, rules := linked(t)
	dir, err := unix.Open(tr.at("a/up"), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(dir) }()
	rename := func(from, to string) func() error {
		return func() error { return unix.Rename(tr.at(from), tr.at(to)) }
	}
	cases := map[string]func() error{
		"a rule's path":              func() error { return unix.Rmdir(tr.at("a/up/out")) },
		"with slashes":               func() error { return unix.Rmdir(tr.at("a/up/out") + "//") },
		"by dots":                    func() error { return unix.Rmdir(tr.at("a/other") + "/.././up/out") },
		"by a link":                  func() error { return unix.Rmdir(tr.at("a/way/deep")) },
		"by a descriptor":            func() error { return unix.Unlinkat(dir, "out", unix.AT_REMOVEDIR) },
		"by a descriptor and dots":   func() error { return unix.Unlinkat(dir, "../up/out/", unix.AT_REMOVEDIR) },
		"what is above":              func() error { return unix.Rmdir(tr.at("a/up")) },
		"the link of a rule":         func() error { return unix.Unlink(tr.at("a/way")) },
		"a link on the way":          func() error { return unix.Unlink(tr.at("a/real/hop")) },
		"rename":                     rename("a/up/out", "a/new"),
		"rename by a descriptor":     func() error { return unix.Renameat(dir, "out/", unix.AT_FDCWD, tr.at("a/new")) },
		"rename what is above":       rename("a/up", "a/new"),
		"rename the link":            rename("a/way", "a/new"),
		"rename over":                rename("a/other", "a/up/out"),
		"rename over by slashes":     rename("a/other", "a/up/out//"),
		"rename over what is above":  rename("a/other", "a/up"),
		"rename a link over":         rename("a/away", "a/up/out"),
		"rename over what is linked": rename("a/other", "a/real/deep"),
		"rename to what is missing":  rename("a/away", "a/up/none"),
		"exchange": func() error {
			return unix.Renameat2(unix.AT_FDCWD, tr.at("a/away"), dir, "out", unix.RENAME_EXCHANGE)
		},
		"exchange from": func() error {
			return unix.Renameat2(dir, "out", unix.AT_FDCWD, tr.at("a/away"), unix.RENAME_EXCHANGE)
		},
	}
	on(t, s, Target{Rules: rules}, func(watched *Watched) error {
		for name, do := range cases {
			if err := do(); !errors.Is(err, unix.EACCES) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got := watched.Counts().Denied; got != uint64(len(cases)) {
			t.Errorf("%d were denied, of %d", got, len(cases))
		}
		// What no rule is about may go, and what is inside a rule's directory.
		return errors.Join(unix.Mkdir(tr.at("a/up/out/x"), 0o755), unix.Rename(tr.at("a/up/out/x"), tr.at("a/up/out/y")),
			unix.Rmdir(tr.at("a/up/out/y")), unix.Rmdir(tr.at("a/other")))
	})
	if again := compiled(t, policy.FileRule{Path: tr.at("a/up/out"), Access: rw}); !again.fixes(tr.at("a/up/out")) {
		t.Errorf("compiled again, the rule is for %v", again.access)
	}
	tr.unharmed(t)
}

func TestFixed(t *testing.T) {
	tr, rules := linked(t)
	for name, want := range map[string]bool{"": true, "a": true, "a/up": true, "a/up/out": true, "a/up/none": true, "a/way": true, "a/real": true,
		"a/real/hop": true, "a/real/deep": true, "a/up/out/x": false, "a/away": false, "a/u": false, "b": false, "ab": false} {
		if path := strings.TrimSuffix(tr.at(name), "/"); rules.fixes(path) != want {
			t.Errorf("%s: %v", path, !want)
		}
	}
	if (&Rules{}).fixes("/") {
		t.Error("no rules fix something")
	}
}

// A rule for what is not there yet, below a link, is for where it will be.
func TestRuleBelowALink(t *testing.T) {
	s := supervisor(t, Options{})
	tr, _ := linked(t)
	rules := compiled(t, policy.FileRule{Path: tr.at("a/way/new"), Access: rw}, policy.FileRule{Path: tr.at("a/way/new"), Glob: tr.at("a/way/new/*.key")})
	if !rules.fixes(tr.at("a/way")) || !rules.fixes(tr.at("a/real/new")) {
		t.Error("the link or where it leads is not fixed")
	}
	if err := os.Mkdir(tr.at("a/real/new"), 0o777); err != nil {
		t.Fatal(err)
	}
	on(t, s, Target{Rules: rules}, func(*Watched) error {
		for _, name := range []string{"a/real/new/x", "a/way/new/y"} {
			if err := open(tr.at(name), unix.O_CREAT|unix.O_WRONLY); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, name := range []string{"a/real/new/x.key", "a/way/new/x.key", "a/real/x"} {
			if err := open(tr.at(name), unix.O_CREAT|unix.O_WRONLY); !errors.Is(err, unix.EACCES) {
				t.Errorf("%s: %v", name, err)
			}
		}
		return nil
	})
}
