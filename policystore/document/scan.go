package document

import (
	"cmp"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml/token"
)

// readLines checks the characters of a text and splits it. What would make people and the
// parser see different things is refused.
func readLines(r *reporter, text []byte) bool {
	if len(text) > MaxSize {
		r.at(Pos{1, 1}, "split it", "the document has %d bytes; %d are possible", len(text), MaxSize)
		return false
	}
	r.lines = strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	for i, line := range r.lines {
		line = strings.TrimSuffix(line, "\r")
		r.lines[i] = line
		if at, hint, message := badCharacter(line); at > 0 {
			r.add(Pos{i + 1, at}, hint, message)
		}
	}
	return len(r.problems) == 0
}

// badCharacter finds the first that no document may have, by its column from 1.
func badCharacter(line string) (column int, hint, message string) {
	for i, c := range line {
		column++
		if c >= ' ' && c < 0x7f {
			continue
		}
		switch _, size := utf8.DecodeRuneInString(line[i:]); {
		case c == utf8.RuneError && size == 1:
			return column, "save the file as UTF-8", "this is not UTF-8"
		case c == '\t':
			return column, `indent with spaces; inside double quotes \t is a tab`, "tabs are not allowed"
		case control(c):
			return column, "remove it, or write it as an escape inside double quotes", "an invisible control character is not allowed"
		}
	}
	return 0, "", ""
}

// control tells characters that are not seen, or reorder what is seen.
func control(c rune) bool {
	return unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c) || c == '\ufeff' || c == '\u2028' || c == '\u2029'
}

// refused are tokens that no document may have: what makes one text mean different things
// to different readers, or a short text a large value.
var refused = map[token.Type]struct{ hint, message string }{
	token.AnchorType:      {"write the value where it is used, or put it into a sandbox that others extend", "anchors are not allowed"},
	token.AliasType:       {"write the value out; if a * begins it, put it in quotes", "aliases are not allowed"},
	token.TagType:         {"leave it out; if a ! begins the value, put it in quotes", "tags are not allowed"},
	token.MergeKeyType:    {"use extends", "merge keys are not allowed"},
	token.DirectiveType:   {"leave it out", "directives are not allowed"},
	token.MappingKeyType:  {"write KEY: VALUE", "keys that are not words are not allowed"},
	token.DocumentEndType: {"leave it out", "a document end is not allowed"},
	token.FoldedType:      {`use | or quotes`, "folded text is not allowed"},
}

// maxColumn is how far right a structure may begin outside brackets: each level of a block
// takes a column at least, so that this bounds the parser's recursion.
const maxColumn = 256

// maxItems is how many entries one list may have.
const maxItems = MaxRules

// maxTokens is how many words, signs and comments a document may have: some eight for each
// of the most rules.
const maxTokens = 100_000

// checkTokens refuses what the parser should not even see. It bounds how much that is, how
// deep the parser recurses, and how many entries one map or list has: the parser's time
// grows with their square.
func checkTokens(r *reporter, tokens token.Tokens) bool {
	var s shape
	for i, t := range tokens {
		at := positionOf(t)
		if i == maxTokens {
			r.at(at, "split it", "the document has more than %d words and signs", maxTokens)
			return false
		}
		if bad, is := refused[t.Type]; is {
			r.at(at, bad.hint, "%s", bad.message)
		}
		if t.Type == token.DocumentHeaderType && !onlyComments(tokens[:min(i, MaxProblems)]) {
			r.at(at, "put each into a file of its own", "this is a second document")
		}
		if fault := s.next(t, at); fault != "" {
			r.at(at, "", "%s", fault)
			return false
		}
	}
	return len(r.problems) == 0
}

// shape follows the nesting of tokens, without knowing whether they are right.
type shape struct {
	// flow is what is open in brackets.
	flow []collection
	// block is what is open at each column outside brackets, in ascending order. A list may
	// begin at its key's column, so that each may be a map and a list.
	block []collection
}

// collection counts the entries of a map and the items of a list.
type collection struct{ column, entries, items int }

// next says what is too much; empty if nothing is.
func (s *shape) next(t *token.Token, at Pos) string {
	switch t.Type {
	case token.SequenceStartType, token.MappingStartType:
		if s.flow = append(s.flow, collection{}); len(s.flow) > MaxDepth {
			return fmt.Sprintf("brackets are nested deeper than %d levels", MaxDepth)
		}
	case token.SequenceEndType, token.MappingEndType:
		s.flow = s.flow[:max(0, len(s.flow)-1)]
	case token.CollectEntryType: // a comma
		return s.enter(at.Column, 0, 1)
	case token.SequenceEntryType:
		return s.enter(at.Column, 0, 1)
	case token.MappingValueType:
		return s.enter(positionOf(cmp.Or(t.Prev, t)).Column, 1, 0)
	}
	return ""
}

// enter counts an entry or an item that begins at a column.
func (s *shape) enter(column, entries, items int) string {
	if len(s.flow) == 0 && column > maxColumn {
		return fmt.Sprintf("this is indented by more than %d columns", maxColumn)
	}
	c := s.at(column)
	c.entries += entries
	c.items += items
	switch {
	case c.entries > MaxKeys:
		return fmt.Sprintf("there are more than %d keys in one map", MaxKeys)
	case c.items > maxItems:
		return fmt.Sprintf("there are more than %d entries in one list", maxItems)
	}
	if entries > 0 && len(s.flow) == 0 {
		c.items = 0 // the list of the key before has ended
	}
	return ""
}

// at is what is open at a column. What was deeper outside brackets has ended.
func (s *shape) at(column int) *collection {
	if n := len(s.flow); n > 0 {
		return &s.flow[n-1]
	}
	for len(s.block) > 0 && s.block[len(s.block)-1].column > column {
		s.block = s.block[:len(s.block)-1]
	}
	if n := len(s.block); n == 0 || s.block[n-1].column < column {
		s.block = append(s.block, collection{column: column})
	}
	return &s.block[len(s.block)-1]
}

func onlyComments(tokens token.Tokens) bool {
	for _, t := range tokens {
		if t.Type != token.CommentType {
			return false
		}
	}
	return true
}

func positionOf(t *token.Token) Pos {
	if t == nil || t.Position == nil {
		return Pos{}
	}
	return Pos{t.Position.Line, t.Position.Column}
}
