package main

import (
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSummary(t *testing.T) {
	for name, c := range map[string]struct {
		input string
		ok    bool
		want  []string // substrings, the last one the end of the output
	}{
		"pass and skip": {
			input: `{"Action":"output","Package":"p","Test":"TestB","Output":"=== RUN   TestB\n"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:7: needs a kernel\n"}
{"Action":"output","Package":"p","Test":"TestB","Output":"--- SKIP: TestB (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestB"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Elapsed":1.25}
`,
			ok:   true,
			want: []string{"ok    p  1.2s\n", "skipped:\n  p TestB: needs a kernel\n", "1 passed, 0 failed, 1 skipped\n"},
		},
		"a failed test": {
			input: `{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:1: got 1\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    time=12:00 msg=\"a.go:1: a log\"\n"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p","Elapsed":0}
`,
			want: []string{"a_test.go:1: got 1", "FAIL  p", "failed:\n  p TestA\n    a_test.go:1: got 1\n\n0 passed, 1 failed, 0 skipped\n"},
		},
		"a package that does not compile": {
			input: `{"ImportPath":"p","Action":"build-output","Output":"a.go:1: undefined: x\n"}
{"ImportPath":"p","Action":"build-fail"}
{"Action":"fail","Package":"p","FailedBuild":"p"}
`,
			want: []string{"a.go:1: undefined: x", "FAIL  p", "0 passed, 1 failed, 0 skipped\n"},
		},
		"a process that died": {
			input: `{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestB","Output":"SIGSEGV\n"}
{"Action":"fail","Package":"p"}
`,
			want: []string{"SIGSEGV", "1 passed, 1 failed, 0 skipped\n"},
		},
		"no test": {
			input: `{"Action":"skip","Package":"p"}` + "\n",
			want:  []string{"no test ran", "0 passed, 0 failed, 0 skipped\n"},
		},
		"words of a tool that cannot start": {
			input: "go: go.mod is broken",
			want:  []string{"go: go.mod is broken", "0 passed, 0 failed, 0 skipped\n"},
		},
		"a failure in an earlier run does not hide a crash in the next": {
			input: `{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p"}
{"Action":"output","Package":"p","Output":"DATA RACE\n"}
{"Action":"fail","Package":"p"}
`,
			want: []string{"DATA RACE", "0 passed, 2 failed, 0 skipped\n"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			s := newSummary(&out)
			if err := s.read(strings.NewReader(c.input)); err != nil {
				t.Fatal(err)
			}
			if ok := s.finish(); ok != c.ok {
				t.Errorf("finish says %v, want %v", ok, c.ok)
			}
			for _, want := range c.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("no %q in:\n%s", want, out.String())
				}
			}
			if last := c.want[len(c.want)-1]; !strings.HasSuffix(out.String(), "\n"+last) {
				t.Errorf("does not end with the line %q:\n%s", last, out.String())
			}
		})
	}
}
