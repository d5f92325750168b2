package contract

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of a contract. Every text within the first is parsed in a few milliseconds.
const (
	// MaxSource is how many bytes a text may have.
	MaxSource = 16 << 10
	// MaxAssertions is how many assertions it may have.
	MaxAssertions = 128
	// MaxDepth is how deep and, or and not may be nested.
	MaxDepth = 32
	// MaxSet is how many elements a set may have.
	MaxSet = 256
	// MaxProgram is how many instructions the assertions of one hook may take.
	MaxProgram = 16 << 10
	// MaxBranches is how many of these may be conditional jumps. The kernel's verifier takes
	// 8192 in a row; the rest is for what comes before the assertions.
	MaxBranches = 8000
	// MaxErrors is how many faults are reported.
	MaxErrors = 10
)

// Contract is what a text means: assertions that hold at each event, or it is refused.
type Contract struct {
	assertions []assertion
	costs      [Fork + 1]cost // of each hook's program
}

// assertion is one condition and the hooks it is judged at.
type assertion struct {
	at        Position
	hooks     hooks
	condition condition
}

// Parse reads a contract. Its error is of type [Errors]. A text without assertions is a
// contract that permits everything.
func Parse(source string) (*Contract, error) {
	if len(source) > MaxSource {
		return nil, Errors{fault(Position{1, 1}, "the contract has %d bytes; %d are possible", len(source), MaxSource)}
	}
	if at, bad := firstInvalid(source); bad {
		return nil, Errors{fault(at, "the contract is not UTF-8")}
	}
	p := newParser(source)
	c := &Contract{}
	var faults Errors
	for len(faults) < MaxErrors {
		s, err := p.statement()
		if err == nil && s == nil {
			break
		}
		if err == nil && len(c.assertions) == MaxAssertions {
			faults = append(faults, fault(s.at, "this is assertion %d; %d are possible", MaxAssertions+1, MaxAssertions))
			break
		}
		if err == nil {
			err = c.add(s)
		}
		if err != nil {
			faults = append(faults, err)
		}
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return c, nil
}

func firstInvalid(source string) (Position, bool) {
	at := Position{1, 1}
	for i, r := range source {
		if _, size := utf8.DecodeRuneInString(source[i:]); r == utf8.RuneError && size == 1 {
			return at, true
		}
		if at.Column++; r == '\n' {
			at = Position{at.Line + 1, 1}
		}
	}
	return at, false
}

func (c *Contract) add(s *statement) *Error {
	checked, err := check(s)
	if err != nil {
		return err
	}
	costs, more := c.costs, checked.cost()
	for _, h := range Hooks {
		if !checked.hooks.concern(h) {
			continue
		}
		costs[h] = cost{costs[h].instructions + more.instructions, costs[h].branches + more.branches}
		switch {
		case costs[h].instructions > MaxProgram:
			return fault(s.at, "here the program for %s has more than %d instructions; shorter sets or fewer paths are needed", h, MaxProgram)
		case costs[h].branches > MaxBranches:
			return fault(s.at, "here the program for %s has more than %d branches; shorter sets or fewer paths are needed", h, MaxBranches)
		}
	}
	c.assertions, c.costs = append(c.assertions, checked), costs
	return nil
}

// Len is how many assertions there are.
func (c *Contract) Len() int { return len(c.assertions) }

// Concerns tells whether an assertion is judged at a hook. Elsewhere the contract permits.
func (c *Contract) Concerns(h Hook) bool {
	return slices.ContainsFunc(c.assertions, func(a assertion) bool { return a.hooks.concern(h) })
}

// String is the contract in its shortest form, an assertion a line. It parses to the same
// contract, but for the places of its errors. It may be longer than [MaxSource].
func (c *Contract) String() string {
	var b strings.Builder
	for _, a := range c.assertions {
		b.WriteString(text(a.condition, false))
		b.WriteByte('\n')
	}
	return b.String()
}
