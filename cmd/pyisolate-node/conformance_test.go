package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/cell/pydist"
	"github.com/pyisolate/pyisolate/internal/conformance"
)

// A probe that fails is shown with its evidence and ends the command with its status.
func TestConformTellsFailures(t *testing.T) {
	r := &conformance.Runner{Config: launch.Config{Executable: []string{"/bin/false"}}}
	probes := conformance.Probes("process")[:2]
	var out, progress bytes.Buffer
	err := conform(t.Context(), r, probes, false, &out, &progress)
	if !errors.Is(err, exitStatus(statusFailed)) {
		t.Errorf("ended with %v", err)
	}
	if text := out.String(); !strings.Contains(text, "0 passed, 2 failed, 0 unavailable") || strings.Count(text, "\n") != 5 {
		t.Errorf("rows of several lines, or none:\n%s", text)
	}
	if progress.Len() > 0 {
		t.Errorf("progress without a terminal: %q", progress.String())
	}
	out.Reset()
	if err := conform(t.Context(), r, probes, true, &out, &progress); !errors.Is(err, exitStatus(statusFailed)) {
		t.Errorf("ended with %v", err)
	}
	for line := range strings.Lines(out.String()) {
		var got conformance.Result
		if err := json.Unmarshal([]byte(line), &got); err != nil || got.Outcome != conformance.Fail || got.Evidence == "" {
			t.Errorf("%v: %s", err, line)
		}
	}
}

func TestConformIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := &conformance.Runner{Config: launch.Config{Executable: []string{"/bin/false"}}}
	for name, f := range map[string]func() error{
		"probes": func() error {
			return conform(ctx, r, conformance.Probes("process"), true, &bytes.Buffer{}, &bytes.Buffer{})
		},
		"grade": func() error { return grade(ctx, r, true, &bytes.Buffer{}, &bytes.Buffer{}) },
	} {
		if err := f(); !errors.Is(err, exitStatus(statusInterrupt)) {
			t.Errorf("%s: ended with %v", name, err)
		}
	}
}

func TestCardText(t *testing.T) {
	got := cardText(conformance.Card{Grade: "E", Points: 5, Most: 10, Took: 1234 * time.Millisecond, Guarantees: []conformance.Score{
		{Guarantee: "g", Verdict: conformance.Partly, Points: 5, Most: 10, Checks: []conformance.Check{
			{Check: "a", Backend: "process", Met: true, Points: 5, Most: 5, Evidence: "seen\ntwice"},
			{Check: "b", Most: 5, Evidence: "not seen"},
		}}}})
	want := "partly   5/10  g\n         5/5  a (process): seen twice\n         0/5  b: not seen\n\ngrade E: 5 of 10 points, in 1.2s\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestGILAxis(t *testing.T) {
	pass, fail := conformance.Result{Outcome: conformance.Pass}, conformance.Result{Outcome: conformance.Fail}
	for axis, results := range map[string][]conformance.Result{
		"parallel cells":         {pass, pass, pass, fail},
		"parallel threads":       {fail, pass, pass, pass},
		"scheduled compartments": {pass, fail, pass, fail},
	} {
		if got := newGILReport(pydist.Dist{}, results); got.Axis != axis || len(got.Results) != 4 {
			t.Errorf("%s, want %s", got.Axis, axis)
		}
	}
}

func TestVouched(t *testing.T) {
	for list, want := range map[string][]string{"": nil, "a": {"a"}, " a , b.c,,": {"a", "b.c"}} {
		if got := vouched(list); !slices.Equal(got, want) {
			t.Errorf("%q: %q", list, got)
		}
	}
}
