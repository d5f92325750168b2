package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var (
	shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")
	wantStatus = regexp.MustCompile(`status (\d+)$`)
)

// Every command line of the README that calls the binary does what its comment
// says: print that text, or end with that status.
func TestREADMECommands(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.Symlink(self, filepath.Join(bin, "pyisolate-node")); err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, block := range shellBlock.FindAllSubmatch(readme, -1) {
		for line := range strings.Lines(string(block[1])) {
			command, comment, _ := strings.Cut(line, " # ")
			if !strings.Contains(command, "pyisolate-node run ") || strings.HasPrefix(command, "go run") {
				continue
			}
			ran++
			runDocumented(t, bin, strings.TrimSpace(command), strings.TrimSpace(comment))
		}
	}
	if ran < 8 {
		t.Errorf("only %d commands found in the README", ran)
	}
}

func runDocumented(t *testing.T, bin, command, comment string) {
	t.Helper()
	c := exec.Command("sh", "-c", command)
	c.Dir = "../.."
	c.Env = append(os.Environ(), mainEnv+"=1", "PATH="+bin+":"+os.Getenv("PATH"))
	var out, errOut bytes.Buffer
	c.Stdout, c.Stderr = &out, &errOut
	err := c.Run()
	status, got := 0, strings.TrimSpace(out.String())
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		status = exit.ExitCode()
	} else if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	want := 0
	if m := wantStatus.FindStringSubmatch(comment); m != nil {
		want, _ = strconv.Atoi(m[1])
		comment = ""
	}
	if status != want {
		t.Errorf("%s\nended with status %d, want %d\n%s", command, status, want, errOut.String())
	}
	if comment != "" && got != comment {
		t.Errorf("%s\nprinted %q, want %q", command, got, comment)
	}
}
