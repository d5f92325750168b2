package conformance

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/contract"
	"github.com/pyisolate/pyisolate/kernel/probe"
	"github.com/pyisolate/pyisolate/kernel/stack"
)

// What the project has built is met on every machine; what the machine lacks is not, and
// what is not built scores nothing anywhere.
func TestGrade(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes ten seconds")
	}
	r := newRunner(t)
	var told []string
	card, err := r.Grade(t.Context(), func(name string) { told = append(told, name) })
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(told, Guarantees()) || len(card.Guarantees) != 10 || card.Most != 100 {
		t.Fatalf("%d points for %v", card.Most, told)
	}
	points := map[string]int{}
	sum := 0
	for _, g := range card.Guarantees {
		points[g.Guarantee] = g.Points
		sum += g.Points
		for _, c := range g.Checks {
			if c.Evidence == "" || (c.Points > 0) != c.Met {
				t.Errorf("%s: %+v", g.Guarantee, c)
			}
		}
	}
	if sum != card.Points {
		t.Errorf("%d points are said to be %d", sum, card.Points)
	}
	facts, host := r.Config.Kernel.Facts(), probe.Host()
	count := func(has ...bool) (sum int) {
		for _, b := range has {
			if b {
				sum++
			}
		}
		return sum
	}
	quotas := 5 + count(facts.Connects, facts.Bytes, facts.CPU, slices.Contains(facts.Contracts, contract.Connect))
	for name, want := range map[string]int{
		"parallel cells": 8, "extension safety": 10, "broker crypto": 10, "quota enforcement": quotas, "crash isolation": 7,
		"eBPF-LSM":          10 * count(facts.Layer == stack.LSM),
		"Landlock fallback": 7*count(host.Value(probe.Landlock) >= 1) + 3*count(host.Value(probe.Landlock) >= 3),
		"Landlock network":  10 * count(host.Value(probe.Landlock) >= 4),
	} {
		if points[name] != want {
			t.Errorf("%s has %d points, want %d: %+v", name, points[name], want, card.Guarantees[slices.Index(told, name)])
		}
	}
	if points["microVM readiness"] > 6 {
		t.Errorf("microVM readiness has %d points", points["microVM readiness"])
	}
}

func TestEveryGuaranteeHasTenPoints(t *testing.T) {
	for _, g := range guarantees {
		sum := 0
		for _, c := range g.checks {
			sum += c.points
		}
		if sum != 10 {
			t.Errorf("%s has %d points", g.name, sum)
		}
	}
}

func TestScore(t *testing.T) {
	met := func(context.Context, *scene) (string, error) { return "seen", nil }
	not := func(context.Context, *scene) (string, error) { return "", errors.New("not seen") }
	cannot := func(context.Context, *scene) (string, error) { return "", unavailable("not here") }
	for name, test := range map[string]struct {
		trials []trial
		points int
		want   Verdict
	}{
		"all":         {[]trial{met, met}, 10, Yes},
		"some":        {[]trial{met, not}, 5, Partly},
		"none":        {[]trial{not, not}, 0, No},
		"unavailable": {[]trial{cannot, cannot}, 0, No},
	} {
		t.Run(name, func(t *testing.T) {
			g := guarantee{name: "g"}
			for _, f := range test.trials {
				g.checks = append(g.checks, check{what: "c", points: 5, trial: f})
			}
			if got := (&Runner{}).score(t.Context(), g); got.Points != test.points || got.Verdict != test.want || got.Most != 10 {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestLetters(t *testing.T) {
	for points, want := range map[int]string{100: "A", 90: "A", 89: "B", 80: "B", 79: "C", 70: "C", 69: "D", 60: "D", 59: "E", 50: "E", 49: "F", 0: "F"} {
		if got := letter(points, 100); got != want {
			t.Errorf("%d points are %s, want %s", points, got, want)
		}
	}
}

func TestGradeEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if card, err := newRunner(t).Grade(ctx, func(string) {}); !errors.Is(err, context.Canceled) || card.Points != 0 {
		t.Errorf("%d points, %v", card.Points, err)
	}
}

func TestBetween(t *testing.T) {
	a, b, new := thread{pid: 1, tid: 1}, thread{pid: 1, tid: 2}, thread{pid: 1, tid: 3}
	first := map[thread]clocks{a: {time.Second, 5}, b: {}}
	last := map[thread]clocks{a: {2 * time.Second, 8}, b: {500 * time.Millisecond, 1}, new: {time.Second, 9}}
	if got := between(first, last, time.Second); got != (load{1.5, 2, 4}) {
		t.Errorf("%+v", got)
	}
}

func TestAtOnce(t *testing.T) {
	for name, test := range map[string]struct {
		loads []load
		want  bool
	}{
		"idle machine":         {[]load{{2, 2, 0}}, true},
		"idle after a while":   {[]load{{0.4, 2, 9}, {1.6, 2, 0}}, true},
		"loaded machine":       {[]load{{0.5, 2, 0}, {0.5, 2, 7}, {0.6, 2, 0}, {0.7, 2, 1}, {0.4, 2, 0}}, true},
		"a lock":               {[]load{{1, 2, 40}, {1, 2, 50}, {1, 2, 40}, {1, 2, 44}, {1, 2, 1}}, false},
		"one computes":         {[]load{{1, 1, 0}, {1, 1, 0}, {1, 1, 0}, {1, 1, 0}, {1, 1, 0}}, false},
		"nothing was measured": {make([]load, tries), false},
	} {
		t.Run(name, func(t *testing.T) {
			i := 0
			_, err := atOnce("they", func() (load, error) {
				i++
				return test.loads[i-1], nil
			})
			if (err == nil) != test.want || i != len(test.loads) {
				t.Errorf("%v after %d of %d", err, i, len(test.loads))
			}
		})
	}
}

func TestOnThread(t *testing.T) {
	want := errors.New("what f said")
	for range 50 {
		err := onThread(func() error {
			if unix.Gettid() == os.Getpid() {
				return errors.New("it runs on the process's first thread")
			}
			return want
		})
		if !errors.Is(err, want) {
			t.Fatal(err)
		}
	}
}

// What the kernel is asked itself needs no Python, so that it can run in a small machine.
func TestKernelChecks(t *testing.T) {
	all := probe.Host()
	for name, test := range map[string]struct {
		trial trial
		works bool
	}{
		"LSM":      {tryLSM, all.Works(probe.BPFLSM)},
		"thread":   {tryThread, all.Works(probe.BPFLSM)},
		"file":     {tryLandlockFile, all.Value(probe.Landlock) >= 1},
		"truncate": {tryLandlockTruncate, all.Value(probe.Landlock) >= 3},
		"connect":  {tryLandlockConnect, all.Value(probe.Landlock) >= 4},
		"bind":     {tryLandlockBind, all.Value(probe.Landlock) >= 4},
		"group":    {tryGroup, all.Works(probe.CgroupUnified)},
		"tasks":    {tryTasks, all.Value(probe.CgroupTasks) == 2 && exists("/bin/sh")},
		"groups":   {tryControllers, all.Value(probe.CgroupCPU) == 2 && all.Value(probe.CgroupMemory) == 2 && all.Value(probe.CgroupTasks) == 2},
	} {
		t.Run(name, func(t *testing.T) {
			got := (&Runner{}).Run(t.Context(), Probe{Name: name, trial: test.trial})
			if (got.Outcome == Pass) != test.works {
				t.Errorf("%s, and the kernel can do it: %t: %s", got.Outcome, test.works, got.Evidence)
			}
			t.Log(got.Outcome, got.Evidence)
		})
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
