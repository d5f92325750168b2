package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pyisolate/pyisolate/internal/conformance"
	"github.com/pyisolate/pyisolate/kernel/internal/vmtest"
	"github.com/pyisolate/pyisolate/kernel/probe"
)

// addNode adds a command of the program itself, which prints one JSON object.
func addNode(name string, args ...string) func(string, *vmtest.Archive) error {
	return func(dir string, a *vmtest.Archive) error {
		program := filepath.Join(dir, "pyisolate-node")
		if err := compile(dynamic, "build", "-o", program, "./cmd/pyisolate-node"); err != nil {
			return err
		}
		return addCommand(a, name, program, vmtest.Command{Args: args, Env: []string{pythonEnv}})
	}
}

// object reads the last JSON object that the test printed.
func object(r vmtest.Result, into any) error {
	if len(r.Objects) == 0 {
		return errors.New("it printed no JSON object")
	}
	return json.Unmarshal([]byte(r.Objects[len(r.Objects)-1]), into)
}

// checkDoctor: the program finds what the machine was booted with.
func checkDoctor(m *machine, r vmtest.Result) (string, error) {
	var d struct {
		Features []probe.Row `json:"features"`
		Hardened bool        `json:"hardened"`
	}
	if err := object(r, &d); err != nil {
		return "", err
	}
	works := 0
	for _, row := range d.Features {
		if row.Works {
			works++
		}
		if row.Feature == probe.BPFLSM && row.Works != m.bpf {
			return "", fmt.Errorf("doctor says of %s: works is %t: %s", row.Feature, row.Works, row.Answer)
		}
	}
	if works == 0 {
		return "", errors.New("doctor says that nothing works")
	}
	return fmt.Sprintf("%d of %d features work; hardened mode: %t", works, len(d.Features), d.Hardened), nil
}

// lsmGuarantee is the one that depends on bpf among the security modules alone.
const lsmGuarantee = "eBPF-LSM"

// checkGrade: where eBPF-LSM is among the security modules all of it is met, elsewhere
// nothing.
func checkGrade(m *machine, r vmtest.Result) (string, error) {
	var card conformance.Card
	if err := object(r, &card); err != nil {
		return "", err
	}
	at := slices.IndexFunc(card.Guarantees, func(s conformance.Score) bool { return s.Guarantee == lsmGuarantee })
	if at < 0 {
		return "", fmt.Errorf("the grade is not about %s", lsmGuarantee)
	}
	lsm := card.Guarantees[at]
	if want := map[bool]int{true: lsm.Most, false: 0}[m.bpf]; lsm.Points != want {
		var why []string
		for _, c := range lsm.Checks {
			why = append(why, fmt.Sprintf("%s (%d/%d): %s", c.Check, c.Points, c.Most, c.Evidence))
		}
		return "", fmt.Errorf("%s has %d points, not %d: %s", lsmGuarantee, lsm.Points, want, strings.Join(why, "; "))
	}
	return fmt.Sprintf("grade %s: %d of %d points; %s %d/%d", card.Grade, card.Points, card.Most, lsmGuarantee, lsm.Points, lsm.Most), nil
}
