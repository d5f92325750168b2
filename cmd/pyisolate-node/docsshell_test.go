package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/policystore/document"
)

// outcome is how a command ended.
type outcome struct {
	out, err string
	status   int
}

// runShell checks a sh block: each line is a command, and the comment behind it is
// all it prints to standard output, or "WORD, status N".
func runShell(t *testing.T, p *page, b block) {
	t.Helper()
	commands := 0
	for i, line := range b.lines {
		command, comment, _ := strings.Cut(line, " # ")
		command, comment = strings.TrimSpace(command), strings.TrimSpace(comment)
		switch {
		case command == "" || strings.HasPrefix(command, "#"):
			continue
		case strings.HasPrefix(command, "alias "): // names the binary; here it is in PATH
			continue
		}
		commands++
		if strings.HasPrefix(command, "make ") {
			checkMakeTarget(t, b, command)
			continue
		}
		if testing.Short() && wholeMachine.MatchString(command) {
			t.Logf("%s:%d: %s: only without -short", b.page, b.line+1+i, command)
			continue
		}
		at := block{page: b.page, line: b.line + 1 + i}
		checkComment(t, at, command, comment, p.execute(t, at, 0, command))
	}
	if commands == 0 {
		t.Errorf("%s:%d: the block has no command", b.page, b.line)
	}
}

// wholeMachine is of commands that try all that the machine can, for many seconds; packages'
// own tests do the same.
var wholeMachine = regexp.MustCompile(`^pyisolate-node (conformance --backend process|doctor gil)\b`)

// runPolicy keeps a yaml block that is a file, for the commands that use it, and checks
// another as a policy document.
func runPolicy(t *testing.T, p *page, b block) {
	t.Helper()
	if p.keep(t, b) {
		return
	}
	d, err := document.Parse(fmt.Sprintf("%s:%d", b.page, b.line), []byte(b.text()))
	if err == nil {
		err = d.Check(checking)
	}
	if err != nil {
		t.Errorf("%v", err)
	}
}

var statusComment = regexp.MustCompile(`^(\w+), status (\d+)$`)

func checkComment(t *testing.T, at block, command, comment string, got outcome) {
	t.Helper()
	want, said := 0, ""
	if m := statusComment.FindStringSubmatch(comment); m != nil {
		said, comment = m[1], ""
		want, _ = strconv.Atoi(m[2])
	}
	if got.status != want || !strings.Contains(got.err, said) {
		t.Errorf("%s:%d: %s\nended with status %d, want %d and %q in\n%s", at.page, at.line, command, got.status, want, said, got.err)
	}
	comment = strings.TrimPrefix(comment, "prints ")
	if printed := strings.TrimSpace(got.out); comment != "" && printed != comment {
		t.Errorf("%s:%d: %s\nprinted %q, want %q", at.page, at.line, command, printed, comment)
	}
}

// checkMakeTarget stands for running make: this test is part of what it runs.
func checkMakeTarget(t *testing.T, b block, command string) {
	t.Helper()
	makefile := readFile(t, filepath.Join(repository, "Makefile"))
	for _, target := range strings.Fields(command)[1:] {
		if !strings.Contains(makefile, "\n"+target+":") {
			t.Errorf("%s:%d: the Makefile has no target %s", b.page, b.line, target)
		}
	}
}

// runConsole checks a console block: a command behind "$ ", and below it all that it
// prints, where … stands for anything. One that fails must be followed by
// "$ echo $?". The lines of standard output keep their order and so do those of
// standard error, and those of each type of --json; how they interleave is not checked,
// because it varies.
func runConsole(t *testing.T, p *page, b block) {
	t.Helper()
	status := 0
	for i := 0; i < len(b.lines); {
		command, isCommand := strings.CutPrefix(b.lines[i], "$ ")
		if !isCommand {
			t.Fatalf("%s:%d: a console block begins with a command behind $", b.page, b.line)
		}
		at := block{page: b.page, line: b.line + 1 + i}
		i++
		begin := i
		for i < len(b.lines) && !strings.HasPrefix(b.lines[i], "$ ") {
			i++
		}
		got := p.start(t, at, command)
		if got == nil {
			foreground := p.execute(t, at, status, command)
			got = &foreground
		}
		status = got.status
		checkTranscript(t, at, command, b.lines[begin:i], *got)
		if status != 0 && (i == len(b.lines) || b.lines[i] != "$ echo $?") {
			t.Errorf("%s:%d: %s\nended with status %d, which the page does not show by echo $?\n%s", at.page, at.line, command, status, got.err)
		}
	}
}

