package conformance

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/kernel/contract"
	"github.com/pyisolate/pyisolate/kernel/probe"
	"github.com/pyisolate/pyisolate/kernel/stack"
)

// Everything that cells promise holds here, or cannot be tried.
func TestProbes(t *testing.T) {
	r := newRunner(t)
	facts := r.Config.Kernel.Facts()
	needs := map[string]bool{
		"layers":          probe.Host().Works(probe.SeccompFilter),
		"reload":          facts.Files || r.Config.Kernel.Watches() != "",
		"reload-network":  facts.Network,
		"quota-connects":  facts.Connects,
		"quota-bytes":     facts.Bytes,
		"quota-cpu-total": facts.CPU,
		"contract":        slices.Contains(facts.Contracts, contract.Connect),
	}
	for _, p := range Probes(Backends...) {
		t.Run(p.Name+"/"+string(p.Backend), func(t *testing.T) {
			got := r.Run(t.Context(), p)
			want := Pass
			if there, named := needs[p.Name]; named && !there {
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
	if len(all) != len(cellProbes) {
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

// TestBoth: what fails with one backend fails.
func TestBoth(t *testing.T) {
	for name, test := range map[string]struct {
		fails map[cell.Backend]error
		want  Outcome
		says  string
	}{
		"neither": {nil, Pass, "subinterpreter: seen; process: seen"},
		"one":     {map[cell.Backend]error{cell.Process: errors.New("no")}, Fail, "process: no"},
		"missing": {map[cell.Backend]error{cell.Process: unavailable("not here")}, Unavailable, "not here"},
	} {
		t.Run(name, func(t *testing.T) {
			r := (&Runner{}).Run(t.Context(), Probe{trial: both(func(_ context.Context, s *scene) (string, error) { return "seen", test.fails[s.backend] })})
			if r.Outcome != test.want || r.Evidence != test.says {
				t.Errorf("%+v", r)
			}
		})
	}
}

// TestCellsThatNothingJudges: a canary tells when nobody holds a policy. In compatibility mode
// cells put on nothing, and without the node nothing is around them.
func TestCellsThatNothingJudges(t *testing.T) {
	r := newRunner(t)
	r.Config.Kernel, r.Config.Confinement = nil, stack.Compatibility
	reads := func(ctx context.Context, s *scene, things pair) (string, error) {
		guest, err := s.spawn(ctx, cell.Spec{Imports: []string{"socket"}, Policy: things.policy(0)})
		if err != nil {
			return "", err
		}
		return "held", things.reads(ctx, guest, 0)
	}
	for name, trial := range map[string]trial{
		"files": func(ctx context.Context, s *scene) (string, error) {
			return withCanaries(func(c canaries) (string, error) { return reads(ctx, s, c) })
		},
		"network": func(ctx context.Context, s *scene) (string, error) {
			return withServers(func(v servers) (string, error) { return reads(ctx, s, v) })
		},
	} {
		for _, b := range Backends {
			got := r.Run(t.Context(), Probe{Name: name, Backend: b, trial: trial})
			if got.Outcome != Fail || !strings.Contains(got.Evidence, "the guest posted") {
				t.Errorf("%s of %s: %s: %s", name, b, got.Outcome, got.Evidence)
			}
		}
	}
}

func TestFamily(t *testing.T) {
	if got := family(os.Getppid()); !slices.Contains(got, os.Getpid()) {
		t.Errorf("process %d is not among %v", os.Getpid(), got)
	}
}
