package subprocess

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/broker/capability/jail"
)

// Bounds of grants and requests.
const (
	maxPrograms = 64
	maxArgs     = 256
	maxArgBytes = 128 << 10
)

// scopeFields is what a grant says. The word form is a program and patterns of its
// arguments, separated by spaces.
type scopeFields struct {
	Programs    []program           `json:"programs"`
	Env         map[string]string   `json:"env"`
	Jail        string              `json:"jail"`
	ReadOnly    []string            `json:"read_only"`
	Wall        capability.Duration `json:"wall"`
	CPU         capability.Duration `json:"cpu"`
	Memory      capability.Size     `json:"memory"`
	Tmp         capability.Size     `json:"tmp"`
	OutputBytes capability.Size     `json:"output_bytes"`
	Files       int                 `json:"files"`
	Processes   int                 `json:"processes"`
}

// program is one entry of the list.
type program struct {
	Path string   `json:"path"`
	Args []string `json:"args"`

	patterns []pattern
	open     bool // any further arguments
}

// pattern is one argument: itself, or an expression that matches all of it.
type pattern struct {
	text string
	re   *regexp.Regexp
}

// UnmarshalJSON reads an object, or a string of words.
func (p *program) UnmarshalJSON(data []byte) error {
	type plain program // without this method
	var q plain
	if len(data) > 0 && data[0] == '"' {
		var words string
		if err := json.Unmarshal(data, &words); err != nil {
			return err
		}
		if fields := strings.Fields(words); len(fields) > 0 {
			q.Path, q.Args = fields[0], fields[1:]
		}
	} else if err := capability.DecodeStrict("program", data, &q); err != nil {
		return err
	}
	*p = program(q)
	return p.compile()
}

func (p *program) compile() error {
	if len(p.Args) > maxArgs {
		return capability.Errorf(capability.Invalid, "%s has %d argument patterns; %d is the most", p.Path, len(p.Args), maxArgs)
	}
	for i, text := range p.Args {
		if text == "..." {
			if i != len(p.Args)-1 {
				return capability.Errorf(capability.Invalid, "%s: \"...\" stands for further arguments and must be last", p.Path)
			}
			p.open = true
			continue
		}
		arg := pattern{text: text}
		if expression, ok := strings.CutPrefix(text, "re:"); ok {
			re, err := regexp.Compile(`\A(?s:` + expression + `)\z`)
			if err != nil {
				return capability.Errorf(capability.Invalid, "%s: argument pattern %q: %s", p.Path, text, err)
			}
			arg.re = re
		}
		p.patterns = append(p.patterns, arg)
	}
	return nil
}

func (p pattern) matches(arg string) bool {
	if p.re != nil {
		return p.re.MatchString(arg)
	}
	return p.text == arg
}

// allows tells whether argv, the program's path included, fits.
func (p program) allows(argv []string) bool {
	args := argv[1:]
	if argv[0] != p.Path || len(args) < len(p.patterns) || len(args) > len(p.patterns) && !p.open {
		return false
	}
	for i, arg := range p.patterns {
		if !arg.matches(args[i]) {
			return false
		}
	}
	return true
}

// scope is a grant in force.
type scope struct {
	programs []program
	spec     jail.Spec // but for program, arguments and input
}

func newScope(raw json.RawMessage) (*scope, error) {
	var f scopeFields
	if err := capability.DecodeScope(raw, "programs", &f); err != nil {
		return nil, err
	}
	if len(f.Programs) == 0 || len(f.Programs) > maxPrograms {
		return nil, capability.Errorf(capability.Invalid, "programs has %d entries; name 1 to %d", len(f.Programs), maxPrograms)
	}
	s := &scope{programs: f.Programs, spec: jail.Spec{
		ReadOnly: f.ReadOnly, Wall: time.Duration(f.Wall), OutputBytes: int(f.OutputBytes), BestEffort: f.Jail == "best-effort",
		Limits: jail.Limits{Memory: int64(f.Memory), CPU: time.Duration(f.CPU), Files: f.Files, Processes: f.Processes, Tmp: int64(f.Tmp)}}}
	if f.Jail != "" && f.Jail != "strict" && !s.spec.BestEffort {
		return nil, capability.Errorf(capability.Invalid, "jail is %q; write \"strict\" or \"best-effort\"", f.Jail)
	}
	if f.OutputBytes > capability.MaxBytes {
		return nil, capability.Errorf(capability.Invalid, "output_bytes is %d; %d is the most", f.OutputBytes, capability.MaxBytes)
	}
	for _, name := range slices.Sorted(maps.Keys(f.Env)) {
		if name == "" || strings.Contains(name, "=") {
			return nil, capability.Errorf(capability.Invalid, "env: %q is not the name of a variable", name)
		}
		s.spec.Env = append(s.spec.Env, name+"="+f.Env[name])
	}
	for _, p := range s.programs {
		spec := s.spec
		spec.Path = p.Path
		if err := spec.Validate(); err != nil {
			return nil, err
		}
	}
	return s, nil
}
