package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/kernel/internal/vmtest"
)

func TestChoose(t *testing.T) {
	for names, want := range map[string]string{
		"kernel":        "kernel",
		"kernel,cells":  "kernel cells python",
		"threads,grade": "threads grade python",
		"kernel,other":  "",
		"":              "",
	} {
		list, err := choose(names)
		var got []string
		for _, s := range list {
			got = append(got, s.name)
		}
		if strings.Join(got, " ") != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", names, got, err)
		}
	}
}

func TestChecks(t *testing.T) {
	grade := func(points string) string {
		return `{"grade":"B","points":84,"most":100,"guarantees":[{"guarantee":"eBPF-LSM","points":` + points + `,"most":10,"checks":[{"check":"bound","evidence":"not so"}]}]}`
	}
	for name, c := range map[string]struct {
		check   func(*machine, vmtest.Result) (string, error)
		bpf     bool
		objects []string
		want    string // of the summary or, after a minus, of the error
	}{
		"grade in full":              {checkGrade, true, []string{grade("10")}, "grade B: 84 of 100 points; eBPF-LSM 10/10"},
		"grade in part":              {checkGrade, true, []string{grade("6")}, "-eBPF-LSM has 6 points, not 10: bound (0/0): not so"},
		"grade without bpf":          {checkGrade, false, []string{grade("0")}, "eBPF-LSM 0/10"},
		"points that cannot be":      {checkGrade, false, []string{grade("3")}, "-not 0"},
		"no grade":                   {checkGrade, true, nil, "-no JSON object"},
		"grade of something else":    {checkGrade, true, []string{`{}`}, "-not about"},
		"doctor":                     {checkDoctor, true, []string{`{"features":[{"feature":"bpf.lsm","works":true}],"hardened":true}`}, "1 of 1 features work; hardened mode: true"},
		"doctor finds none":          {checkDoctor, true, []string{`{"features":[{"feature":"bpf.lsm","works":false}]}`}, "-works is false"},
		"doctor finds too much":      {checkDoctor, false, []string{`{"features":[{"feature":"bpf.lsm","works":true}]}`}, "-works is true"},
		"doctor says nothing":        {checkDoctor, false, []string{`{"features":[]}`}, "-nothing works"},
		"hostile":                    {checkHostile, true, []string{`{"outcomes":{"a":"held","b":"held by limit","c":"**gets through**","d":"n/a"}}`}, "2 held    1 get through"},
		"hostile that printed nones": {checkHostile, true, nil, "-no JSON object"},
	} {
		t.Run(name, func(t *testing.T) {
			said, err := c.check(&machine{version: "6.12", bpf: c.bpf}, vmtest.Result{Objects: c.objects})
			want, fails := strings.CutPrefix(c.want, "-")
			if fails {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%q, %v; want an error with %q", said, err, want)
				}
			} else if err != nil || !strings.Contains(said, want) {
				t.Errorf("%q, %v; want %q", said, err, want)
			}
		})
	}
}

// TestKeep: what is kept of one column stays when another is renewed.
func TestKeep(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kept.json")
	for _, f := range []found{
		{"6.12", map[string]string{"a/x/process all": "held", "a/gone/process all": "held"}},
		{"6.12", map[string]string{"a/x/subinterpreter all": "held"}},
		{"6.12", map[string]string{"a/x/process all": "n/a"}},
	} {
		if err := f.keep(path); err != nil {
			t.Fatal(err)
		}
	}
	want := "{\n  \"kernel\": \"6.12\",\n  \"outcomes\": {\n    \"a/x/process all\": \"n/a\",\n    \"a/x/subinterpreter all\": \"held\"\n  }\n}\n"
	if text, err := os.ReadFile(path); err != nil || string(text) != want {
		t.Errorf("%s, %v", text, err)
	}
	if err := (found{Kernel: "6.13", Outcomes: map[string]string{"b/y/z": "held"}}).keep(path); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(path); strings.Contains(string(text), "a/x") {
		t.Errorf("outcomes of another kernel are kept: %s", text)
	}
}
