package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pyisolate/pyisolate/internal/fabrictest"
)

// talk lets cells of any of the names send to each other.
const talk = `version: 1.0
sandboxes:
  talk:
    imports: [math]
    capabilities:
      send: {names: [c1, c2, c3]}
`

// quiet takes the module away.
const quiet = `version: 1.0
sandboxes:
  talk:
    imports: []
    capabilities:
      send: {names: [c1, c2, c3]}
`

// guest hears, and sends to others.
const guest = `
def greet(whom, words):
    request("send", "send", {"to": whom, "value": words})
    return "sent to " + whom
def hear():
    return recv(timeout=5)
def root(n):
    import math
    return math.isqrt(n)
`

// show is the demonstration so far.
type show struct {
	ctx context.Context
	dir string
	err error // of the first step that failed; nothing is done after it
}

// on runs a command on a node and prints both. What it printed has to contain want.
func (s *show) on(n *fabrictest.Node, want string, args ...string) {
	if s.err != nil {
		return
	}
	fmt.Printf("%s$ pyisolate-node %s\n", n.Name, quoted(args))
	out, err := n.Run(s.ctx, args...)
	if err != nil {
		fmt.Println("  ", firstLine(err.Error()))
		s.err = err
		return
	}
	for line := range strings.Lines(out) {
		fmt.Print("   ", line)
	}
	if !strings.Contains(out, want) {
		s.err = fmt.Errorf("%s printed %q, not %q", quoted(args), out, want)
	}
}

// fails is as on of a command that has to fail, and to say why.
func (s *show) fails(n *fabrictest.Node, why string, args ...string) {
	if s.err != nil {
		return
	}
	fmt.Printf("%s$ pyisolate-node %s\n", n.Name, quoted(args))
	out, err := n.Run(s.ctx, args...)
	if err == nil || !strings.Contains(err.Error(), why) {
		s.err = fmt.Errorf("%s printed %q and ended with %w; it should say %q", quoted(args), out, err, why)
		return
	}
	lines := strings.SplitN(strings.TrimSpace(err.Error()), "\n", 2)
	fmt.Println("  ", lines[len(lines)-1])
}

func (s *show) say(format string, args ...any) {
	if s.err == nil {
		fmt.Printf("\n# "+format+"\n", args...)
	}
}

func quoted(args []string) string {
	var words []string
	for _, a := range args {
		if strings.ContainsAny(a, " \"'") {
			a = "'" + a + "'"
		}
		words = append(words, a)
	}
	return strings.Join(words, " ")
}

func firstLine(s string) string { return strings.SplitN(s, "\n", 2)[0] }

func (s *show) file(name, text string) string {
	path := filepath.Join(s.dir, name)
	if s.err == nil {
		s.err = os.WriteFile(path, []byte(text), 0o600)
	}
	return path
}

func demo(ctx context.Context, f *fabrictest.Fabric) error {
	dir, err := os.MkdirTemp("", "demo")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s := &show{ctx: ctx, dir: dir}
	began := time.Now()
	if err := f.Form(ctx); err != nil {
		return err
	}
	s.say("three nodes are a cluster, %s after the first was founded", time.Since(began).Round(10*time.Millisecond))
	s.on(f.Nodes[1], "leader", "cluster", "members")
	s.cells(f)
	s.policy(f)
	s.kill(f)
	return s.err
}

// cells has every node, and every guest, reach every other one's.
func (s *show) cells(f *fabrictest.Fabric) {
	s.say("a cell on each, spawned by way of another")
	s.on(f.Nodes[0], "", "policy", "put", "talk", s.file("talk.yml", talk))
	program := s.file("guest.py", guest)
	for i, n := range f.Nodes {
		name, by := "c"+n.Name[1:], f.Nodes[(i+1)%len(f.Nodes)]
		s.on(by, name, "cell", "spawn", "--policy", "talk", "--node", n.Name, name)
		s.on(by, "", "cell", "exec", name, program)
	}
	s.on(f.Nodes[0], "n3", "cell", "ls")
	s.say("every node calls every cell")
	for _, n := range f.Nodes {
		for _, to := range f.Nodes {
			s.on(n, "12", "cell", "call", "c"+to.Name[1:], "root", "144")
		}
	}
	s.say("every guest sends to every other one")
	for _, from := range f.Nodes {
		for _, to := range f.Nodes {
			if from != to {
				words := "hello from c" + from.Name[1:]
				s.on(f.Nodes[0], "sent", "cell", "call", "c"+from.Name[1:], "greet", "c"+to.Name[1:], words)
				s.on(f.Nodes[0], words, "cell", "call", "c"+to.Name[1:], "hear")
			}
		}
	}
}

// policy has a change reach a running guest on another node.
func (s *show) policy(f *fabrictest.Fabric) {
	s.say("a policy that is put on n3 is in force in the running guest on n1")
	s.on(f.Nodes[2], "", "policy", "put", "talk", s.file("quiet.yml", quiet))
	s.until("the guest is held to it", func() bool {
		_, err := f.Nodes[0].Run(s.ctx, "cell", "exec", "c1", s.file("import.py", "import math\n"))
		return err != nil && strings.Contains(err.Error(), "ImportDenied")
	})
	s.fails(f.Nodes[0], "ImportDenied", "cell", "exec", "c1", s.file("import.py", "import math\n"))
}

// kill has a node die.
func (s *show) kill(f *fabrictest.Fabric) {
	s.say("n3 is killed")
	if s.err == nil {
		s.err = f.Nodes[2].Kill()
	}
	began := time.Now()
	s.until("the others see it", func() bool {
		out, err := f.Nodes[0].Run(s.ctx, "cluster", "members")
		return err == nil && strings.Contains(out, "failed")
	})
	s.say("seen after %s", time.Since(began).Round(10*time.Millisecond))
	s.on(f.Nodes[0], "failed", "cluster", "members")
	s.on(f.Nodes[0], "12", "cell", "call", "c2", "abs", "12")
	s.until("its cell is given up", func() bool {
		_, err := f.Nodes[0].Run(s.ctx, "cell", "call", "c3", "abs", "12")
		return err != nil && strings.Contains(err.Error(), "is gone")
	})
	s.fails(f.Nodes[0], "is gone", "cell", "call", "c3", "abs", "12")
	s.on(f.Nodes[1], "c3", "cell", "spawn", "--policy", "talk", "c3")
	s.on(f.Nodes[0], "12", "cell", "call", "c3", "abs", "12")
	s.say("n3 comes back")
	if s.err == nil {
		s.err = f.Nodes[2].Start()
	}
	if s.err == nil {
		s.err = f.Converge(s.ctx)
	}
	s.on(f.Nodes[2], "12", "cell", "call", "c3", "abs", "12")
}

func (s *show) until(what string, is func() bool) {
	if s.err == nil && !fabrictest.Until(s.ctx, is) {
		s.err = fmt.Errorf("waited in vain: %s", what)
	}
}
