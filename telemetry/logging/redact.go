package logging

import (
	"encoding"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Redacted stands for what is secret.
const Redacted = "[redacted]"

// secretWords end names of what nobody needs in a log, whatever it is.
const secretWords = `(?:token|secret|password|passwd|passphrase|authorization|cookie|credentials?|bearer|(?:api|access|private|secret|signing|session)[_.\- ]?key)`

var (
	// secretNames are of attributes. An identifier, as of a token, is not secret.
	secretNames = regexp.MustCompile(`(?i)^(?:(?:.*[_.\- ])?` + secretWords + `s?|key)$`)
	// humps are where a name like accessToken has a word's end.
	humps = regexp.MustCompile(`([a-z0-9])([A-Z])|([A-Z])([A-Z][a-z])`)
)

// secretName reports whether what has the name is secret.
func secretName(name string) bool {
	return hasName(name) && (secretNames.MatchString(name) || secretNames.MatchString(humps.ReplaceAllString(name, "${1}${3}_${2}${4}")))
}

// shape is that of a secret within a text.
type shape struct {
	is   *regexp.Regexp
	with string // what it becomes; $1 stays
}

var shapes = []shape{
	{regexp.MustCompile(`\bpyi_[A-Za-z0-9_-]{16,}`), Redacted},                                            // tokens of nodes
	{regexp.MustCompile(`\bpyjoin[0-9]+_[A-Za-z0-9_-]{16,}`), Redacted},                                   // and those that nodes join with
	{regexp.MustCompile(`(?i)\b((?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{8,}`), "${1}" + Redacted},          // of headers
	{regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*`), Redacted},           // JSON web tokens
	{regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [^-]*-----|\z)`), Redacted}, // PEM
	{regexp.MustCompile(`\b(?:AKIA|ASIA)[A-Z0-9]{16}\b`), Redacted},
	{regexp.MustCompile(`\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}|xox[a-z]-[A-Za-z0-9-]{10,}|sk-[A-Za-z0-9_-]{20,})`), Redacted},
	{regexp.MustCompile(`([a-z][a-z0-9+.-]*://)[^/\s:@]+:[^/\s@]+@`), "${1}" + Redacted}, // a URL's user
	// What has a name in JSON: a text, a list, or an object without others in it.
	{regexp.MustCompile(`(?i)("(?:[^"]*` + secretWords + `s?|key)"\s*:\s*)(?:"(?:[^"\\]|\\.)*"?|\[[^\]]*\]?|\{[^}]*\}?)`), `${1}"` + Redacted + `"`},
	{regexp.MustCompile(`(?i)(\bcookie\s*:\s*)[^\r\n]+`), "${1}" + Redacted},
	// And in a message, a URL's query or a header.
	{regexp.MustCompile(`(?i)((?:` + secretWords + `|\bsig|signature)\s*[=:]\s*(?:(?:bearer|basic)\s+)?)(?:"[^"]*"?|'[^']*'?|[^\s&,;"']+)`), "${1}" + Redacted},
}

// Redact replaces what has the shape of a secret.
func Redact(s string) string {
	if len(s) < 8 || !suspicious(s) {
		return s
	}
	for _, one := range shapes {
		s = one.is.ReplaceAllString(s, one.with)
	}
	return s
}

// marks are of which each shape that has no name has one; names are parts of those of the others.
var (
	marks = []string{"pyi_", "pyjoin", "eyJ", "PRIVATE KEY", "AKIA", "ASIA", "gh", "glpat-", "xox", "sk-", "://", "earer", "asic", "EARER", "ASIC"}
	names = []string{"token", "secret", "passw", "passphrase", "authorization", "cookie", "credential", "bearer", "key", "sig"}
)

// suspicious is a quick look: most texts have nothing of any shape.
func suspicious(s string) bool {
	for _, mark := range marks {
		if strings.Contains(s, mark) {
			return true
		}
	}
	return strings.ContainsAny(s, "=:") && hasName(s)
}

func hasName(s string) bool {
	s = strings.ToLower(s)
	for _, name := range names {
		if strings.Contains(s, name) {
			return true
		}
	}
	return false
}

// Clean writes what could end a line, move a cursor or turn text around as an escape.
func Clean(s string) string {
	if clean(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case !unicode.IsPrint(r) && r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case !unicode.IsPrint(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
		i += size
	}
	return b.String()
}

func clean(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' {
			return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
		}
	}
	return true
}

// replace is for slog: groups are never given to it, but their names are. In one that is secret,
// all is but an identifier.
func replace(groups []string, a slog.Attr) slog.Attr {
	a.Key = Clean(a.Key)
	if secretName(a.Key) || a.Key != "id" && slices.ContainsFunc(groups, secretName) {
		return slog.String(a.Key, Redacted)
	}
	switch a.Value.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(Clean(Redact(a.Value.String())))
	case slog.KindAny:
		a.Value = plain(a.Value.Any())
	}
	return a
}

// plain is what a value that is no plain one is logged as: its text, where it has one, or its
// JSON.
func plain(v any) (out slog.Value) {
	defer func() {
		if p := recover(); p != nil { // of a method of the value: a log is no place to die
			out = slog.StringValue(fmt.Sprintf("!PANIC in a %T", v))
		}
	}()
	text := ""
	switch v := v.(type) {
	case nil:
		return slog.AnyValue(nil)
	case *slog.Source, slog.Level:
		return slog.AnyValue(v)
	case error:
		text = v.Error()
	case encoding.TextMarshaler:
		b, err := v.MarshalText()
		if text = string(b); err != nil {
			text = "!ERROR: " + err.Error()
		}
	case fmt.Stringer:
		text = v.String()
	case []byte:
		text = string(v)
	default:
		b, err := json.Marshal(v)
		if text = string(b); err != nil {
			text = fmt.Sprint(v)
		}
	}
	return slog.StringValue(Clean(Redact(text)))
}
