package document

import "time"

// Version 0.1 has what 1.0 has, and takes some values in forms that 1.0 refuses. They are
// read as their meaning: the canonical form is in version 1.0.

// LegacySandbox is the name of the sandbox that a document of version 0.1 without
// `sandboxes` describes with the keys at its top.
const LegacySandbox = "default"

// legacyKeys read a value of version 0.1 into a sandbox, and say whether it is one; what is
// not is read as in 1.0.
var legacyKeys = map[string]func(p parsing, s *sandbox, value *node) bool{
	// An integer is bytes.
	"mem": func(p parsing, s *sandbox, value *node) bool {
		return p.again("mem", "mem_bytes", s.mem.set, s.mem.at, value) || isDecimal(value) && legacyMemory(p, s, value)
	},
	"mem_bytes": func(p parsing, s *sandbox, value *node) bool {
		return p.again("mem_bytes", "mem", s.mem.set, s.mem.at, value) || legacyMemory(p, s, value)
	},
	// An integer is milliseconds, and so is a duration without a window: of the whole life.
	"cpu": func(p parsing, s *sandbox, value *node) bool {
		k := keysByName["cpu_ms"]
		ms := value
		if !isDecimal(value) {
			d, err := ParseDuration(value.text)
			if value.kind != scalarNode || err != nil {
				return false
			}
			ms = number(d / time.Millisecond)
			ms.at = value.at
		}
		if !p.again("cpu without a window", "cpu_ms", s.cpuMS.set, s.cpuMS.at, value) {
			s.cpuMS.decode(p.reporter, k, ms)
		}
		return true
	},
	"cpu_ms": func(p parsing, s *sandbox, value *node) bool {
		return p.again("cpu_ms", "cpu without a window", s.cpuMS.set, s.cpuMS.at, value)
	},
}

// again reports a value that was given by its other name before: the later one would replace
// the earlier in silence.
func (p parsing) again(name, other string, set bool, first Pos, value *node) bool {
	if set {
		p.at(value.at, "write one of them", "%s is the same as %s on line %d", name, other, first.Line)
	}
	return set
}

func legacyMemory(p parsing, s *sandbox, value *node) bool {
	k := keysByName["mem"]
	if v, ok := p.integer(value, "mem in bytes", k.least, k.most); ok {
		s.mem.give(v, value.at)
	}
	return true
}

func isDecimal(n *node) bool { return n.kind == scalarNode && n.plain && decimalRE.MatchString(n.text) }

func (p parsing) legacyKey(s *sandbox, pair pair) bool {
	read := legacyKeys[pair.key.text]
	return read != nil && read(p, s, pair.value)
}

// legacy reads the keys at the top, whose first is at a place, as those of one sandbox.
func (p parsing) legacy(root *node, first Pos) {
	if len(p.d.sandboxes) > 0 {
		p.at(first, "move the keys at the top into one of the sandboxes", "the document has sandboxes, and keys of a sandbox beside them")
		return
	}
	s := &sandbox{name: LegacySandbox, at: first}
	for _, pair := range root.pairs {
		if isSandboxKey(pair.key.text) {
			p.key(s, pair, false)
		}
	}
	s.extra = mergeExtra(nil, s.extra)
	p.d.sandboxes = append(p.d.sandboxes, s)
}
