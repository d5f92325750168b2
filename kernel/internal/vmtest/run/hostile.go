package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"strings"

	"github.com/pyisolate/pyisolate/kernel/internal/vmtest"
)

// hostileFile has what the hostile suite found on hostileKernel, where eBPF-LSM is active;
// docs/hostile-matrix.md is made of it.
const (
	hostileFile   = "system_test/hostile/testdata/kernel.json"
	hostileKernel = "6.12"
)

// addHostile adds the suite's part that the kernel decides, with one backend: both together
// take a machine too long.
func addHostile(name, backend string) func(string, *vmtest.Archive) error {
	return func(dir string, a *vmtest.Archive) error {
		command := vmtest.Command{Args: []string{"-test.run=TestHostile/^" + backend + "_"}, Env: []string{"PYISOLATE_HOSTILE=kernel"}}
		if *update {
			command.Args = append(command.Args, "-update")
		}
		return addTests(dir, a, name, "system_test/hostile", command)
	}
}

// found is what the suite prints, and what is kept.
type found struct {
	Kernel string `json:"kernel"`
	// Outcomes are words, by family/probe/column.
	Outcomes map[string]string `json:"outcomes"`
}

// checkHostile counts outcomes; with -update it keeps them.
func checkHostile(m *machine, r vmtest.Result) (string, error) {
	var now found
	if err := object(r, &now); err != nil {
		return "", err
	}
	held, through := 0, 0
	for _, outcome := range now.Outcomes {
		switch {
		case strings.HasPrefix(outcome, "held"):
			held++
		case strings.Contains(outcome, "gets through"):
			through++
		}
	}
	summary := fmt.Sprintf("%4d held %4d get through, as they should %3d skipped", held, through, len(r.Skips))
	if !*update || !m.bpf || m.version != hostileKernel {
		return summary, nil
	}
	return summary + "; kept in " + hostileFile, now.keep(hostileFile)
}

// keep writes the outcomes to a file, beside those that it has of other columns.
func (f found) keep(path string) error {
	kept := found{Kernel: f.Kernel, Outcomes: map[string]string{}}
	if text, err := os.ReadFile(path); err == nil {
		var before found
		if err := json.Unmarshal(text, &before); err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		if before.Kernel == f.Kernel {
			maps.Copy(kept.Outcomes, before.Outcomes)
		}
	}
	renewed := map[string]bool{}
	for key := range f.Outcomes {
		renewed[column(key)] = true
	}
	maps.DeleteFunc(kept.Outcomes, func(key, _ string) bool { return renewed[column(key)] })
	maps.Copy(kept.Outcomes, f.Outcomes)
	text, err := json.MarshalIndent(kept, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// column is the last part of an outcome's name.
func column(key string) string { return key[strings.LastIndexByte(key, '/')+1:] }
