package document

import (
	"regexp"
	"strconv"
	"strings"
)

// ambiguous are words that some YAML reader takes for a truth value or for nothing.
var ambiguous = map[string]bool{
	"y": true, "yes": true, "n": true, "no": true, "on": true, "off": true,
	"true": true, "false": true, "null": true, "~": true,
}

func isNull(text string) bool { return text == "~" || strings.EqualFold(text, "null") }

// numberRE is what some YAML reader takes for a number or a date.
var numberRE = regexp.MustCompile(`^([-+]?([0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?|\.[0-9_]+([eE][-+]?[0-9]+)?|0[xX][0-9a-fA-F_]+|0[oO]?[0-7_]+|0[bB][01_]+|\.(inf|Inf|INF)|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)|\.(nan|NaN|NAN)|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ].*)?)$`)

// word reads a scalar as text. Without quotes it must be text to every YAML reader.
func (r *reporter) word(n *node, what string) (string, bool) {
	switch {
	case n.kind != scalarNode:
		r.at(n.at, "write "+what, "%s stands where %s is expected", n.kind, what)
	case n.empty():
		r.at(n.at, "write "+what, "there is no value")
	case n.plain && ambiguous[strings.ToLower(n.text)]:
		r.at(n.at, `write "`+n.text+`" if the word is meant`, "%s without quotes is a word to some readers and a truth value to others", n.text)
	case n.plain && numberRE.MatchString(n.text):
		r.at(n.at, `write "`+n.text+`" if the text is meant`, "%s without quotes is a number, and %s is expected", n.text, what)
	case n.text == "":
		r.at(n.at, "write "+what, "the text is empty")
	default:
		return n.text, true
	}
	return "", false
}

// words reads one word, or a list of them.
func (r *reporter) words(n *node, what string) []*node {
	items := []*node{n}
	if n.kind == sequenceNode {
		items = n.items
	}
	var out []*node
	for _, item := range items {
		if _, ok := r.word(item, what); ok {
			out = append(out, item)
		}
	}
	return out
}

// decimalRE is a whole number that means the same to every reader.
var decimalRE = regexp.MustCompile(`^(0|[1-9][0-9]*)$`)

// integer reads a whole number between two bounds.
func (r *reporter) integer(n *node, what string, least, most int64) (int64, bool) {
	if n.kind != scalarNode || n.empty() {
		r.at(n.at, "", "%s is a whole number from %d to %d", what, least, most)
		return 0, false
	}
	if !n.plain {
		r.at(n.at, "leave the quotes away", "%s is a number, and this is text", what)
		return 0, false
	}
	if !decimalRE.MatchString(n.text) {
		hint := ""
		if v, err := strconv.ParseInt(n.text, 0, 64); err == nil && v >= 0 {
			hint = "write it in decimal, without signs, underscores and zeros in front"
		}
		r.at(n.at, hint, "%s is a whole number from %d to %d, and not %s", what, least, most, shown(n.text))
		return 0, false
	}
	v, err := strconv.ParseInt(n.text, 10, 64)
	if err != nil || v < least || v > most {
		r.at(n.at, "", "%s is %s; it must be from %d to %d", what, n.text, least, most)
		return 0, false
	}
	return v, true
}

// choice reads one word of a list.
func (r *reporter) choice(n *node, what string, of []string) (string, bool) {
	text, ok := r.word(n, "one of "+strings.Join(of, ", "))
	if !ok {
		return "", false
	}
	for _, one := range of {
		if text == one {
			return text, true
		}
	}
	hint := meant(text, of)
	if hint == "" {
		hint = "write " + strings.Join(of, " or ")
	}
	r.at(n.at, hint, "%s %s is not known", what, shown(text))
	return "", false
}

// jsonNumberRE is a number in JSON, in decimal.
var jsonNumberRE = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)
