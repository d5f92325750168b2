package contract

import "net/netip"

// The typed tree. Each test is of values of its field's kind, can hold and can fail.
type (
	condition interface{}

	// several are conditions of which all must hold, or one. None is a several of the
	// same kind.
	several struct {
		or    bool
		terms []condition
	}
	inverse struct{ of condition }

	// test tells whether a field's value is among some. Only what the field's kind has
	// is set.
	test struct {
		at       Position
		field    *field
		spans    []span         // numbers: sorted, apart
		prefixes []netip.Prefix // addresses: none inside another
		paths    []string       // paths: sorted, different
		under    bool           // or anything below them
	}
)

// span is the numbers first to last, both included.
type span struct{ first, last uint64 }

// all calls f for each test of a condition.
func all(c condition, f func(*test)) {
	switch c := c.(type) {
	case *several:
		for _, t := range c.terms {
			all(t, f)
		}
	case *inverse:
		all(c.of, f)
	case *test:
		f(c)
	}
}
