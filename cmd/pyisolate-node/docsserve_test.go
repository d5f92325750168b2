package main

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// start runs a command that ends with &, a node that serves, until the page's end. What it
// prints is its first line, which says that it is ready. It returns nil for other commands.
func (p *page) start(t *testing.T, at block, command string) *outcome {
	t.Helper()
	line, background := strings.CutSuffix(command, " &")
	if !background {
		return nil
	}
	c := exec.Command("sh", "-c", "exec "+line)
	c.Dir, c.Env = p.dir, p.environment(t)
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatalf("%s:%d: %s: %v", at.page, at.line, command, err)
	}
	p.ends = append(p.ends, func() {
		_ = c.Process.Signal(os.Interrupt)
		_ = c.Wait()
	})
	ready, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("%s:%d: %s: said %q, then %v", at.page, at.line, command, ready, err)
	}
	return &outcome{out: ready}
}
