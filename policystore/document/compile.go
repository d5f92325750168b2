package document

import (
	"errors"
	"fmt"
	"slices"

	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/kernel/contract"
	"github.com/pyisolate/pyisolate/kernel/policy"
)

// Compile makes of a sandbox what the layers below enforce. An empty name is the only
// sandbox there is. The error is of type [Problems] if the document is at fault: something
// in it that cannot be enforced, or a plug-in's key that is not registered.
func (d *Document) Compile(name string, o Options) (*Compiled, error) {
	s, err := d.choose(name)
	if err != nil {
		return nil, err
	}
	c := compiling{reporter: &reporter{file: d.file, lines: d.lines}, s: d.effective(s), o: o}
	c.out = &Compiled{Sandbox: s.name, File: d.file, keys: o.Keys}
	c.simple()
	c.limits()
	c.files()
	c.networks()
	c.text()
	c.contract()
	c.extra()
	if err := c.err(); err != nil {
		return nil, err
	}
	if err := c.out.Policy.Validate(); err != nil {
		return nil, fmt.Errorf("document: %s: sandbox %s: %w", d.file, s.name, err) // found above, or a fault of ours
	}
	c.out.Hash = c.out.hash()
	return c.out, nil
}

// Check compiles every sandbox and reports what is wrong with any.
func (d *Document) Check(o Options) error {
	all := &reporter{file: d.file, lines: d.lines}
	seen := map[string]bool{}
	for _, name := range d.Sandboxes() {
		_, err := d.Compile(name, o)
		problems, ok := err.(Problems) //nolint:errorlint // Compile wraps no Problems
		if err != nil && !ok {
			return err
		}
		for _, p := range problems { // a parent's are each child's, too
			if text := p.Error(); !seen[text] && len(all.problems) < MaxProblems {
				seen[text] = true
				all.problems = append(all.problems, p)
			}
		}
	}
	return all.err()
}

func (d *Document) choose(name string) (*sandbox, error) {
	if name == "" {
		if len(d.sandboxes) == 1 {
			return d.sandboxes[0], nil
		}
		return nil, fmt.Errorf("%s has several sandboxes: choose one of %s", d.file, d.list())
	}
	if s := d.named(name); s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("%s has no sandbox %s; it has %s", d.file, shown(name), d.list())
}

// compiling fills one Compiled in.
type compiling struct {
	*reporter
	s   *sandbox
	o   Options
	out *Compiled
}

func (c *compiling) simple() {
	s, out := c.s, c.out
	out.Imports, out.imports = s.imports.list(), s.imports.names
	out.Backend = cell.Backend(s.backend.value)
	out.Dialect = s.dialect.value
	out.NUMA = s.numa.value
	out.Grants = c.grants()
	if s.restart.set {
		restart := s.restart.value
		out.Restart = &restart
	}
	if s.checkpoint.set {
		checkpoint := s.checkpoint.value
		out.Checkpoint = &checkpoint
	}
}

// grants lists those of the sandbox, by name.
func (c *compiling) grants() (list []capability.Grant) {
	for _, name := range sortedKeys(c.s.capabilities.byName) {
		g := c.s.capabilities.byName[name]
		list = append(list, g.grant)
		if c.o.Grant == nil {
			continue
		}
		if err := c.o.Grant(g.grant); err != nil {
			c.at(g.at, "see docs/capabilities.md", "grant %s: %s", name, capabilityText(err))
		}
	}
	return list
}

func (c *compiling) limits() {
	s := c.s
	l := cell.Limits{
		Memory: s.mem.value, CPU: milliseconds(s.cpuMS.value), CPUWindow: s.cpu.value.period, CPUPerWindow: s.cpu.value.cpu,
		Wall: s.wall.value, Output: s.output.value, Files: int(s.files.value), Children: int(s.children.value),
		MessageBytes: int(s.message.value), QueueItems: int(s.queue.value),
	}
	if err := l.WithDefaults().Validate(); err != nil {
		c.at(s.at, "", "%v", err) // the keys' own bounds are the same, so this is a fault of ours
	}
	c.out.Limits = l
	c.out.Policy.Children = l.Children
	c.out.Policy.Quotas = policy.Quotas{Sent: s.sent.value, Received: s.received.value, Connects: s.connects.value, Opens: s.opens.value, Bandwidth: s.bandwidth.value}
}

// contract joins the contracts, which are valid one by one, into one.
func (c *compiling) contract() {
	texts := c.s.contracts.texts
	if len(texts) == 0 {
		return
	}
	joined := c.s.contracts.join()
	if _, err := contract.Parse(joined); err != nil {
		// Each is valid: their sum is too much.
		message := err.Error()
		if faults := (contract.Errors)(nil); errors.As(err, &faults) {
			message = faults[0].Text
		}
		c.at(texts[len(texts)-1].at, "take some out", "the contracts of sandbox %s, with those it inherits: %s", c.s.name, message)
	}
	c.out.Policy.Contract = joined
}

func (c *compiling) extra() {
	for _, e := range c.s.extra {
		k := c.o.Keys.named(e.name)
		if k == nil {
			hint := meant(e.name, c.o.Keys.Names())
			if hint == "" {
				hint = c.o.Keys.list()
			}
			c.at(e.at, hint, "no plug-in has the key %s%s", extraPrefix, e.name)
			continue
		}
		value, err := k.Decode(slices.Clone(e.value))
		if err != nil {
			c.at(e.at, "", "%s%s: %v", extraPrefix, e.name, err)
			continue
		}
		if c.out.Extra == nil {
			c.out.Extra, c.out.extraSource = map[string]any{}, map[string]string{}
		}
		c.out.Extra[e.name], c.out.extraSource[e.name] = value, string(e.value)
	}
}
