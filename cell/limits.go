package cell

import (
	"fmt"
	"regexp"
	"time"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

// Backend names how a cell is packed into processes.
type Backend string

const (
	// SubInterpreter packs one tenant's cells as threads of one host process.
	// It separates cells by CPython's own means only: see SECURITY.md.
	SubInterpreter Backend = "subinterpreter"
	// Process gives each cell a process and, where the kernel allows,
	// namespaces of its own.
	Process Backend = "process"
)

// Dialect names the language exec accepts.
type Dialect string

const (
	// Python is the whole language.
	Python Dialect = "python"
	// Restricted is assignments, expressions and move-only ownership.
	Restricted Dialect = "restricted"
)

// Defaults and bounds. A zero field of [Limits] means its default.
const (
	DefaultMemory       = 128 << 20
	MinMemory           = 4 << 20
	DefaultMessageBytes = 1 << 20
	MaxMessageBytes     = 64 << 20
	DefaultQueueItems   = 1024
	MaxQueueItems       = 1 << 20
	DefaultFiles        = 64
)

// Limits bound one cell. The zero value is the default of each field.
type Limits struct {
	// Memory in bytes the guest may hold. Default 128 MiB, at least 4 MiB.
	// Interpreter start-up is not charged.
	Memory int64 `json:"memory,omitempty"`
	// CPU is the total CPU time of the cell's life; 0 is unlimited.
	CPU time.Duration `json:"cpu,omitempty"`
	// CPUWindow and CPUPerWindow bound CPU time in each window of wall time;
	// 0 is unlimited. Exceeding it ends the running operation; the next window
	// starts anew.
	CPUWindow    time.Duration `json:"cpu_window,omitempty"`
	CPUPerWindow time.Duration `json:"cpu_per_window,omitempty"`
	// Wall bounds each exec or call; 0 is unlimited (the context still counts).
	Wall time.Duration `json:"wall,omitempty"`
	// Output is the total of posted, logged, metric and result bytes; 0 is unlimited.
	Output int64 `json:"output,omitempty"`
	// Files the guest may hold open. Default 64.
	Files int `json:"files,omitempty"`
	// Children is how many threads may be alive beside the cell's own, of which there
	// are 256 at most. Default 0: none. Processes are never allowed.
	Children int `json:"children,omitempty"`
	// MessageBytes bounds one value or source text. Default 1 MiB, at most 64 MiB.
	MessageBytes int `json:"message_bytes,omitempty"`
	// QueueItems bounds inbox and outbox, each. Default 1024. A guest that
	// posts into a full outbox waits until somebody receives.
	QueueItems int `json:"queue_items,omitempty"`
}

// WithDefaults returns l with every zero field that has a default replaced.
func (l Limits) WithDefaults() Limits {
	setDefault(&l.Memory, DefaultMemory)
	setDefault(&l.MessageBytes, DefaultMessageBytes)
	setDefault(&l.QueueItems, DefaultQueueItems)
	setDefault(&l.Files, DefaultFiles)
	return l
}

func setDefault[T int | int64](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// Validate reports the first field out of its range.
func (l Limits) Validate() error {
	for _, f := range []struct {
		name      string
		v, lo, hi int64
		say       func(int64) string
	}{
		{"memory", l.Memory, MinMemory, 1 << 46, InBytes},
		{"cpu", int64(l.CPU), 0, 1 << 62, InTime},
		{"cpu per window", int64(l.CPUPerWindow), 0, 1 << 62, InTime},
		{"wall", int64(l.Wall), 0, 1 << 62, InTime},
		{"output", l.Output, 0, 1 << 62, InBytes},
		{"files", int64(l.Files), 0, 1 << 20, InNumber},
		{"children", int64(l.Children), 0, 1 << 16, InNumber},
		{"message", int64(l.MessageBytes), 1 << 10, MaxMessageBytes, InBytes},
		{"queue items", int64(l.QueueItems), 1, MaxQueueItems, InNumber},
	} {
		if f.v < f.lo || f.v > f.hi {
			return Errorf(Invalid, "limit %s is %s; it must be between %s and %s", f.name, f.say(f.v), f.say(f.lo), f.say(f.hi))
		}
	}
	if (l.CPUPerWindow == 0) != (l.CPUWindow == 0) {
		return Errorf(Invalid, "limit cpu per window needs both a budget and a window")
	}
	if l.CPUWindow != 0 && l.CPUWindow < 10*time.Millisecond {
		return Errorf(Invalid, "limit cpu window is %s; it must be at least 10ms", l.CPUWindow)
	}
	return nil
}

// InBytes, InTime and InNumber tell a limit's number with its unit.
func InBytes(n int64) string { return fmt.Sprintf("%d bytes", n) }

// InTime is of nanoseconds.
func InTime(n int64) string { return time.Duration(n).String() }

// InNumber is of what is counted.
func InNumber(n int64) string { return fmt.Sprint(n) }

var nameRE = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// ValidName reports an error unless name matches ^[A-Za-z0-9_-]{1,64}$.
// what is the word for the thing named, used in the message.
func ValidName(what, name string) error {
	if nameRE.MatchString(name) {
		return nil
	}
	return Errorf(Invalid, "%s name %q is not valid: use 1 to 64 letters, digits, '_' or '-'", what, name)
}

// Spec is what a cell is claimed with.
type Spec struct {
	// Tenant and Name match ^[A-Za-z0-9_-]{1,64}$. An empty Tenant is
	// "default"; an empty Name is made up.
	Tenant, Name string
	// Backend defaults to SubInterpreter, or to what a launcher's mode makes it.
	Backend Backend
	// Imports the guest may name, "*" for all but the forbidden ones. A name
	// grants its submodules.
	Imports []string
	Limits  Limits
	// Policy is what the guest may do by itself, without a request: files by their
	// paths, addresses that it connects to. Children is taken from Limits, and so is
	// Quotas.Memory when 0. Nil: Python's own library and nothing else.
	Policy *policy.Policy
	// NUMA is the node of the machine that its host is to be on: "node 1", or "auto" for
	// the launcher's choice, which is the default. The tenant's cells on one node share a
	// host, as far as their policies permit.
	NUMA string
	// Sink receives what the guest says; nil discards it.
	Sink Sink
}

// Validate fills the defaults in and reports the first bad field.
func (s *Spec) Validate() error {
	if s.Tenant == "" {
		s.Tenant = "default"
	}
	if s.Backend == "" {
		s.Backend = SubInterpreter
	}
	if s.Backend != SubInterpreter && s.Backend != Process {
		return Errorf(Invalid, "backend %q is not known: use %q or %q", s.Backend, SubInterpreter, Process)
	}
	if err := ValidName("tenant", s.Tenant); err != nil {
		return err
	}
	if s.Name != "" {
		if err := ValidName("cell", s.Name); err != nil {
			return err
		}
	}
	for _, m := range s.Imports {
		if !importRE.MatchString(m) {
			return Errorf(Invalid, "import %q is not a module name", m)
		}
	}
	if len(s.Imports) > 1024 {
		return Errorf(Invalid, "%d imports are allowed at most, not %d", 1024, len(s.Imports))
	}
	s.Limits = s.Limits.WithDefaults()
	if err := s.Limits.Validate(); err != nil || s.Policy == nil {
		return err
	}
	if err := s.Policy.Validate(); err != nil {
		return Errorf(Invalid, "%v", err)
	}
	return nil
}

var importRE = regexp.MustCompile(`^(\*|[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*)$`)

func (b Backend) String() string { return string(b) }

var _ fmt.Stringer = Backend("")
