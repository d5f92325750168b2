package jail

import (
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pyisolate/pyisolate/broker/capability"
)

// Spec says what to run and with what. Zero fields are their defaults.
type Spec struct {
	// Path of the program, absolute; Args is its argv, the name included.
	Path string
	Args []string
	// Env is the whole environment.
	Env   []string
	Stdin []byte
	// ReadOnly are the files and directories it sees, at the places they have
	// outside. Nil is [DefaultReadOnly]. The program itself is always there.
	ReadOnly []string
	Limits
	// Wall is how long it may run. Default 10s.
	Wall time.Duration
	// OutputBytes bounds standard output and standard error, each; a program that
	// writes more is killed. Default 256 KiB.
	OutputBytes int
	// BestEffort runs it also when layers are missing.
	BestEffort bool
	// UID and GID, as seen from outside, when the node is root; else it is the
	// node's own. Default 65534.
	UID, GID int

	// deny are layers to report as refused, for tests. They are still made.
	deny []string
}

// Limits are the program's resource limits, for each of its processes unless said
// otherwise.
type Limits struct {
	// Memory is the size of the address space in bytes. Default 512 MiB.
	Memory int64 `json:"memory"`
	// CPU time. It is rounded up to seconds. Default 10s.
	CPU time.Duration `json:"cpu"`
	// Files that may be open. Default 64.
	Files int `json:"files"`
	// Processes and threads there may be, over all. Default 32.
	Processes int `json:"processes"`
	// Tmp is the size of /tmp, the one place that can be written to, in bytes. It
	// counts as memory. Default 16 MiB; negative for none.
	Tmp int64 `json:"tmp"`
}

// DefaultReadOnly is what dynamically linked programs need. What does not exist is
// left out.
var DefaultReadOnly = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/alternatives"}

// DefaultOutputBytes is the default of [Spec.OutputBytes].
const DefaultOutputBytes = 256 << 10

const nobody = 65534

func (s Spec) withDefaults() Spec {
	set(&s.Wall, 10*time.Second)
	set(&s.CPU, 10*time.Second)
	set(&s.OutputBytes, DefaultOutputBytes)
	set(&s.Memory, 512<<20)
	set(&s.Files, 64)
	set(&s.Processes, 32)
	set(&s.Tmp, 16<<20)
	set(&s.UID, nobody)
	set(&s.GID, nobody)
	if s.ReadOnly == nil {
		s.ReadOnly = DefaultReadOnly
	}
	if len(s.Args) == 0 {
		s.Args = []string{s.Path}
	}
	return s
}

func set[T int | int64 | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// Validate reports the first bad field.
func (s Spec) Validate() error {
	if err := validPath(s.Path, "/proc", "/dev"); err != nil {
		return err
	}
	for _, p := range s.ReadOnly {
		if err := validPath(p, "/proc", "/dev", "/tmp"); err != nil {
			return err
		}
	}
	for _, word := range append(slices.Clip(s.Args), s.Env...) {
		if strings.ContainsRune(word, 0) {
			return capability.Errorf(capability.Invalid, "an argument or variable has a NUL byte")
		}
	}
	for _, limit := range []int64{s.Memory, int64(s.Wall), int64(s.CPU), int64(s.Files), int64(s.Processes), int64(s.OutputBytes), int64(s.UID), int64(s.GID)} {
		if limit < 0 {
			return capability.Errorf(capability.Invalid, "limit %d: only tmp can be negative", limit)
		}
	}
	return nil
}

// validPath: own are the directories that the jail makes itself.
func validPath(p string, own ...string) error {
	if !filepath.IsAbs(p) || filepath.Clean(p) != p || p == "/" || strings.ContainsRune(p, 0) {
		return capability.Errorf(capability.Invalid, "path %q must be absolute, without '.' and '..', and not '/'", p)
	}
	if within(p, own) {
		return capability.Errorf(capability.Invalid, "%s cannot be shown: the jail has directories of its own there", p)
	}
	return nil
}

// Result is how a program ended.
type Result struct {
	// Exit status, or -1 and the signal's name.
	Exit   int
	Signal string
	// Killed says why we ended it: "wall", "output" or "".
	Killed         string
	Stdout, Stderr []byte
	Duration       time.Duration
	// Layers that held, and those that are Missing with why.
	Layers  []string
	Missing []string
}

// The layers.
const (
	layerUser    = "user namespace"
	layerMount   = "mount namespace"
	layerPID     = "pid namespace"
	layerNet     = "network namespace"
	layerIPC     = "ipc namespace"
	layerUTS     = "uts namespace"
	layerCgroup  = "cgroup namespace"
	layerRoot    = "root directory"
	layerProc    = "/proc"
	layerUID     = "uid"
	layerCaps    = "capabilities"
	layerNoPrivs = "no_new_privs"
	layerLimits  = "rlimits"
	layerSeccomp = "seccomp"
)

// required are the layers without which nothing runs. The user namespace is a way
// to have the others; /proc is a convenience that some containers refuse.
var required = []string{layerMount, layerPID, layerNet, layerIPC, layerUTS, layerRoot, layerUID, layerCaps, layerNoPrivs, layerLimits, layerSeccomp}
