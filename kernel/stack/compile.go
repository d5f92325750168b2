package stack

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/cgroup"
	"github.com/pyisolate/pyisolate/kernel/contract"
	"github.com/pyisolate/pyisolate/kernel/landlock"
	"github.com/pyisolate/pyisolate/kernel/policy"
	"github.com/pyisolate/pyisolate/kernel/probe"
	"github.com/pyisolate/pyisolate/kernel/seccomp"
)

// Options say for what to compile.
type Options struct {
	// Mode is Hardened by default.
	Mode Mode
	// Backend is the cell's.
	Backend seccomp.Backend
	// Features are the kernel's; nil is what probe.Host found.
	Features *probe.Features
	// Guard says what the node's programs hold. The zero Guard is none.
	Guard Guard
	// Groups are the controllers of the control groups that the node makes for cells.
	Groups []cgroup.Controller
	// Watched says that the node watches what cells do with paths, by evidence (package
	// notify); "" is that it does not.
	Watched string
	// Python are the rules that Python itself needs. Where the node watches, they are all
	// that Landlock gives.
	Python []policy.FileRule
	// Live says that the policy may be replaced while the cell runs: where the guard
	// judges a subject, rules that cannot be changed are left out of the other layers.
	Live bool
	// Threads are granted beyond what the policy says: a process cell has one that
	// watches it.
	Threads bool
}

// Guard is what the programs of package guard hold, as that tells.
type Guard struct {
	// Layer is LSM or Programs; "" where none are loaded.
	Layer    Layer
	Evidence string
	// Files are judged by path; Changes, too: making, renaming and removing them.
	Files, Changes bool
	// Network is judged by address and port.
	Network bool
	// What is counted, and bounded.
	Opens, Connects, Bytes, CPU bool
	// Contracts are the hooks where they are called.
	Contracts []contract.Hook
}

// Stack is a compiled policy.
type Stack struct {
	// Program is the cell's filter, nil where that layer is not active, and Grants what it has.
	Program *seccomp.Program
	Grants  seccomp.Grant
	// Notify is the filter that leaves paths to the node, nil where that layer is not active.
	Notify *seccomp.Program
	// Ruleset is its Landlock rules, nil where that layer is not active.
	Ruleset *landlock.Spec
	// Limits are its control group's, zero where that layer is not active.
	Limits cgroup.Limits
	// Bind says that its thread is to be bound to Policy in the guard.
	Bind   bool
	Policy policy.Policy
	Report Report
}

// compiler is one compilation.
type compiler struct {
	Options
	p     policy.Policy
	terms *contract.Contract
	stack Stack
	gaps  []landlock.Gap
}

// Compile makes the stack of p. In hardened mode it fails with ErrUnheld when a duty is
// not held; the Stack then has the report and nothing to put on.
func Compile(p policy.Policy, o Options) (Stack, error) {
	if err := p.Validate(); err != nil {
		return Stack{}, err
	}
	if o.Mode == "" {
		o.Mode = Hardened
	}
	if !slices.Contains(Modes, o.Mode) {
		return Stack{}, fmt.Errorf("stack: mode %q is not known", o.Mode)
	}
	if o.Features == nil {
		o.Features = probe.Host()
	}
	terms, err := contract.Parse(p.Contract)
	if err != nil {
		return Stack{}, fmt.Errorf("stack: contract: %w", err)
	}
	c := &compiler{Options: o, terms: terms, p: p, stack: Stack{Policy: p, Report: Report{Mode: o.Mode}}}
	for _, layer := range []func() error{c.guard, c.notify, c.landlock, c.seccomp, c.cgroup} {
		if err := layer(); err != nil {
			return Stack{}, err
		}
	}
	c.duties()
	if err := c.stack.Report.failure(); err != nil {
		return Stack{Policy: p, Report: c.stack.Report}, err
	}
	return c.stack, nil
}

func (c *compiler) layer(l Layer, active bool, evidence string, gaps ...string) {
	c.stack.Report.Layers = append(c.stack.Report.Layers, LayerRow{l, active, evidence, gaps})
}

const leftOut = "left out on purpose: compatibility mode"

func (c *compiler) guard() error {
	c.stack.Bind = c.Guard.Layer != ""
	if c.Guard.Layer != LSM {
		c.layer(LSM, false, "no programs are loaded; "+c.Features.Row(probe.BPFLSM).Answer)
	}
	if c.stack.Bind {
		var gaps []string
		if c.Guard.Files {
			_, gaps = policy.Prefixes(c.p.Files)
		}
		c.layer(c.Guard.Layer, true, c.Guard.Evidence, gaps...)
	}
	return nil
}

