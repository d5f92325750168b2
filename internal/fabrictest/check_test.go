package fabrictest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pyisolate/pyisolate/api/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// at is a span of two times, in milliseconds.
func at(called, returned int) Span {
	return Span{time.Duration(called) * time.Millisecond, time.Duration(returned) * time.Millisecond}
}

func expect(n uint64) *uint64 { return &n }

// What must not be is found, and nothing else.
func TestCheck(t *testing.T) {
	put := func(s Span, number uint64, text string) PolicyCall {
		return PolicyCall{Span: s, Policy: "p", Write: true, Number: number, Text: text}
	}
	get := func(s Span, number uint64, text string) PolicyCall {
		return PolicyCall{Span: s, Policy: "p", Number: number, Text: text}
	}
	for name, c := range map[string]struct {
		history *History
		says    string // "": it is right
	}{
		"nothing":             {&History{}, ""},
		"puts and reads":      {&History{policies: []PolicyCall{put(at(0, 1), 1, "a"), get(at(2, 3), 1, "a"), put(at(2, 5), 2, "b"), get(at(4, 6), 2, "b")}}, ""},
		"a put that was lost": {&History{policies: []PolicyCall{put(at(0, 1), 1, "a"), put(at(2, 3), 1, "b")}}, "policy p"},
		"a stale read":        {&History{policies: []PolicyCall{put(at(0, 1), 1, "a"), put(at(2, 3), 2, "b"), get(at(4, 5), 1, "a")}}, "policy p"},
		"a put of unknown outcome that was done": {&History{policies: []PolicyCall{
			{Span: at(0, 1), Policy: "p", Write: true, Text: "a", Outcome: Unknown}, get(at(5, 6), 1, "a")}}, ""},
		"a put of unknown outcome that was done and undone": {&History{policies: []PolicyCall{
			{Span: at(0, 1), Policy: "p", Write: true, Text: "a", Outcome: Unknown}, get(at(5, 6), 1, "a"), get(at(7, 8), 0, "")}}, "policy p"},
		"a refused put that was done": {&History{policies: []PolicyCall{
			{Span: at(0, 1), Policy: "p", Write: true, Text: "a", Outcome: Refused}, get(at(5, 6), 1, "a")}}, "policy p"},
		"a conflict": {&History{policies: []PolicyCall{put(at(0, 1), 1, "a"),
			{Span: at(2, 3), Policy: "p", Write: true, Expect: expect(0), Outcome: Conflicted}}}, ""},
		"a conflict that was none": {&History{policies: []PolicyCall{put(at(0, 1), 1, "a"),
			{Span: at(2, 3), Policy: "p", Write: true, Expect: expect(1), Outcome: Conflicted}}}, "policy p"},

		"counts":                              {&History{counts: []Count{{Span: at(0, 1), Cell: "c", Epoch: 1, Number: 1}, {Span: at(2, 5), Cell: "c", Epoch: 1, Number: 3}, {Span: at(2, 5), Cell: "c", Epoch: 1, Number: 2}}}, ""},
		"a count with one of unknown outcome": {&History{counts: []Count{{Span: at(0, 1), Cell: "c", Outcome: Unknown}, {Span: at(2, 3), Cell: "c", Epoch: 1, Number: 2}}}, ""},
		"done twice":                          {&History{counts: []Count{{Span: at(0, 1), Cell: "c", Outcome: Refused}, {Span: at(2, 3), Cell: "c", Epoch: 1, Number: 2}}}, "done twice"},
		"the same count":                      {&History{counts: []Count{{Span: at(0, 1), Cell: "c", Epoch: 1, Number: 1}, {Span: at(0, 3), Cell: "c", Epoch: 1, Number: 1}}}, "counted 1 twice"},
		"counts backwards":                    {&History{counts: []Count{{Span: at(0, 1), Cell: "c", Epoch: 1, Number: 2}, {Span: at(0, 9), Cell: "c", Outcome: Unknown}, {Span: at(2, 3), Cell: "c", Epoch: 1, Number: 1}}}, "counted 2 at"},

		"epochs":                   {&History{spawns: []Spawn{{at(0, 1), "c", "n1", 1}, {at(2, 3), "c", "n2", 2}}, counts: []Count{{Span: at(1, 9), Cell: "c", Epoch: 1, Number: 1}}}, ""},
		"an epoch that comes back": {&History{spawns: []Spawn{{at(0, 1), "c", "n1", 2}}, counts: []Count{{Span: at(2, 3), Cell: "c", Epoch: 1, Number: 1}}}, "epoch 1 answered"},
		"an epoch twice":           {&History{spawns: []Spawn{{at(0, 1), "c", "n1", 2}, {at(2, 3), "c", "n2", 2}}}, "had answered before"},

		"lives":                   {&History{lives: []Life{{"c", 1, 7, 10}, {"c", 1, 7, 20}, {"c", 2, 8, 21}, {"d", 1, 9, 15}}}, ""},
		"two guests of one epoch": {&History{lives: []Life{{"c", 1, 7, 10}, {"c", 1, 8, 20}}}, "two guests"},
		"two places":              {&History{lives: []Life{{"c", 1, 7, 10}, {"c", 2, 8, 21}, {"c", 1, 7, 30}}}, "at two places"},
		"a moment of waking":      {&History{lives: []Life{{"c", 1, 7, 0}, {"c", 2, 8, 3e9}, {"c", 1, 7, 4e9}}}, "at two places"},
		"running on":              {&History{lives: []Life{{"c", 1, 7, 2.9e9}, {"c", 2, 8, 3e9}, {"c", 1, 7, 3.1e9}}}, "at two places"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.history.Check(t.TempDir())
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, not %q", err, c.says)
			}
		})
	}
}

