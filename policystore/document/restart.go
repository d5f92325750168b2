package document

import (
	"strings"
	"time"
)

// restart is a single value that has keys of its own.
type restart struct{ single[Restart] }

// restartKeys are those of restart.
var restartKeys = []*key{
	{name: "strategy", choices: []string{"never", "fresh", "checkpoint"}, doc: "do not restart it, restart it fresh from its program, or from its last checkpoint", fallback: "never"},
	{name: "max", least: 1, most: 1000, doc: "how many restarts in each `within`; after these the cell stays down", fallback: "5"},
	{name: "within", least: int64(time.Second), most: int64(24 * time.Hour), doc: "the time over which restarts are counted", fallback: "1m"},
}

func (s *restart) decode(r *reporter, k *key, n *node) {
	if n.kind != mappingNode {
		r.at(n.at, "write {strategy: fresh, max: 5, within: 1m}", "%s is a map, and not %s", k.name, n.kind)
		return
	}
	value := Restart{Strategy: "never", Max: 5, Within: time.Minute}
	for _, p := range n.pairs {
		var strategy word
		var most count
		var within duration
		switch p.key.text {
		case "strategy":
			strategy.decode(r, restartKeys[0], p.value)
			value.Strategy = strategy.value
		case "max":
			most.decode(r, restartKeys[1], p.value)
			value.Max = int(most.value)
		case "within":
			within.decode(r, restartKeys[2], p.value)
			value.Within = within.value
		default:
			names := []string{"strategy", "max", "within"}
			r.at(p.key.at, meant(p.key.text, names), "restart has no key %s; it has %s", shown(p.key.text), strings.Join(names, ", "))
		}
	}
	s.give(value, n.at)
}

func (s *restart) encode() *node {
	if !s.set {
		return nil
	}
	return mapping(entry("strategy", plain(s.value.Strategy)), entry("max", number(s.value.Max)), entry("within", plain(FormatDuration(s.value.Within))))
}

func (s *restart) inherit(parent field) { s.take(&parent.(*restart).single) }
