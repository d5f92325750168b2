package document

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pyisolate/pyisolate/internal/near"
)

// Problem is one fault of a document.
type Problem struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
	// Message says what is wrong.
	Message string `json:"message"`
	// Hint says what to write instead; it may be empty.
	Hint string `json:"hint,omitempty"`
	// Source is the line of the text, shortened where it is long.
	Source string `json:"source,omitempty"`
	// caret is the column in Source that Column is at.
	caret int
}

// Error is the problem on one line.
func (p *Problem) Error() string {
	text := fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
	if p.Hint != "" {
		text += "; " + p.Hint
	}
	return text
}

// Text is the problem as compilers print it, on several lines: with the line of the source
// and a mark below the place.
func (p *Problem) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: %s\n", p.File, p.Line, p.Column, p.Message)
	if p.Source != "" {
		fmt.Fprintf(&b, "%5d | %s\n      | %s^\n", p.Line, p.Source, strings.Repeat(" ", max(0, p.caret-1)))
	}
	if p.Hint != "" {
		fmt.Fprintf(&b, "      = %s\n", p.Hint)
	}
	return b.String()
}

// Problems are the faults of a document in its order, [MaxProblems] at most. There is at
// least one.
type Problems []*Problem

// Error has a problem a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Text is all of them as [Problem.Text] prints one.
func (p Problems) Text() string {
	var b strings.Builder
	for _, one := range p {
		b.WriteString(one.Text())
	}
	return b.String()
}

// Unwrap gives each to errors.As.
func (p Problems) Unwrap() []error {
	list := make([]error, len(p))
	for i, one := range p {
		list[i] = one
	}
	return list
}

// reporter collects problems of one text.
type reporter struct {
	file     string
	lines    []string
	problems Problems
}

// at reports a problem. The hint may be empty.
func (r *reporter) at(pos Pos, hint, format string, args ...any) {
	r.add(pos, hint, fmt.Sprintf(format, args...))
}

func (r *reporter) add(pos Pos, hint, message string) {
	if len(r.problems) >= MaxProblems {
		return
	}
	p := &Problem{File: r.file, Line: max(pos.Line, 1), Column: max(pos.Column, 1), Message: escapeControls(message), Hint: escapeControls(hint)}
	if p.Line <= len(r.lines) {
		p.Source, p.caret = excerpt(r.lines[p.Line-1], p.Column)
	}
	r.problems = append(r.problems, p)
}

// err is what was reported, in order; nil without any.
func (r *reporter) err() error {
	if len(r.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(r.problems, func(a, b *Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return r.problems
}

// maxExcerpt is how many characters of a line are shown.
const maxExcerpt = 120

// excerpt is the part of a line around a column, and where that column is in it. What
// would move a terminal's cursor is shown as a question mark.
func excerpt(line string, column int) (string, int) {
	runes := []rune(line)
	from := 0
	if len(runes) > maxExcerpt {
		from = min(max(0, column-maxExcerpt/2), len(runes)-maxExcerpt)
		runes = runes[from : from+maxExcerpt]
	}
	for i, c := range runes {
		if c == '\t' {
			runes[i] = ' '
		} else if control(c) || c == utf8.RuneError {
			runes[i] = '?'
		}
	}
	return strings.TrimRight(string(runes), " "), column - from
}

// meant proposes the name that is most like the one written; empty if none is.
func meant(written string, names []string) string {
	best := near.Name(written, names)
	if best == "" {
		return ""
	}
	return fmt.Sprintf("did you mean %s?", best)
}
