package subprocess

import (
	"context"
	"encoding/json"

	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/broker/capability/jail"
)

// Name of the capability.
const Name = "subprocess.run"

// Run is subprocess.run, with the one action run. The process that has it must call
// [jail.Init] first in main.
type Run struct{}

var _ capability.Scoper = Run{}

// New returns the capability.
func New() Run { return Run{} }

// Scope reads a grant. That the programs exist is not checked: they are looked up in
// the jail.
func (Run) Scope(_ capability.Identity, raw json.RawMessage) (any, error) {
	s, err := newScope(raw)
	if err != nil {
		return nil, err
	}
	return s, nil
}

type args struct {
	Argv []string `json:"argv"`
	// Raw asks for a packed answer: standard output and error as bytes, one
	// after the other, behind the JSON.
	Raw bool `json:"raw"`
	capability.Content
}

// Answer is how the program ended.
type Answer struct {
	// Exit status; -1 when a signal ended it.
	Exit   int    `json:"exit"`
	Signal string `json:"signal,omitempty"`
	// Killed is "wall" or "output" when we ended it for that.
	Killed string `json:"killed,omitempty"`
	// Stdout and Stderr, unless the answer is packed: then their sizes.
	Stdout      *capability.Content `json:"stdout,omitempty"`
	Stderr      *capability.Content `json:"stderr,omitempty"`
	StdoutBytes int                 `json:"stdout_bytes"`
	StderrBytes int                 `json:"stderr_bytes"`
	Duration    int64               `json:"duration_ms"`
	// Layers of the jail that held, and those that were Missing.
	Layers  []string `json:"layers"`
	Missing []string `json:"missing,omitempty"`
}

// headerRoom is left in an answer for all but the output.
const headerRoom = 8 << 10

// Do runs a program.
func (Run) Do(ctx context.Context, c *capability.Call) (capability.Value, error) {
	if c.Action != "run" {
		return capability.Value{}, c.UnknownAction("run")
	}
	var a args
	body, err := c.Arguments(&a)
	if err != nil {
		return capability.Value{}, err
	}
	stdin, _, err := a.Bytes(body)
	if err != nil {
		return capability.Value{}, err
	}
	spec, err := c.Scope.(*scope).choose(c, a.Argv)
	if err != nil {
		return capability.Value{}, err
	}
	spec.Stdin = stdin
	if spec.OutputBytes == 0 {
		spec.OutputBytes = jail.DefaultOutputBytes
	}
	spec.OutputBytes = min(spec.OutputBytes, max(1, (c.MaxAnswer-headerRoom)/2))
	r, err := jail.Run(ctx, spec)
	if err != nil {
		return capability.Value{}, err
	}
	return answer(r, a.Raw)
}

// choose finds the entry of the list that argv fits. The record names the program
// and not its arguments, which may be secret.
func (s *scope) choose(c *capability.Call, argv []string) (jail.Spec, error) {
	if len(argv) == 0 || len(argv) > maxArgs {
		return jail.Spec{}, capability.Errorf(capability.Invalid, "argv has %d words; it must have 1 to %d, the program's path first", len(argv), maxArgs)
	}
	c.SetTarget(argv[0])
	size := 0
	for _, arg := range argv {
		size += len(arg) + 1
	}
	if size > maxArgBytes {
		return jail.Spec{}, capability.Errorf(capability.TooLarge, "argv has %d bytes; %d is the most", size, maxArgBytes)
	}
	named := false
	for _, p := range s.programs {
		if p.allows(argv) {
			c.SetRule(Name + "=" + p.Path)
			spec := s.spec
			spec.Path, spec.Args = p.Path, argv
			return spec, nil
		}
		named = named || p.Path == argv[0]
	}
	if named {
		return jail.Spec{}, capability.Denyf(Name+": args", "the arguments fit no pattern of the grant for %s", argv[0])
	}
	return jail.Spec{}, capability.Denyf(Name+": programs", "program %.256q is not granted", argv[0])
}

func answer(r jail.Result, raw bool) (capability.Value, error) {
	a := Answer{Exit: r.Exit, Signal: r.Signal, Killed: r.Killed, StdoutBytes: len(r.Stdout), StderrBytes: len(r.Stderr),
		Duration: r.Duration.Milliseconds(), Layers: r.Layers, Missing: r.Missing}
	if raw {
		return capability.Pack(a, append(r.Stdout, r.Stderr...))
	}
	stdout, stderr := capability.ContentOf(r.Stdout), capability.ContentOf(r.Stderr)
	a.Stdout, a.Stderr = &stdout, &stderr
	return capability.JSONValue(a)
}
