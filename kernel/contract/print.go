package contract

import (
	"strconv"
	"strings"
)

// text is a condition as it would be written; inside of others in brackets if need be.
func text(c condition, inside bool) string {
	switch c := c.(type) {
	case *several:
		word := " and "
		if c.or {
			word = " or "
		}
		parts := make([]string, len(c.terms))
		for i, t := range c.terms {
			parts[i] = text(t, !c.or)
		}
		s := strings.Join(parts, word)
		if inside {
			s = "(" + s + ")"
		}
		return s
	case *inverse:
		if t, ok := c.of.(*test); ok {
			return t.text(true)
		}
		return "not " + text(c.of, true)
	case *test:
		return c.text(false)
	}
	return ""
}

// text is the test, or what is so when it does not hold.
func (t *test) text(not bool) string {
	operator, operand := t.operation()
	switch {
	case !not && operator == "":
		return t.field.name
	case !not:
	case operator == "==":
		operator = "!="
	case operator == "in" || operator == "under":
		operator = "not " + operator
	case operator == "":
		return "not " + t.field.name
	default:
		return "not " + t.field.name + " " + operator + " " + operand
	}
	return t.field.name + " " + operator + " " + operand
}

// operation is the shortest operator and operand; both are empty for a flag.
func (t *test) operation() (operator, operand string) {
	elements := t.elements()
	set := "{" + strings.Join(elements, ", ") + "}"
	switch {
	case t.field.kind == kindFlag:
		return "", ""
	case t.under && len(elements) == 1:
		return "under", elements[0]
	case t.under:
		return "under", set
	case t.single():
		return "==", elements[0]
	case len(t.spans) == 1 && t.spans[0].first == 0:
		return t.upTo(t.spans[0].last)
	case len(t.spans) == 1 && t.spans[0].last == t.field.kind.last():
		return ">=", numberText(t.field.kind, t.spans[0].first)
	default:
		return "in", set
	}
}

// single tells whether there is one value that fits.
func (t *test) single() bool {
	switch {
	case len(t.spans) == 1:
		return t.spans[0].first == t.spans[0].last
	case len(t.prefixes) == 1:
		return t.prefixes[0].IsSingleIP()
	default:
		return len(t.paths) == 1
	}
}

// upTo writes an upper bound: "< 1h" and not "<= 3599999999999ns".
func (t *test) upTo(last uint64) (operator, operand string) {
	to := numberText(t.field.kind, last)
	if last < t.field.kind.last() {
		if below := numberText(t.field.kind, last+1); len(below) < len(to) {
			return "<", below
		}
	}
	return "<=", to
}

func (t *test) elements() []string {
	var list []string
	for _, s := range t.spans {
		element := numberText(t.field.kind, s.first)
		if s.last != s.first {
			element += ".." + numberText(t.field.kind, s.last)
		}
		list = append(list, element)
	}
	for _, p := range t.prefixes {
		if p.IsSingleIP() {
			list = append(list, p.Addr().String())
		} else {
			list = append(list, p.String())
		}
	}
	for _, p := range t.paths {
		list = append(list, quote(p))
	}
	return list
}

// numberText writes a number in its largest whole unit, or by its name.
func numberText(k kind, n uint64) string {
	for name, number := range enumerations[k] {
		if n == number {
			return name
		}
	}
	for _, u := range units[k] {
		if n%u.size == 0 && (n != 0 || u.size == 1) && u.name != "B" {
			return strconv.FormatUint(n/u.size, 10) + u.name
		}
	}
	return strconv.FormatUint(n, 10)
}

// quote writes a string so that the lexer reads it back.
func quote(s string) string { return strconv.Quote(s) }