// filesLive and networkLive: the guard judges by rules that may be replaced.
func (c *compiler) filesLive() bool   { return c.Live && c.Guard.Files }
func (c *compiler) networkLive() bool { return c.Live && c.Guard.Network }

// leftToGuard is why Landlock has no rules for files.
const leftToGuard = "left out: the programs judge files, by rules that may be replaced"

func (c *compiler) landlock() error {
	row := c.Features.Row(probe.Landlock)
	switch {
	case !row.Works:
		c.layer(Landlock, false, row.Answer)
		return nil
	case c.Mode == Compatibility:
		c.layer(Landlock, false, leftOut)
		return nil
	case c.filesLive():
		c.layer(Landlock, false, leftToGuard)
		return nil
	}
	p := c.p
	if c.stack.Notify != nil {
		p.Files = c.Python // the node opens what else there is
	}
	spec, gaps, err := landlock.Compile(p, row.Value)
	if err != nil {
		return err
	}
	if c.networkLive() {
		spec.Net &^= unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
		spec.Ports = nil
	}
	var texts []string
	for _, g := range gaps {
		texts = append(texts, g.Text)
	}
	c.gaps, c.stack.Ruleset = gaps, &spec
	c.layer(Landlock, true, row.Answer, texts...)
	return nil
}

// notify is needed where rules for files may be replaced and no programs judge them.
func (c *compiler) notify() error {
	row := c.Features.Row(probe.SeccompFilter)
	if !c.Live || c.Guard.Files || c.Watched == "" || c.Mode == Compatibility || !row.Works {
		return nil
	}
	program, err := seccomp.CompileNotify("")
	if err != nil {
		return err
	}
	c.stack.Notify = &program
	c.layer(Notify, true, c.Watched)
	return nil
}

func (c *compiler) seccomp() error {
	row := c.Features.Row(probe.SeccompFilter)
	switch {
	case c.Mode == Compatibility:
		c.layer(Seccomp, false, leftOut)
		return nil
	case !c.Features.Works(probe.SeccompFilter, probe.SeccompKill):
		c.layer(Seccomp, false, row.Answer+"; "+c.Features.Row(probe.SeccompKill).Answer)
		return nil
	}
	o := seccomp.Options{Backend: c.Backend}
	if c.Threads || c.p.Children > 0 {
		o.Grants |= seccomp.Threads
	}
	if c.p.Connects() {
		o.Grants |= seccomp.Network
	}
	if c.p.Writes() && (c.Guard.Changes || c.stack.Notify != nil || c.stack.Ruleset != nil) {
		o.Grants |= seccomp.Write // somebody judges where
	}
	program, err := seccomp.Compile(o)
	if err != nil {
		return err
	}
	c.stack.Program, c.stack.Grants = &program, o.Grants
	c.layer(Seccomp, true, row.Answer)
	return nil
}

func (c *compiler) cgroup() error {
	q := c.p.Quotas
	l := cgroup.Limits{CPU: q.CPU, Period: q.CPUPeriod, Memory: q.Memory, Tasks: q.Tasks}
	if c.Backend == seccomp.SubInterpreter {
		l = cgroup.Limits{} // a thread is in its process's group
	}
	var missing []string
	for _, want := range []struct {
		controller cgroup.Controller
		wanted     bool
		drop       func()
	}{
		{cgroup.CPU, l.CPU > 0, func() { l.CPU, l.Period = 0, 0 }},
		{cgroup.Memory, l.Memory > 0, func() { l.Memory = 0 }},
		{cgroup.Tasks, l.Tasks > 0, func() { l.Tasks = 0 }},
	} {
		if want.wanted && !slices.Contains(c.Groups, want.controller) {
			want.drop()
			missing = append(missing, string(want.controller))
		}
	}
	c.stack.Limits = l
	active := l != (cgroup.Limits{})
	evidence := "the policy has no quotas for it"
	switch {
	case active:
		evidence = "a limit was given to a group"
	case len(missing) > 0:
		evidence = "no group can be bounded"
	}
	c.layer(Cgroup, active, evidence, missing...)
	return nil
}

