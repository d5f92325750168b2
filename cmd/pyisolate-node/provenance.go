package main

import (
	"context"
	"fmt"
	"os/exec"
	"runtime/debug"
	"strings"
	"time"

	"github.com/pyisolate/pyisolate/cell/pydist"
	"github.com/pyisolate/pyisolate/internal/elfsec"
)

// provenance is where what runs comes from. What cannot be told says why, in a member
// "error".
type provenance struct {
	Build  buildReport       `json:"build"`
	Flags  map[string]string `json:"build_settings,omitempty"` // of the go command
	Python pythonOrigin      `json:"python"`
	Files  map[string]file   `json:"files"`
	BPF    toolchain         `json:"bpf_toolchain"`
}

type pythonOrigin struct {
	*pydist.Dist
	Error string `json:"error,omitempty"`
}

type file struct {
	Path      string         `json:"path"`
	Hardening *elfsec.Report `json:"hardening,omitempty"`
	Error     string         `json:"error,omitempty"`
}

// toolchain is what would compile eBPF programs here. Nodes do not need it: theirs are in
// the binary.
type toolchain struct {
	Clang string `json:"clang,omitempty"` // the first line of its version
	Error string `json:"error,omitempty"`
}

func newProvenance(ctx context.Context, python string) *provenance {
	p := &provenance{Build: newBuildReport(), Flags: map[string]string{}, BPF: newToolchain(ctx),
		Files: map[string]file{"pyisolate-node": readFileOrigin("/proc/self/exe")}}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			p.Flags[s.Key] = s.Value
		}
	}
	dist, err := pydist.Resolve(ctx, pydist.Options{Python: python})
	if err != nil {
		p.Python.Error = err.Error()
		return p
	}
	p.Python.Dist = &dist
	p.Files["libpython"] = readFileOrigin(dist.Lib)
	return p
}

func readFileOrigin(path string) file {
	r, err := elfsec.Read(path)
	if err != nil {
		return file{Path: path, Error: err.Error()}
	}
	return file{Path: path, Hardening: &r}
}

func newToolchain(ctx context.Context) toolchain {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "clang", "--version").Output()
	if err != nil {
		return toolchain{Error: fmt.Sprintf("clang --version: %v", err)}
	}
	first, _, _ := strings.Cut(string(out), "\n")
	return toolchain{Clang: first}
}
