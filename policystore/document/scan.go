package document

import (
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

// checkTokens refuses what the parser should not even see, and bounds how deep it recurses.
func checkTokens(r *reporter, tokens token.Tokens) bool {
	depth := 0
	for i, t := range tokens {
		at := positionOf(t)
		if bad, is := refused[t.Type]; is {
			r.at(at, bad.hint, "%s", bad.message)
		}
		switch t.Type {
		case token.DocumentHeaderType:
			if i > 0 && !onlyComments(tokens[:i]) {
				r.at(at, "put each into a file of its own", "this is a second document")
			}
		case token.SequenceStartType, token.MappingStartType:
			if depth++; depth > MaxDepth {
				r.at(at, "", "brackets are nested deeper than %d levels", MaxDepth)
				return false
			}
		case token.SequenceEndType, token.MappingEndType:
			depth--
		case token.SequenceEntryType, token.MappingValueType:
			if depth <= 0 && at.Column > maxColumn {
				r.at(at, "", "this is indented by more than %d columns", maxColumn)
				return false
			}
		}
	}
	return len(r.problems) == 0
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