func checkTranscript(t *testing.T, at block, command string, want []string, got outcome) {
	t.Helper()
	streams := append(jsonStreams(splitLines(got.out)), splitLines(got.err))
	for _, line := range want {
		from := slices.IndexFunc(streams, func(s []string) bool { return len(s) > 0 && matches(line, s[0]) })
		if from < 0 {
			t.Errorf("%s:%d: %s\nthe page shows\n\t%s\nand what comes is\n%s%s", at.page, at.line, command, line, got.out, got.err)
			return
		}
		streams[from] = streams[from][1:]
	}
	if rest := slices.Concat(streams...); len(rest) > 0 {
		t.Errorf("%s:%d: %s\nthe page does not show\n\t%s", at.page, at.line, command, strings.Join(rest, "\n\t"))
	}
}

var jsonLine = regexp.MustCompile(`^\{"type":"(\w+)"`)

// jsonStreams splits the lines of --json by their type, as types are not ordered
// against each other. Other lines are one stream.
func jsonStreams(lines []string) [][]string {
	byType := map[string]int{}
	var streams [][]string
	for _, line := range lines {
		name := ""
		if m := jsonLine.FindStringSubmatch(line); m != nil {
			name = m[1]
		}
		i, known := byType[name]
		if !known {
			i = len(streams)
			byType[name] = i
			streams = append(streams, nil)
		}
		streams[i] = append(streams[i], line)
	}
	return streams
}

func splitLines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// matches tells whether line is the pattern, in which … stands for anything.
func matches(pattern, line string) bool {
	return regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), "…", ".*") + "$").MatchString(line)
}

// execute runs a command line as a shell would after one that ended with status.
// The binary it calls is this test; what `go run` builds is the page's or the tree's.
func (p *page) execute(t *testing.T, at block, status int, command string) outcome {
	t.Helper()
	p.used(command)
	dir, line := p.dir, strings.ReplaceAll(command, "go run ./cmd/pyisolate-node", "pyisolate-node")
	if strings.HasPrefix(line, "go run ") {
		needGo(t)
	}
	switch {
	case strings.HasPrefix(line, "curl "):
		if _, err := exec.LookPath("curl"); err != nil {
			t.Skip("there is no curl")
		}
	case strings.HasPrefix(line, "go run ./examples/"):
		dir = repository
	case strings.HasPrefix(line, "go run "): // a file of the page, as part of this module
		dir, line = repository, "go run "+filepath.Join(p.dir, strings.TrimPrefix(line, "go run "))
	case strings.HasPrefix(line, "python3 "):
		needPython(t)
		// The SDK of this tree, and a node of the program's own.
		line = "unset " + socketEnv + "; export PYTHONPATH=" + filepath.Join(root(t), "python") + "; " + line
	case !strings.Contains(line, "pyisolate-node") && line != "echo $?":
		t.Errorf("%s:%d: the test does not know how to run %q; mark the block text if it cannot be run", at.page, at.line, command)
	}
	c := exec.Command("sh", "-c", "(exit "+strconv.Itoa(status)+")\n"+line)
	c.Dir = dir
	c.Env = p.environment(t)
	var out, errOut bytes.Buffer
	c.Stdout, c.Stderr = &out, &errOut
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s:%d: %s: %v", at.page, at.line, command, err)
	}
	return outcome{out.String(), errOut.String(), c.ProcessState.ExitCode()}
}

func (p *page) environment(t *testing.T) []string {
	return append(os.Environ(), mainEnv+"=1", "PATH="+binDirectory(t)+":"+os.Getenv("PATH"), socketEnv+"="+filepath.Join(p.dir, "node.sock"),
		"PYISOLATE_PYTHON="+p.python.Lib, "GORACE=atexit_sleep_ms=0") // with -race each exit would take a second
}

func root(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs(repository)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// needPython skips what runs programs of the Python SDK where they cannot run.
func needPython(t *testing.T) {
	t.Helper()
	if err := exec.Command("python3", "-c", "import sys; sys.exit(sys.version_info < (3, 9))").Run(); err != nil {
		t.Skipf("no Python 3.9 or later as python3: %v", err)
	}
}

// binDirectory has this test binary under the command's name.
func binDirectory(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.Symlink(self, filepath.Join(bin, "pyisolate-node")); err != nil {
		t.Fatal(err)
	}
	return bin
}

func TestTranscriptPattern(t *testing.T) {
	for _, c := range []struct {
		pattern, line string
		want          bool
	}{
		{"a (b)", "a (b)", true},
		{"a", "ab", false},
		{"a …, c", "a 12 ms, c", true},
		{"a …, c", "a 12 ms", false},
	} {
		if got := matches(c.pattern, c.line); got != c.want {
			t.Errorf("matches(%q, %q) = %t", c.pattern, c.line, got)
		}
	}
}
