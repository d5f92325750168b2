package policystore

import "fmt"

// limits bound the state. They are the same on all nodes, whatever their configuration:
// which entries are refused, and what is dropped, is part of what the log means. Audit
// records alone are bounded by the rate of changes only.
type limits struct {
	policies  uint64 // names, including deleted ones that are kept
	versions  uint64 // that are kept, of all policies
	textBytes uint64 // of their texts; equal ones of one tenant once
	tokens    uint64
	perPolicy uint64 // versions that are kept of each
	changes   uint64 // kept for watchers
	requests  uint64 // remembered

	// logBytes is after how much of the log a snapshot is taken. It bounds this node's log
	// and not the state.
	logBytes int64
}

var standardLimits = limits{
	policies:  10_000,
	versions:  1_000_000,
	textBytes: 256 << 20,
	tokens:    10_000,
	perPolicy: 1000,
	changes:   4096,
	requests:  4096,
	logBytes:  64 << 20,
}

// share of each bound is what one tenant may have, and what is left to principals of all
// tenants when the others have filled the rest: a quarter.
const share = 4

// counts is how much there is of what is bounded.
type counts struct{ policies, versions, textBytes, tokens uint64 }

func (c *counts) add(o counts) {
	c.policies += o.policies
	c.versions += o.versions
	c.textBytes += o.textBytes
	c.tokens += o.tokens
}

func (c *counts) subtract(o counts) {
	c.policies -= o.policies
	c.versions -= o.versions
	c.textBytes -= o.textBytes
	c.tokens -= o.tokens
}

// bound is one that would be exceeded; zero for none.
type bound struct {
	what   string
	most   uint64
	tenant string // whose share it is, "" for all together
}

const policiesBound = "policies"

func (b bound) String() string {
	s := fmt.Sprintf("more than %d %s", b.most, b.what)
	if b.tenant != "" {
		s += " of tenant " + b.tenant
	}
	return s
}

// exceeds is the first bound on what is asked for, of the part of l that is given, that is
// exceeded.
func (c counts) exceeds(l limits, asked counts, times, parts uint64) bound {
	for _, b := range []struct {
		have, most, asked uint64
		what              string
	}{
		{c.policies, l.policies, asked.policies, policiesBound}, {c.versions, l.versions, asked.versions, "versions"},
		{c.textBytes, l.textBytes, asked.textBytes, "bytes of texts"}, {c.tokens, l.tokens, asked.tokens, "tokens"},
	} {
		if most := b.most * times / parts; b.asked > 0 && b.have > most {
			return bound{what: b.what, most: most}
		}
	}
	return bound{}
}
