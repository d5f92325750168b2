package main

import (
	"bytes"
	"encoding/json"
	"fmt"
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

// addHostile adds the suite's part that the kernel decides.
func addHostile(dir string, a *vmtest.Archive) error {
	command := vmtest.Command{Args: []string{"-test.run=TestHostile"}, Env: []string{"PYISOLATE_HOSTILE=kernel"}}
	if *update {
		command.Args = append(command.Args, "-update")
	}
	return addTests(dir, a, "hostile", "system_test/hostile", command)
}

// checkHostile counts outcomes; with -update it keeps them.
func checkHostile(m *machine, r vmtest.Result) (string, error) {
	var found struct {
		Outcomes map[string]string `json:"outcomes"`
	}
	if err := object(r, &found); err != nil {
		return "", err
	}
	held, through := 0, 0
	for _, outcome := range found.Outcomes {
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
	var text bytes.Buffer
	if err := json.Indent(&text, []byte(r.Objects[len(r.Objects)-1]), "", "  "); err != nil {
		return "", err
	}
	text.WriteByte('\n')
	return summary + "; wrote " + hostileFile, os.WriteFile(hostileFile, text.Bytes(), 0o600)
}
