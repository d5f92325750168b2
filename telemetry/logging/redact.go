package logging

import (
	"encoding"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Redacted stands for what is secret.
const Redacted = "[redacted]"

// secretNames are of attributes whose values nobody needs in a log, whatever they are. An
// identifier, as of a token, is not secret.
var secretNames = regexp.MustCompile(`(?i)(^|[_.\- ])(token|secret|password|passwd|passphrase|authorization|cookie|credentials?|(api|access|private|secret|signing|session)[_.\- ]?key|bearer)s?$`)

// shapes of secrets within texts; the first group, where there is one, stays.
var shapes = []*regexp.Regexp{
	regexp.MustCompile(`\bpyi_[A-Za-z0-9_-]{16,}`),                                            // tokens of nodes
	regexp.MustCompile(`(?i)\b((?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{8,}`),                   // of headers
	regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*`),           // JSON web tokens
	regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [^-]*-----|\z)`), // PEM
	regexp.MustCompile(`\b(?:AKIA|ASIA)[A-Z0-9]{16}\b`),
	regexp.MustCompile(`\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}|xox[a-z]-[A-Za-z0-9-]{10,}|sk-[A-Za-z0-9_-]{20,})`),
	regexp.MustCompile(`([a-z][a-z0-9+.-]*://)[^/\s:@]+:[^/\s@]+@`),                                                                 // a URL's user
	regexp.MustCompile(`(?i)("[^"]*(?:token|secret|password|passphrase|authorization|cookie|private_?key|api_?key)"\s*:\s*")[^"]+`), // JSON
	regexp.MustCompile(`(?i)([?&](?:token|secret|password|api_?key|access_token|signature|sig)=)[^&\s"']+`),
}

// Redact replaces what has the shape of a secret.
func Redact(s string) string {
	if len(s) < 8 || !suspicious(s) {
		return s
	}
	for _, shape := range shapes {
		s = shape.ReplaceAllString(s, "${1}"+Redacted)
	}
	return s
}

// suspicious is a quick look: most texts have nothing of any shape.
func suspicious(s string) bool {
	for _, mark := range []string{"pyi_", "eyJ", "PRIVATE KEY", "AKIA", "ASIA", "gh", "glpat-", "xox", "sk-", "://", "=", "earer", "asic", "EARER", "ASIC", `":`, `" :`} {
		if strings.Contains(s, mark) {
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

// replace is for slog: groups are never given to it.
func replace(_ []string, a slog.Attr) slog.Attr {
	a.Key = Clean(a.Key)
	if secretNames.MatchString(a.Key) {
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
