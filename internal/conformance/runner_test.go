package conformance

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/kernel/probe"
)

// Everything that cells promise holds here, or cannot be tried.
func TestProbes(t *testing.T) {
	r := newRunner(t)
	for _, p := range Probes(Backends...) {
		t.Run(p.Name+"/"+string(p.Backend), func(t *testing.T) {
			got := r.Run(t.Context(), p)
			want := Pass
			switch {
			case p.Name == "reload" && !probe.Host().Works(probe.BPFLSM):
				want = Unavailable
			case p.Name == "layers" && !probe.Host().Works(probe.SeccompFilter):
				want = Unavailable
			}
			if got.Outcome != want || got.Evidence == "" {
				t.Errorf("%s, want %s: %s", got.Outcome, want, got.Evidence)
			}
			if got.Probe != p.Name || got.Backend != p.Backend || got.Took <= 0 {
				t.Errorf("the result is of another probe: %+v", got)
			}
		})
	}
}

// The signal meets the cell that is in a loop and not the one beside it.
func TestCrashMeetsTheRightCell(t *testing.T) {
	r := newRunner(t)
	for range 5 {
		got := r.Run(t.Context(), Probe{Name: "crash", Backend: cell.Process, trial: tryCrashWithin})
		if got.Outcome != Pass {
			t.Fatalf("%s: %s", got.Outcome, got.Evidence)
		}
	}
}

func TestProbesOfOneBackend(t *testing.T) {
	all := Probes(cell.Process)
	if len(all) != len(cellProbes)+1 {
		t.Errorf("%d probes", len(all))
	}
	if slices.ContainsFunc(all, func(p Probe) bool { return p.Backend == cell.SubInterpreter }) {
		t.Error("there are probes of the other backend")
	}
}

func TestRunTellsOutcomes(t *testing.T) {
	for name, test := range map[string]struct {
		evidence string
		err      error
		want     Outcome
		says     string
	}{
		"pass":        {"seen", nil, Pass, "seen"},
		"fail":        {"", errors.New("it did not hold"), Fail, "it did not hold"},
		"unavailable": {"", unavailable("no %s here", "layer"), Unavailable, "no layer here"},
	} {
		t.Run(name, func(t *testing.T) {
			r := (&Runner{}).Run(t.Context(), Probe{Name: "x", trial: func(context.Context, *scene) (string, error) { return test.evidence, test.err }})
			if r.Outcome != test.want || r.Evidence != test.says {
				t.Errorf("%+v", r)
			}
		})
	}
}

// A machine on which no host starts passes nothing.
func TestProbesFailWithoutHosts(t *testing.T) {
	r := newRunner(t)
	r.Config.Executable = []string{"/bin/false"}
	for _, p := range Probes(Backends...) {
		if got := r.Run(t.Context(), p); p.Backend != "" && got.Outcome != Fail {
			t.Errorf("%s of %s: %s: %s", p.Name, p.Backend, got.Outcome, got.Evidence)
		}
	}
}

func TestRefusal(t *testing.T) {
	timeout := cell.Errorf(cell.Timeout, "too late\nby far")
	if text, err := refusal(timeout, cell.Timeout); err != nil || text != "Timeout: too late" {
		t.Errorf("%q, %v", text, err)
	}
	for _, got := range []error{nil, timeout, errors.New("other")} {
		if _, err := refusal(got, cell.CPUExceeded); err == nil || !strings.Contains(err.Error(), "CPUExceeded") {
			t.Errorf("%v was taken for CPUExceeded: %v", got, err)
		}
	}
}

func TestFamily(t *testing.T) {
	if got := family(os.Getppid()); !slices.Contains(got, os.Getpid()) {
		t.Errorf("process %d is not among %v", os.Getpid(), got)
	}
}