// duties finds who holds what the policy asks for.
func (c *compiler) duties() {
	c.duty(SystemCalls, Seccomp, c.without(Seccomp))
	switch {
	case c.Guard.Files && (c.Guard.Changes || !c.p.Writes()):
		_, more := policy.Prefixes(c.p.Files)
		c.duty(Files, c.Guard.Layer, strings.Join(more, "; "))
	case c.stack.Notify != nil:
		c.duty(Files, Notify, c.without(Landlock)) // without it the node's rules would be all
	default:
		c.duty(Files, Landlock, c.filesMissing())
	}
	if c.Guard.Network && (c.Guard.Layer == LSM || c.without(Seccomp) == "") { // seccomp refuses the other families
		c.duty(Network, c.Guard.Layer, "")
	} else {
		c.duty(Network, Seccomp, c.networkMissing())
	}
	c.duty(Threads, Seccomp, c.without(Seccomp))
	c.quotas()
	c.totals()
	c.contracts()
}

// contracts is held where each hook that it concerns calls it.
func (c *compiler) contracts() {
	if c.terms.Len() == 0 {
		return
	}
	var missing []string
	for _, h := range contract.Hooks {
		if c.terms.Concerns(h) && !slices.Contains(c.Guard.Contracts, h) {
			missing = append(missing, h.String())
		}
	}
	words := ""
	if len(missing) > 0 {
		words = fmt.Sprintf("nothing calls it at %s; %s", strings.Join(missing, ", "), c.without(LSM))
	}
	c.duty(Contracts, c.Guard.Layer, words)
}

// quotas are those that control groups hold.
func (c *compiler) quotas() {
	l, q := c.stack.Limits, c.p.Quotas
	for _, d := range []struct {
		duty    Duty
		wanted  bool
		held    bool
		feature probe.Feature
	}{
		{Processor, q.CPU > 0, l.CPU > 0, probe.CgroupCPU},
		{Memory, q.Memory > 0, l.Memory > 0, probe.CgroupMemory},
		{Tasks, q.Tasks > 0, l.Tasks > 0, probe.CgroupTasks},
	} {
		if !d.wanted {
			continue
		}
		missing := ""
		switch {
		case d.held:
		case c.Backend == seccomp.SubInterpreter:
			missing = "cells that are threads of one process have no control group each; use backend process"
		default:
			missing = "the node makes no groups with it; " + c.Features.Row(d.feature).Answer
		}
		c.duty(d.duty, Cgroup, missing)
	}
}

// totals are those that programs hold.
func (c *compiler) totals() {
	q, g := c.p.Quotas, c.Guard
	for _, d := range []struct {
		duty         Duty
		wanted, held bool
	}{
		{TotalOpens, q.Opens > 0, g.Opens}, {TotalConnects, q.Connects > 0, g.Connects},
		{TotalBytes, q.Sent > 0 || q.Received > 0, g.Bytes}, {Bandwidth, q.Bandwidth > 0, g.Bytes}, {TotalCPU, q.CPUTotal > 0, g.CPU},
	} {
		if !d.wanted {
			continue
		}
		missing := ""
		if !d.held {
			missing = cmp.Or(c.without(LSM), "the programs that are loaded do not count it")
		}
		c.duty(d.duty, g.Layer, missing)
	}
}

func (c *compiler) duty(d Duty, by Layer, missing string) {
	row := DutyRow{Duty: d, Held: missing == "", Missing: missing}
	if row.Held {
		row.By = by
	}
	c.stack.Report.Duties = append(c.stack.Report.Duties, row)
}

// without says that a layer is not active and why, "" when it is.
func (c *compiler) without(l Layer) string {
	for _, row := range c.stack.Report.Layers {
		if row.Layer == l && !row.Active {
			return fmt.Sprintf("%s: %s", l, row.Evidence)
		}
	}
	return ""
}

// filesMissing says why Landlock does not hold the policy's files, "" when it does.
func (c *compiler) filesMissing() string {
	if missing := c.without(Landlock); missing != "" {
		return missing
	}
	return c.gapsOf(landlock.GapTruncate, landlock.GapNarrower, landlock.GapGlob)
}

func (c *compiler) gapsOf(kinds ...landlock.GapKind) string {
	var texts []string
	for _, g := range c.gaps {
		if slices.Contains(kinds, g.Kind) {
			texts = append(texts, g.Text)
		}
	}
	return strings.Join(texts, "; ")
}

// networkMissing says why there is network beyond the policy's, "" when there is not.
func (c *compiler) networkMissing() string {
	if missing := c.without(Seccomp); missing != "" {
		return missing
	}
	if !c.p.Connects() {
		return "" // no sockets at all
	}
	return "only programs judge addresses and UDP; " + c.without(LSM)
}
