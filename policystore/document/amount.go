package document

// amount is how much a sandbox has, with what it inherits. It bounds what compiling takes
// before anything is compiled.
type amount struct {
	rules, globs, networks, hosts, imports, contracts, capabilities int
}

func (s *sandbox) amount() amount {
	globs := 0
	for _, r := range s.fs.rules {
		if r.pattern.glob != "" {
			globs++
		}
	}
	hosts := 0
	for _, r := range s.net.rules {
		if r.host != "" {
			hosts++
		}
	}
	return amount{len(s.fs.rules) + len(s.net.rules), globs, len(s.net.rules) - hosts, hosts, len(s.imports.names), len(s.contracts.texts), len(s.capabilities.byName)}
}

func (a amount) plus(b amount) amount {
	return amount{a.rules + b.rules, a.globs + b.globs, a.networks + b.networks, a.hosts + b.hosts, a.imports + b.imports, a.contracts + b.contracts, a.capabilities + b.capabilities}
}

// The bounds of a sandbox with what it inherits, each entry counted as often as it is
// written. That of rules is MaxRules.
const (
	maxImports      = 1024
	maxContracts    = 128
	maxCapabilities = 256
	// maxText is how many bytes the paths, globs and modules may have that a cell's gate is
	// told of, each with what goes along with it. The gate has 6 KiB more, for Python's own
	// library.
	maxText  = 250 << 10
	perFile  = 6
	perNames = 1
	// maxCompiled bounds the rules of all sandboxes together.
	maxCompiled = 10 * MaxRules
)

// checkAmounts reports sandboxes that have too much. There are no cycles.
func (p parsing) checkAmounts() {
	known := map[*sandbox]amount{}
	total := 0
	for _, s := range p.d.sandboxes {
		a := p.d.amount(s, known)
		for _, bound := range []struct {
			what       string
			count, max int
		}{{"rules", a.rules, MaxRules}, {"rules with wildcards", a.globs, MaxGlobs}, {"networks", a.networks, MaxNetworks}, {"rules with host names", a.hosts, MaxHosts}, {"imports", a.imports, maxImports}, {"contracts", a.contracts, maxContracts}, {"capabilities", a.capabilities, maxCapabilities}} {
			if bound.count > bound.max {
				p.at(s.at, "take some out", "sandbox %s has %d %s with those it inherits; %d are possible", s.name, bound.count, bound.what, bound.max)
			}
		}
		before := total
		if total += a.rules; total > maxCompiled && before <= maxCompiled {
			p.at(s.at, "use several documents", "all sandboxes together, with what they inherit, have more than %d rules", maxCompiled)
		}
	}
}

// amount is that of a sandbox with the defaults and all its parents.
func (d *Document) amount(s *sandbox, known map[*sandbox]amount) amount {
	if a, ok := known[s]; ok {
		return a
	}
	parent := d.defaults.amount()
	if s.extends != "" {
		parent = d.amount(d.named(s.extends), known)
	}
	known[s] = parent.plus(s.amount())
	return known[s]
}

// text bounds the bytes of the paths and modules of a compiled sandbox.
func (c *compiling) text() {
	n := 0
	for _, r := range c.out.Policy.Files {
		n += len(r.Path) + len(r.Glob) + perFile
	}
	for _, name := range c.out.Imports {
		n += len(name) + perNames
	}
	if n > maxText {
		c.at(c.s.at, "take some out, or give directories instead of files", "the paths and modules of sandbox %s, with those it inherits, take %d bytes; %d are possible", c.s.name, n, maxText)
	}
}
