package contract

import (
	"fmt"
	"strings"
)

// Position is a place in a contract's text: a line, and in it a character, both from 1.
// The zero Position is nowhere.
type Position struct {
	Line, Column int
}

func (p Position) String() string { return fmt.Sprintf("%d:%d", p.Line, p.Column) }

// Error is one fault of a contract's text.
type Error struct {
	Position Position
	// Text says what is wrong and what to write instead.
	Text string
}

func (e *Error) Error() string { return "contract:" + e.Position.String() + ": " + e.Text }

func fault(at Position, format string, args ...any) *Error {
	return &Error{at, fmt.Sprintf(format, args...)}
}

// Errors are the faults of a text in its order, at most [MaxErrors]. There is one for each
// assertion at most: what follows a fault is often its consequence.
type Errors []*Error

func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives each fault to errors.As.
func (e Errors) Unwrap() []error {
	list := make([]error, len(e))
	for i, one := range e {
		list[i] = one
	}
	return list
}

// meant is a name that is near the one written, as a hint; empty if none is.
func meant(written string, names []string) string {
	best, least := "", 3
	for _, name := range names {
		if d := distance(strings.ToLower(written), strings.ToLower(name)); d < least && d < len(name) {
			best, least = name, d
		}
	}
	if best == "" {
		return ""
	}
	return "; " + best + " is near"
}

// distance counts the changes, removals and additions of bytes from a to b (Levenshtein).
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := corner
			if a[i] != b[j] {
				change++
			}
			corner = row[j+1]
			row[j+1] = min(change, row[j]+1, corner+1)
		}
	}
	return row[len(b)]
}
