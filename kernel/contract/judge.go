package contract

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Refusal says why an event is refused.
type Refusal struct {
	// Position of the assertion that does not hold; the zero Position if the event is
	// refused whatever the contract says.
	Position Position
	// Text says what does not hold, and what was found.
	Text string
}

func (r *Refusal) String() string {
	if r.Position == (Position{}) {
		return r.Text
	}
	return r.Position.String() + ": " + r.Text
}

// Judge returns the first assertion that does not hold for an event, nil if all do. The
// programs judge the same.
func (c *Contract) Judge(e *Event) *Refusal {
	switch {
	case e.Hook < Open || e.Hook > Fork:
		return &Refusal{Text: "the event is of no hook"}
	case e.Hook == Connect && e.Family == 0:
		return &Refusal{Text: "the connection has no address"}
	case e.Hook == Open && c.readsPath() && e.Path[0] != '/':
		return &Refusal{Text: "what is opened has no path"}
	}
	for _, a := range c.assertions {
		if !a.hooks.concern(e.Hook) || a.hooks.onlyWithPeer(e.Hook) && e.Family == 0 {
			continue
		}
		if !holds(a.condition, e) {
			return &Refusal{a.at, a.explain(e)}
		}
	}
	return nil
}

// readsPath tells whether a program at Open must have a path.
func (c *Contract) readsPath() bool {
	found := false
	for _, a := range c.assertions {
		all(a.condition, func(t *test) { found = found || t.field.kind == kindPath })
	}
	return found
}

// explain says with which values an assertion does not hold.
func (a assertion) explain(e *Event) string {
	var found []string
	all(a.condition, func(t *test) {
		if v := t.field.name + " is " + e.value(t.field); !slices.Contains(found, v) {
			found = append(found, v)
		}
	})
	return fmt.Sprintf("%s does not hold: %s", text(a.condition, false), strings.Join(found, ", "))
}

func holds(c condition, e *Event) bool {
	switch c := c.(type) {
	case *several:
		for _, t := range c.terms {
			if holds(t, e) == c.or {
				return c.or
			}
		}
		return !c.or
	case *inverse:
		return !holds(c.of, e)
	default:
		return c.(*test).holds(e)
	}
}

func (t *test) holds(e *Event) bool {
	switch t.field.kind {
	case kindFlag:
		return e.Access&t.field.mask != 0
	case kindAddress:
		a := e.peer()
		return slices.ContainsFunc(t.prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
	case kindPath:
		path := e.path()
		return slices.ContainsFunc(t.paths, func(p string) bool {
			return path == p || t.under && strings.HasPrefix(path, p+"/")
		})
	default:
		n := e.number(t.field)
		return slices.ContainsFunc(t.spans, func(s span) bool { return s.first <= n && n <= s.last })
	}
}