// What no client knows is found among the versions that there are.
func TestResolve(t *testing.T) {
	h := &History{policies: []PolicyCall{
		{Span: at(0, 1), Policy: "p", Write: true, Text: "lost", Outcome: Unknown},
		{Span: at(2, 3), Policy: "p", Write: true, Text: "late", Outcome: Unknown},
		{Span: at(4, 5), Policy: "p", Write: true, Text: "known", Number: 1},
		{Span: at(0, 1), Policy: "another", Write: true, Text: "lost", Outcome: Unknown},
	}}
	known, late := sha256.Sum256([]byte("known")), sha256.Sum256([]byte("late"))
	h.resolve(map[string]map[uint64][]byte{"p": {1: known[:], 2: late[:]}})
	for i, want := range []Outcome{Refused, Done, Done, Unknown} {
		if h.policies[i].Outcome != want {
			t.Errorf("call %d is %d, not %d", i, h.policies[i].Outcome, want)
		}
	}
	if err := h.Check(t.TempDir()); err != nil {
		t.Error(err)
	}
	h.policies = append(h.policies, PolicyCall{Span: at(6, 7), Policy: "p", Number: 1, Text: "known"}, PolicyCall{Span: at(0, 1), Policy: "p", Number: 2, Text: "late"})
	if h.Check(t.TempDir()) == nil {
		t.Error("a version was read before it was put")
	}
}

// What may have been done is not taken for refused.
func TestOutcome(t *testing.T) {
	for kind, want := range map[string]Outcome{"Conflict": Conflicted, "Busy": Refused, "NotLeader": Refused, "GuestError": Refused,
		"CellGone": Unknown, "Unavailable": Unknown, "UnknownOutcome": Unknown, "Timeout": Unknown, "Internal": Unknown} {
		if got := outcomeOf(fmt.Errorf("wrapped: %w", &fault.Error{Kind: kind})); got != want {
			t.Errorf("%s is %d, not %d", kind, got, want)
		}
	}
	if outcomeOf(nil) != Done || outcomeOf(errors.New("lost")) != Unknown {
		t.Error("no error, or one of no node")
	}
}

func TestPlan(t *testing.T) {
	nodes := []string{"n1", "n2", "n3"}
	plan := Plan(7, nodes, true, 5*time.Minute)
	if !slices.Equal(plan, Plan(7, nodes, true, 5*time.Minute)) || slices.Equal(plan, Plan(8, nodes, true, 5*time.Minute)) {
		t.Error("a plan does not depend on the seed, or on more")
	}
	all := map[Kind]bool{}
	var lasts time.Duration
	for _, f := range plan {
		all[f.Kind] = true
		lasts += f.Hold + f.Rest
		if f.Node != "" && f.Node == f.Peer {
			t.Errorf("%s", f)
		}
	}
	if len(all) != len(ofLinks)+len(ofProcesses) || lasts < 5*time.Minute {
		t.Errorf("%d kinds in %s", len(all), lasts)
	}
	for _, f := range Plan(7, nodes, false, time.Minute) {
		if slices.Contains(ofLinks, f.Kind) {
			t.Errorf("%s without links", f)
		}
	}
	for _, f := range Plan(7, nodes[:1], true, time.Minute) {
		if f.Peer != "" {
			t.Errorf("%s of one node", f)
		}
	}
}

// Each fault is at the links that it says, in the direction that it says.
func TestNewNetwork(t *testing.T) {
	if _, _, err := newNetwork("wireless", 0, []string{"n1"}); err == nil {
		t.Error("a network of a kind that there is not")
	}
	n, _, err := newNetwork(Loopback, 0, []string{"n1", "n2"})
	if err != nil {
		t.Fatal(err)
	}
	if n.links() || n.address("n1") == n.address("n2") {
		t.Errorf("loopback has %s and %s", n.address("n1"), n.address("n2"))
	}
	if err := n.close(); err != nil {
		t.Error(err)
	}
}
