package launch

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/wire"
	"github.com/pyisolate/pyisolate/kernel/landlock"
	"github.com/pyisolate/pyisolate/kernel/policy"
	"github.com/pyisolate/pyisolate/kernel/probe"
	"github.com/pyisolate/pyisolate/kernel/seccomp"
	"github.com/pyisolate/pyisolate/kernel/stack"
)

// confinement is what the kernel holds the cells of one backend by.
type confinement struct {
	landlock []byte // nil: not put on
	layers   *wire.Layers
	report   *cell.Confinement
	err      error // hardened mode, and the kernel lacks a layer
}

// confine compiles what the cells of a host put on by a policy. The kernel is probed once a
// process, which takes some tens of milliseconds.
func confine(backend cell.Backend, config Config, r ruling) *confinement {
	mode, p := config.Confinement, r.policy
	o := stack.Options{Mode: mode, Backend: seccomp.SubInterpreter, Features: probe.Host(), Threads: true,
		Guard: config.Kernel.Facts(), Groups: config.Kernel.Controllers(), Watched: config.Kernel.Watches(), Python: pythonFiles(config.Python), Live: r.fit.own}
	if backend == cell.Process {
		o.Backend = seccomp.Process
	}
	s, err := stack.Compile(policy.Policy{Files: merge(o.Python, p.Files), Net: p.Net, Quotas: p.Quotas, Contract: p.Contract}, o)
	c := &confinement{report: confinementReport(s.Report)}
	if err != nil {
		c.err = cell.Errorf(cell.PolicyDenied, "%s mode: %v", mode, err)
		return c
	}
	c.landlock, err = encodeRuleset(s)
	if err == nil {
		c.layers, err = encodeFilters(s)
	}
	if err == nil && s.Program != nil && backend == cell.SubInterpreter {
		c.layers.Host, err = hostFilter(s.Grants)
	}
	if err != nil {
		c.err = cell.Errorf(cell.PolicyDenied, "confine cells: %v", err)
	}
	return c
}

// gaps are what a layer does not judge of the policy.
func (c *confinement) gaps(l stack.Layer) []string {
	if c == nil {
		return nil
	}
	for _, row := range c.report.Layers {
		if row.Name == string(l) {
			return row.Gaps
		}
	}
	return nil
}

// pythonFiles are what Python reads, as far as they exist: what its own code is made of,
// and what every program may know. The audit hook has a list of its own for guests; what
// no guest may open is not here either.
func pythonFiles(p Python) []policy.FileRule {
	paths := []string{p.Stdlib, "/usr/share/zoneinfo", "/dev/null", "/dev/urandom"}
	if filepath.Dir(filepath.Dir(p.Lib)) != p.Home {
		// One of the system's: its extension modules need the system's libraries.
		paths = append(paths, "/usr/lib", "/lib", "/lib64", "/usr/local/lib", "/etc/ld.so.cache")
	}
	var rules []policy.FileRule
	seen := map[string]bool{}
	for _, path := range paths {
		real, err := filepath.EvalSymlinks(path)
		if err != nil || !filepath.IsAbs(real) || seen[real] {
			continue
		}
		seen[real] = true
		rules = append(rules, policy.FileRule{Path: real, Access: policy.Read})
	}
	return rules
}

// guardFiles are the same for the guard, which also judges code that is mapped, and the null
// device's being written to.
func guardFiles(p Python) []policy.FileRule {
	rules := pythonFiles(p)
	for i := range rules {
		rules[i].Access |= policy.Execute
		if rules[i].Path == os.DevNull {
			rules[i].Access |= policy.Write
		}
	}
	return rules
}

// merge adds a policy's rules to those that Python needs.
func merge(python, own []policy.FileRule) []policy.FileRule {
	type about struct{ path, glob string }
	rules := make([]policy.FileRule, 0, len(python)+len(own))
	at := make(map[about]int, cap(rules))
	for _, r := range slices.Concat(python, own) {
		of := about{r.Path, r.Glob}
		if i, there := at[of]; there {
			rules[i].Access |= r.Access
			continue
		}
		at[of] = len(rules)
		rules = append(rules, r)
	}
	return rules
}

// hostFilter is for the whole process in which cells are threads.
func hostFilter(g seccomp.Grant) ([]byte, error) {
	filter, err := seccomp.CompileHost("", g)
	if err != nil {
		return nil, err
	}
	return filter.MarshalBinary()
}

func encodeRuleset(s stack.Stack) ([]byte, error) {
	if s.Ruleset == nil {
		return nil, nil
	}
	rules := *s.Ruleset
	// The null device may be written to; by the policy, that would give the calls that
	// make and remove files, too.
	rules.Paths = append(rules.Paths[:len(rules.Paths):len(rules.Paths)],
		landlock.PathRule{Path: os.DevNull, Access: unix.LANDLOCK_ACCESS_FS_WRITE_FILE & rules.FS})
	return rules.MarshalBinary()
}

func encodeFilters(s stack.Stack) (*wire.Layers, error) {
	layers := &wire.Layers{}
	var err error
	if s.Notify != nil {
		if layers.Notify, err = s.Notify.MarshalBinary(); err != nil {
			return nil, err
		}
	}
	if s.Program != nil {
		layers.Seccomp, err = s.Program.MarshalBinary()
	}
	return layers, err
}

func confinementReport(r stack.Report) *cell.Confinement {
	c := &cell.Confinement{Mode: string(r.Mode)}
	for _, l := range r.Layers {
		c.Layers = append(c.Layers, cell.Layer{Name: string(l.Layer), Active: l.Active, Evidence: l.Evidence, Gaps: l.Gaps})
	}
	for _, d := range r.Unheld() {
		c.Unheld = append(c.Unheld, fmt.Sprintf("%s: %s", d.Duty, d.Missing))
	}
	return c
}
