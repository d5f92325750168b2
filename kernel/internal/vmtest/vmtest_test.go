package vmtest

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestArchive: cpio, where there is one, reads what was written.
func TestArchive(t *testing.T) {
	cpio, err := exec.LookPath("cpio")
	if err != nil {
		t.Skipf("there is no cpio to read it with: %v", err)
	}
	var a Archive
	a.Device("/dev/console", 5, 1)
	a.Data("/tests/a/test", []byte("abc"), true)
	a.Data("/tests/a/testdata/empty", nil, false)
	tree := t.TempDir()
	if err := errors.Join(os.WriteFile(tree+"/run", []byte("x"), 0o755), os.Symlink("run", tree+"/link")); err != nil {
		t.Fatal(err)
	}
	if err := a.Tree("/tree", tree); err != nil {
		t.Fatal(err)
	}
	data := a.Bytes()
	c := exec.Command(cpio, "-itv", "--numeric-uid-gid", "--quiet")
	c.Stdin = bytes.NewReader(data)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var got []string
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		name := 1 + slices.Index(f, "1970") // the year; a link's is its target, too
		got = append(got, f[0]+" "+strings.Join(f[name:], " "))
	}
	want := []string{"drwxr-xr-x dev", "crw------- dev/console", "drwxr-xr-x tests", "drwxr-xr-x tests/a", "-rwxr-xr-x tests/a/test",
		"drwxr-xr-x tests/a/testdata", "-rw-r--r-- tests/a/testdata/empty",
		"drwxr-xr-x tree", "lrwxrwxrwx tree/link -> run", "-rwxr-xr-x tree/run"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []Result
		done bool
	}{
		"nothing": {"[    0.1] Linux\n", nil, false},
		"passes, skips and fails": {
			"[1.0] noise=== VM BEGIN a\r\n=== RUN TestX\n--- PASS: TestX (0.00s)\n    --- PASS: TestX/sub (0.00s)\n" +
				"--- SKIP: TestY (0.00s)\n    --- SKIP: TestZ/sub (0.00s)\n--- FAIL: TestW (0.01s)\nFAIL\n=== VM END a 1 2.5s\n=== VM DONE\n",
			[]Result{{Name: "a", Status: 1, Took: 2500 * time.Millisecond, Passed: 1,
				Skips: []string{"--- SKIP: TestY (0.00s)", "--- SKIP: TestZ/sub (0.00s)"}, Fails: []string{"--- FAIL: TestW (0.01s)"}}}, true,
		},
		"reasons of skips": {
			"=== VM BEGIN a\n=== RUN   TestX\n=== RUN   TestX/sub\n    x_test.go:1: said before\n    x_test.go:3: no such thing\n=== NAME  TestX\n    x_test.go:9: more\n" +
				"--- PASS: TestX (0.00s)\n    --- SKIP: TestX/sub (0.00s)\n{\"points\": 3}\n{no object\n=== VM END a 0 1s\n=== VM DONE\n",
			[]Result{{Name: "a", Took: time.Second, Passed: 1, Skips: []string{"--- SKIP: TestX/sub (0.00s)"},
				Reasons: map[string]int{"no such thing": 1}, Objects: []string{`{"points": 3}`}}}, true,
		},
		"costs": {
			"=== VM BEGIN a\n    cost_test.go:44: verified bpf-lsm on_open 1224\n    cost_test.go:45: verified nothing\n=== VM END a 0 1s\n",
			[]Result{{Name: "a", Took: time.Second, Costs: []Cost{{"bpf-lsm", "on_open", 1224}}}}, false,
		},
		"cut off": {"=== VM BEGIN a\n--- PASS: TestX (0.00s)\n", []Result{{Name: "a", Status: -1, Passed: 1}}, false},
		"two":     {"=== VM BEGIN a\n=== VM END a 0 1s\n=== VM BEGIN b\npanic: x\n=== VM END b 2 1s\n", []Result{{Name: "a", Took: time.Second}, {Name: "b", Status: 2, Took: time.Second, Fails: []string{"panic: x"}}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, done, err := parse(strings.NewReader(c.text))
			if diff := cmp.Diff(c.want, got, cmpopts.IgnoreUnexported(Result{})); diff != "" || done != c.done || err != nil {
				t.Errorf("done %v, %v, %s", done, err, diff)
			}
			if c.want != nil && slices.ContainsFunc(got, Result.Failed) != (c.want[len(c.want)-1].Status != 0) {
				t.Error("Failed")
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add("=== VM BEGIN a\n--- PASS: TestX (0.00s)\n=== VM END a 0 1s\n=== VM DONE\n")
	f.Fuzz(func(_ *testing.T, text string) { _, _, _ = parse(strings.NewReader(text)) })
}

// TestProgram: what runs here is found whole, and what names a library that is not here is
// refused.
func TestProgram(t *testing.T) {
	shell, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Skipf("there is no program to look at: %v", err)
	}
	needs, err := needed(shell)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(needs, func(p string) bool { return strings.Contains(p, "libc.so") }) || !slices.ContainsFunc(needs, func(p string) bool { return strings.Contains(p, "ld-") }) {
		t.Errorf("%s needs %q", shell, needs)
	}
	var a Archive
	if err := a.Program("/bin/sh", shell); err != nil {
		t.Fatal(err)
	}
	before := a.inode
	if err := a.Libraries(shell); err != nil || a.inode != before {
		t.Errorf("libraries are added again: %v", err)
	}
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if needs, err := needed(script); err != nil || len(needs) > 0 {
		t.Errorf("a script needs %q, %v", needs, err)
	}
	if _, err := library("libnobodyhasthis.so.1"); err == nil {
		t.Error("a library that is nowhere is found")
	}
}
