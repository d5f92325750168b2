package contract

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

// check gives a statement its meaning.
func check(s *statement) (assertion, *Error) {
	c, err := typed(s.condition)
	if err != nil {
		return assertion{}, err
	}
	if depth(c) > MaxDepth {
		return assertion{}, tooDeep(s.at)
	}
	h, err := judgedAt(c)
	return assertion{s.at, h, c}, err
}

func tooDeep(at Position) *Error {
	return fault(at, "conditions are nested too deeply; %d levels are possible", MaxDepth)
}

func depth(c condition) int {
	deepest := 0
	switch c := c.(type) {
	case *several:
		for _, t := range c.terms {
			deepest = max(deepest, depth(t))
		}
	case *inverse:
		deepest = depth(c.of)
	}
	return deepest + 1
}

// judgedAt are the hooks that are asked: those of the event that is spoken of; if of none,
// those that move a counter.
func judgedAt(c condition) (hooks, *Error) {
	var event *test
	var moves hooks
	var err *Error
	all(c, func(t *test) {
		moves |= t.field.moves
		switch {
		case t.field.hook == 0:
		case event == nil:
			event = t
		case event.field.hook != t.field.hook && err == nil:
			err = fault(t.at, "%s is never known together with %s; write two assertions", t.field.name, event.field.name)
		}
	})
	if event != nil {
		return hooksOf(event.field.hook), err
	}
	return moves, err
}

func typed(e expression) (condition, *Error) {
	switch e := e.(type) {
	case implication:
		premise, err := typed(negation{e.premise})
		if err != nil {
			return nil, err
		}
		conclusion, err := typed(e.conclusion)
		return flat(true, premise, conclusion), err
	case junction:
		terms := make([]condition, len(e.terms))
		for i, term := range e.terms {
			var err *Error
			if terms[i], err = typed(term); err != nil {
				return nil, err
			}
		}
		return flat(e.or, terms...), nil
	case negation:
		of, err := typed(e.of)
		if twice, ok := of.(*inverse); ok {
			return twice.of, err
		}
		return &inverse{of}, err
	default:
		return e.(comparison).typed()
	}
}

// flat joins conditions, and takes in the terms of those that are joined likewise.
func flat(or bool, terms ...condition) condition {
	s := &several{or: or}
	for _, t := range terms {
		if inner, ok := t.(*several); ok && inner.or == or {
			s.terms = append(s.terms, inner.terms...)
		} else {
			s.terms = append(s.terms, t)
		}
	}
	return s
}

// typed checks one comparison by the kind of its field.
func (c comparison) typed() (condition, *Error) {
	f := fieldNamed(c.field.text)
	if f == nil {
		if first := c.field.text[0]; '0' <= first && first <= '9' {
			return nil, fault(c.field.at, "%.40s is no field; the field comes first, as in opens <= 100", c.field.text)
		}
		return nil, fault(c.field.at, "there is no field %.40s%s", c.field.text, meant(c.field.text, fieldNames()))
	}
	if err := c.fits(f); err != nil {
		return nil, err
	}
	t := &test{at: c.field.at, field: f}
	var err *Error
	switch f.kind {
	case kindFlag:
	case kindAddress:
		err = t.addresses(c)
	case kindPath:
		err = t.path(c)
	default:
		err = t.numbers(c)
	}
	if err != nil {
		return nil, err
	}
	if c.negated || c.operator == "!=" {
		return &inverse{t}, nil
	}
	return t, nil
}

// fits tells whether the operator is one of the field's kind.
func (c comparison) fits(f *field) *Error {
	var has []string
	switch {
	case f.kind == kindFlag:
		has = []string{""}
	case f.kind.ordered():
		has = []string{"==", "!=", "<", "<=", ">", ">=", "in"}
	case f.kind == kindPath:
		has = []string{"==", "!=", "in", "under"}
	default:
		has = []string{"==", "!=", "in"}
	}
	switch {
	case slices.Contains(has, c.operator):
		return nil
	case f.kind == kindFlag:
		return fault(c.field.at, "%s is a flag and stands alone; its opposite is not %s", f.name, f.name)
	case c.operator == "":
		return fault(c.field.at, "%s is %s and is compared with something, by %s", f.name, f.kind.one(), strings.Join(has, " "))
	default:
		return fault(c.field.at, "%s is %s; there is no %s for it, but %s", f.name, f.kind.one(), c.operator, strings.Join(has, " "))
	}
}

