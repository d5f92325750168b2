package guard

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// compiler is what the committed objects were built with; another writes other bytes.
const compiler = "clang version 14.0.6"

// TestSources: the objects were built from the sources that are here.
func TestSources(t *testing.T) {
	sums, err := os.ReadFile("bpf/SHA256SUMS")
	if err != nil {
		t.Skipf("the sources are not here: %v", err)
	}
	listed := map[string]string{}
	for line := range strings.Lines(string(sums)) {
		if f := strings.Fields(line); len(f) == 2 {
			listed[f[1]] = f[0]
		}
	}
	sources, err := filepath.Glob("bpf/*.[ch]")
	sources = append(sources, "bpf/../../contract/bpf/event.h")
	if err != nil || len(sources) != len(listed) {
		t.Errorf("%d sources, %d listed, %v", len(sources), len(listed), err)
	}
	for _, file := range sources {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(data)
		if listed[strings.TrimPrefix(file, "bpf/")] != hex.EncodeToString(sum[:]) {
			t.Errorf("%s has changed since the objects were built: run go generate ./kernel/guard", file)
		}
	}
}

// TestRebuild builds the objects again and compares.
func TestRebuild(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles")
	}
	version, err := exec.Command("clang", "--version").Output()
	if err != nil || !strings.Contains(string(version), compiler) {
		t.Skipf("there is no %s here (%.30q, %v)", compiler, version, err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	text, err := os.ReadFile("generate.go")
	if err != nil {
		t.Skipf("the sources are not here: %v", err)
	}
	for line := range strings.Lines(string(text)) {
		line, ours := strings.CutPrefix(line, "//go:generate go tool bpf2go ")
		if !ours {
			continue
		}
		c := exec.Command("sh", "-c", "go tool bpf2go -output-dir "+out+" "+line)
		c.Dir, c.Env = here, append(os.Environ(), "GOPACKAGE=guard")
		if out, err := c.CombinedOutput(); err != nil {
			t.Skipf("it cannot be built here: %v\n%s", err, out)
		}
	}
	for _, name := range []string{"lsm_bpfel.o", "lsm_bpfel.go", "cgroup_bpfel.o", "cgroup_bpfel.go"} {
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(out, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is another when it is built again", name)
		}
	}
}
