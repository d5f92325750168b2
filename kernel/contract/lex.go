package contract

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// tokenKind tells tokens apart.
type tokenKind uint8

const (
	tokenEnd    tokenKind = iota // of the text
	tokenBreak                   // between assertions
	tokenWord                    // names, numbers, addresses: what it is, its place decides
	tokenString                  // text is without quotes
	tokenSign                    // operators and brackets
)

type token struct {
	kind tokenKind
	text string
	at   Position
}

// signs, those that begin with another before it.
var signs = []string{"<=", ">=", "==", "!=", "=>", "..", "<", ">", "(", ")", "{", "}", ","}

// hints are for characters that other languages have.
var hints = map[rune]string{
	'=':  "; equality is ==",
	'/':  `; a path is in quotes, as "/data"`,
	'\'': `; strings are in double quotes`,
	'&':  "; there are and, or and not",
	'|':  "; there are and, or and not",
	'!':  "; there are and, or and not",
}

// lexer cuts a text into tokens. Lines do not end an assertion inside brackets.
type lexer struct {
	rest  string
	at    Position
	depth int // of brackets
}

// advance takes n bytes, none of them a line's end.
func (l *lexer) advance(n int) string {
	text := l.rest[:n]
	l.rest = l.rest[n:]
	l.at.Column += utf8.RuneCountInString(text)
	return text
}

// next returns the next token. After an error the rest of the line has been skipped.
func (l *lexer) next() (token, *Error) {
	if t, done := l.space(); done {
		return t, nil
	}
	if l.rest == "" {
		return token{kind: tokenEnd, at: l.at}, nil
	}
	at := l.at
	if n := wordLength(l.rest); n > 0 {
		return token{tokenWord, l.advance(n), at}, nil
	}
	if l.rest[0] == '"' {
		return l.text()
	}
	for _, s := range signs {
		if strings.HasPrefix(l.rest, s) {
			l.bracket(s)
			return token{tokenSign, l.advance(len(s)), at}, nil
		}
	}
	r, _ := utf8.DecodeRuneInString(l.rest)
	return token{at: at}, fault(at, "%q means nothing here%s", r, hints[r])
}

func (l *lexer) bracket(sign string) {
	switch sign {
	case "(", "{":
		l.depth++
	case ")", "}":
		l.depth--
	}
}

// space skips what means nothing, and returns the break between assertions if there is one.
func (l *lexer) space() (token, bool) {
	for l.rest != "" {
		switch at := l.at; l.rest[0] {
		case ' ', '\t', '\r':
			l.advance(1)
		case '#':
			l.skipLine()
		case '\n':
			l.rest = l.rest[1:]
			l.at = Position{l.at.Line + 1, 1}
			if l.depth <= 0 {
				return token{tokenBreak, "the end of the line", at}, true
			}
		case ';':
			l.advance(1)
			return token{tokenBreak, ";", at}, true
		default:
			return token{}, false
		}
	}
	return token{}, false
}

func (l *lexer) skipLine() {
	n := strings.IndexByte(l.rest, '\n')
	if n < 0 {
		n = len(l.rest)
	}
	l.advance(n)
}

// wordLength is how many bytes of s are one word. Addresses have dots, colons and slashes;
// two dots are a range.
func wordLength(s string) int {
	for i := range len(s) {
		switch c := s[i]; {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '_':
		case i > 0 && c == '/', c == ':':
		case i > 0 && c == '.' && !strings.HasPrefix(s[i:], ".."):
		default:
			return i
		}
	}
	return len(s)
}

// text reads a string; its escapes are Go's.
func (l *lexer) text() (token, *Error) {
	at := l.at
	quoted, err := strconv.QuotedPrefix(l.rest)
	if err != nil {
		return token{at: at}, fault(at, `the string does not end on this line, or has an escape other than \" \\ \n \t \xNN \uNNNN`)
	}
	value, err := strconv.Unquote(quoted)
	if err != nil {
		return token{at: at}, fault(at, "the string cannot be read: %v", err)
	}
	l.advance(len(quoted))
	return token{tokenString, value, at}, nil
}