// numbers turns every comparison into spans.
func (t *test) numbers(c comparison) *Error {
	last := t.field.kind.last()
	for _, o := range c.operands {
		s, err := t.span(o)
		if err != nil {
			return err
		}
		n := s.first
		switch c.operator {
		case "<":
			s = span{0, n - 1}
			if n == 0 {
				return fault(t.at, "%s < 0 never holds", t.field.name)
			}
		case "<=":
			s = span{0, n}
		case ">":
			s = span{n + 1, last}
			if n == last {
				return fault(t.at, "%s > %d never holds", t.field.name, n)
			}
		case ">=":
			s = span{n, last}
		}
		t.spans = append(t.spans, s)
	}
	t.spans = merged(t.spans)
	if t.spans[0] == (span{0, last}) {
		return fault(t.at, "this always holds, whatever %s is", t.field.name)
	}
	return nil
}

// span is an operand as numbers.
func (t *test) span(o operand) (span, *Error) {
	first, err := number(t.field, o.first)
	if err != nil || o.last.text == "" {
		return span{first, first}, err
	}
	if !t.field.kind.ordered() {
		return span{}, fault(o.first.at, "%s has no ranges", t.field.kind.one())
	}
	last, err := number(t.field, o.last)
	if err == nil && last < first {
		err = fault(o.first.at, "the range %s..%s is empty", o.first.text, o.last.text)
	}
	return span{first, last}, err
}

// merged sorts spans and joins those that meet.
func merged(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.first, b.first) })
	list := spans[:1]
	for _, s := range spans[1:] {
		if end := &list[len(list)-1]; s.first <= end.last || s.first == end.last+1 {
			end.last = max(end.last, s.last)
		} else {
			list = append(list, s)
		}
	}
	return list
}

func (t *test) addresses(c comparison) *Error {
	for _, o := range c.operands {
		if o.last.text != "" {
			return fault(o.first.at, "an address has no ranges; write a prefix, as 10.0.0.0/8")
		}
		p, err := prefix(o.first, c.operator == "in")
		if err != nil {
			return err
		}
		t.prefixes = append(t.prefixes, p)
	}
	slices.SortFunc(t.prefixes, func(a, b netip.Prefix) int {
		return cmp.Or(cmp.Compare(a.Bits(), b.Bits()), a.Addr().Compare(b.Addr()))
	})
	var list []netip.Prefix
	for _, p := range t.prefixes {
		if !slices.ContainsFunc(list, func(wider netip.Prefix) bool { return wider.Contains(p.Addr()) }) {
			list = append(list, p)
		}
	}
	t.prefixes = list
	return nil
}

func (t *test) path(c comparison) *Error {
	t.under = c.operator == "under"
	for _, o := range c.operands {
		switch {
		case o.last.text != "":
			return fault(o.first.at, "a path has no ranges")
		case o.first.kind != tokenString:
			return fault(o.first.at, `a path is in quotes, as "/data"`)
		}
		// A rule of a policy has the same form: absolute, clean, not too long.
		p := o.first.text
		if err := (policy.Policy{Files: []policy.FileRule{{Path: p}}}).Validate(); err != nil {
			return fault(o.first.at, "%s", strings.TrimPrefix(err.Error(), policy.ErrInvalid.Error()+": "))
		}
		if t.under && p == "/" {
			return fault(o.first.at, "every path is under /")
		}
		t.paths = append(t.paths, p)
	}
	slices.Sort(t.paths)
	t.paths = slices.Compact(t.paths)
	return nil
}
