package main

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/pyisolate/pyisolate/api/fault"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/policystore/refresh"
)

// writePages runs `man DIR` and returns the commands and the directory.
func writePages(t *testing.T) (*cobra.Command, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "made", "man1")
	root := newRoot()
	root.SetArgs([]string{"man", dir})
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	return root, dir
}

func readPages(t *testing.T, dir string) map[string]string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	pages := map[string]string{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		pages[filepath.Base(name)] = string(text)
	}
	return pages
}

func TestManPagesCoverTheCommandTree(t *testing.T) {
	root, dir := writePages(t)
	pages := readPages(t, dir)
	visible := 0
	var check func(c *cobra.Command)
	check = func(c *cobra.Command) {
		visible++
		page := pages[manName(c)+".1"]
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if shown := strings.Contains(page, bold("--"+f.Name)); shown == f.Hidden {
				t.Errorf("%s: flag --%s, hidden %t, is in the page: %t", manName(c), f.Name, f.Hidden, shown)
			}
		})
		for _, child := range c.Commands() {
			if child.IsAvailableCommand() {
				check(child)
			} else if _, written := pages[manName(child)+".1"]; written {
				t.Errorf("%s is not a visible command and has a page", manName(child))
			}
		}
	}
	check(root)
	if len(pages) != visible {
		t.Errorf("%d pages for %d visible commands", len(pages), visible)
	}
}

func TestManPageLeavesHiddenFlagsOut(t *testing.T) {
	c := &cobra.Command{Use: "c", Short: "S", Run: func(*cobra.Command, []string) {}}
	c.Flags().Int("shown", 3, "an `amount`")
	c.Flags().StringSlice("listed", nil, "a thing")
	c.Flags().Int("secret", 0, "")
	c.Flags().Int("old", 0, "")
	_ = c.Flags().MarkHidden("secret")
	c.Flags().Lookup("old").Deprecated = "use --shown"
	page := string(manPage(c, ""))
	if strings.Contains(page, "secret") || strings.Contains(page, "old") {
		t.Errorf("hidden or deprecated flags are in\n%s", page)
	}
	if strings.Contains(page, "[]") {
		t.Errorf("an empty list is told as a default in\n%s", page)
	}
	if want := ".TP\n\\fB\\-\\-shown\\fR \\fIamount\\fR\nan amount.\nDefault: 3.\n"; !strings.Contains(page, want) {
		t.Errorf("%q is missing in\n%s", want, page)
	}
}

func TestManPagesAreReproducible(t *testing.T) {
	t.Setenv(dateEnv, "")
	_, first := writePages(t)
	_, second := writePages(t)
	if diff := cmp.Diff(readPages(t, first), readPages(t, second)); diff != "" {
		t.Error(diff)
	}
	t.Setenv(dateEnv, "86400")
	_, dated := writePages(t)
	for name, page := range readPages(t, dated) {
		if title, _, _ := strings.Cut(page, "\n"); !strings.Contains(title, `"1970-01-02"`) {
			t.Errorf("%s has no date of %s: %s", name, dateEnv, title)
		}
	}
}

// The renderers are silent about a page they understand.
func TestManPagesRender(t *testing.T) {
	t.Setenv(dateEnv, "86400") // mandoc warns of a page without a date
	_, dir := writePages(t)
	pages, err := filepath.Glob(filepath.Join(dir, "*.1"))
	if err != nil || len(pages) == 0 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	for _, renderer := range [][]string{
		{"groff", "-man", "-Tutf8", "-ww", "-z"},
		{"mandoc", "-T", "lint", "-W", "warning"},
	} {
		t.Run(renderer[0], func(t *testing.T) {
			if _, err := exec.LookPath(renderer[0]); err != nil {
				t.Skipf("%s is not installed", renderer[0])
			}
			for _, page := range pages {
				out, err := exec.Command(renderer[0], append(renderer[1:], page)...).CombinedOutput()
				if err != nil || len(out) > 0 {
					t.Errorf("%s: %v\n%s", filepath.Base(page), err, out)
				}
			}
		})
	}
}

func TestRoffEscape(t *testing.T) {
	for text, want := range map[string]string{
		"plain, text":  `plain, text`,
		".SH in front": `\&.SH in front`,
		"'quoted'":     `\(aqquoted\(aq`,
		`back\slash`:   `back\eslash`,
		"--flag ~ ^ `": "\\-\\-flag \\(ti \\(ha \\(ga",
		"re, …":        `re, \[u2026]`,
	} {
		if got := escape(text); got != want {
			t.Errorf("escape(%q) = %q, want %q", text, got, want)
		}
	}
}

// Whatever variable of ours the code reads is in the manual and in docs/cli.md.
func TestManListsEveryVariable(t *testing.T) {
	main := string(manPage(newRoot(), ""))
	cli := readFile(t, "../../docs/cli.md")
	literal := regexp.MustCompile(`"(PYISOLATE_[A-Z_]+)"`)
	found := 0
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && entry.Name() != ".." && strings.HasPrefix(entry.Name(), ".") {
			return fs.SkipDir
		}
		if entry.IsDir() && entry.Name() == "failpoint" { // TestProgramHasNoFailpoints: it is not in the program
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		for _, m := range literal.FindAllStringSubmatch(readFile(t, path), -1) {
			found++
			if !strings.Contains(main, bold(m[1])) {
				t.Errorf("%s of %s is not in pyisolate-node.1", m[1], path)
			}
			if !strings.Contains(cli, "| `"+m[1]+"` |") {
				t.Errorf("%s of %s is not in docs/cli.md", m[1], path)
			}
		}
		return nil
	})
	if err != nil || found < 2 {
		t.Errorf("%d variables found, %v", found, err)
	}
}

func TestExitStatusesAreListed(t *testing.T) {
	cli := readFile(t, "../../docs/cli.md")
	help := newRun().Long
	listed := map[int]bool{}
	for _, s := range exitStatuses {
		if listed[s.status] {
			t.Errorf("status %d is listed twice", s.status)
		}
		listed[s.status] = true
		if !strings.Contains(cli, fmt.Sprintf("\n| %d | ", s.status)) {
			t.Errorf("status %d is not in the table of docs/cli.md", s.status)
		}
		if !strings.Contains(help, s.meaning) {
			t.Errorf("status %d is not in run --help", s.status)
		}
	}
	for _, kind := range cell.Kinds() {
		if status := statusOf(cell.Errorf(kind, "x")); !listed[status] {
			t.Errorf("%s ends with status %d, which is not listed", kind, status)
		}
	}
}

// Each word that a node has for a failure which is not its own has a status that says what to do.
func TestStatusesOfWhatANodeSays(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{policystore.ErrNotFound, statusNotFound},
		{policystore.ErrCompacted, statusNotFound},
		{policystore.ErrConflict, statusConflict},
		{fault.ErrUnavailable, statusNoNode},
		{policystore.ErrNotLeader, statusNoNode},
		{policystore.ErrStale, statusNoNode},
		{refresh.ErrUnavailable, statusNoNode},
		{fault.ErrRefused, statusRefused},
		{refresh.ErrRefused, statusRefused},
		{fault.ErrUnimplemented, statusRefused},
		{policystore.ErrLimited, statusLimited},
		{policystore.ErrUnauthenticated, statusOfKind(cell.PolicyAuth)},
		{policystore.ErrCorrupt, statusCorrupt},
		{fault.ErrInternal, statusInternal},
	} {
		answer, _ := fault.Answer(c.err)
		if status := statusOf(fault.Answered(answer)); status != c.want {
			t.Errorf("%v ends with status %d, want %d", c.err, status, c.want)
		}
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
