package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Effective is one setting as it is in force, fit to be shown: without secrets.
type Effective struct {
	Key    string   `json:"key"`
	Values []string `json:"values"`
	// Origin is where the value is from: a flag, a variable, FILE:LINE, or "default".
	Origin string `json:"origin"`
}

// Effective has every setting, in the order of [Settings].
func (l *Loaded) Effective() (all []Effective) {
	resolved := *l
	resolved.Node = l.Node.Resolved()
	for _, s := range Settings {
		values := slices.Clone(s.get(&resolved))
		if s.hide != nil {
			for i := range values {
				values[i] = s.hide(values[i])
			}
		}
		all = append(all, Effective{Key: s.Key, Values: slices.DeleteFunc(values, func(v string) bool { return v == "" }),
			Origin: cmp.Or(l.origins[s.Key], "default")})
	}
	return all
}

// YAML is the setting as a line of a configuration file; one without a value is a comment.
func (e Effective) YAML() string {
	switch s := named(e.Key); {
	case len(e.Values) == 0:
		return "# " + e.Key + ":"
	case s.Kind == List:
		return e.Key + ": [" + strings.Join(quoted(e.Values), ", ") + "]"
	default:
		return e.Key + ": " + quoted(e.Values)[0]
	}
}

// quoted are values that YAML reads as the texts that they are.
func quoted(values []string) (out []string) {
	for _, v := range values {
		if strings.ContainsFunc(v, func(r rune) bool { return strings.ContainsRune(":#,[]{}\"'\\&*!|>%@` \t\n\r", r) || r < ' ' || r > '~' }) || strings.HasPrefix(v, "-") || strings.HasPrefix(v, "0") && v != "0" {
			v = "\"" + escaped(v) + "\""
		}
		out = append(out, v)
	}
	return out
}

// escaped is the inside of a text in double quotes, all of it printable: who shows it escapes nothing again.
func escaped(v string) string {
	var b strings.Builder
	for _, r := range v {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, "\\U%08x", r)
		}
	}
	return b.String()
}
