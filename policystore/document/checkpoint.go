package document

import (
	"fmt"
	"strings"
	"time"
)

// Checkpoint says when a cell is checkpointed beside requests for it. The zero value: never.
type Checkpoint struct {
	// Every is at least a second; 0: not by time.
	Every time.Duration `json:"every,omitempty"`
	// Messages are Exec, Call and Send; 0: not by their number.
	Messages uint64 `json:"messages,omitempty"`
	// BeforeDrain: when its node ends.
	BeforeDrain bool `json:"before_drain,omitempty"`
	// Replicas are the other nodes that get a copy of each, 0 to MaxReplicas.
	Replicas int `json:"replicas,omitempty"`
}

// MaxReplicas is the most that a checkpoint has copies on other nodes.
const MaxReplicas = 5

// String is as the document has it.
func (c Checkpoint) String() string {
	var parts []string
	if c.Every > 0 {
		parts = append(parts, "every "+FormatDuration(c.Every))
	}
	if c.Messages > 0 {
		parts = append(parts, fmt.Sprintf("after %d messages", c.Messages))
	}
	if c.BeforeDrain {
		parts = append(parts, "before its node ends")
	}
	if len(parts) == 0 {
		parts = append(parts, "on request")
	}
	if c.Replicas > 0 {
		parts = append(parts, fmt.Sprintf("copied to %d other nodes", c.Replicas))
	}
	return strings.Join(parts, ", ")
}

// checkpoint is a single value that has keys of its own.
type checkpoint struct{ single[Checkpoint] }

const (
	drainSkip = "skip"
	drainSave = "save"
)

// checkpointKeys are those of checkpoint.
var checkpointKeys = []*key{
	{name: "every", least: int64(time.Second), most: int64(365 * 24 * time.Hour), doc: "the time between two checkpoints; none is made if nothing has run since", fallback: "not by time"},
	{name: "messages", least: 1, most: 1_000_000_000, doc: "a checkpoint after this many execs, calls and sends", fallback: "not by their number"},
	{name: "drain", choices: []string{drainSkip, drainSave}, doc: "whether to checkpoint the cell when its node stops", fallback: drainSkip},
	{name: "replicas", least: 1, most: MaxReplicas, doc: "how many other nodes get a copy of each checkpoint; when the cell's node is lost, one of them goes on with the cell", fallback: "none"},
}

func (s *checkpoint) decode(r *reporter, k *key, n *node) {
	if n.kind != mappingNode {
		r.at(n.at, "write {every: 5m, messages: 1000, drain: save}", "%s is a map, and not %s", k.name, n.kind)
		return
	}
	var value Checkpoint
	for _, p := range n.pairs {
		var every duration
		var messages count
		var drain word
		var replicas count
		switch p.key.text {
		case "every":
			every.decode(r, checkpointKeys[0], p.value)
			value.Every = every.value
		case "messages":
			messages.decode(r, checkpointKeys[1], p.value)
			value.Messages = uint64(messages.value)
		case "drain":
			drain.decode(r, checkpointKeys[2], p.value)
			value.BeforeDrain = drain.value == drainSave
		case "replicas":
			replicas.decode(r, checkpointKeys[3], p.value)
			value.Replicas = int(replicas.value)
		default:
			names := []string{"every", "messages", "drain", "replicas"}
			r.at(p.key.at, meant(p.key.text, names), "checkpoint has no key %s; it has %s", shown(p.key.text), strings.Join(names, ", "))
		}
	}
	s.give(value, n.at)
}

func (s *checkpoint) encode() *node {
	if !s.set {
		return nil
	}
	var parts []pair
	if s.value.Every > 0 {
		parts = append(parts, entry("every", plain(FormatDuration(s.value.Every))))
	}
	if s.value.Messages > 0 {
		parts = append(parts, entry("messages", number(int64(s.value.Messages))))
	}
	drain := drainSkip
	if s.value.BeforeDrain {
		drain = drainSave
	}
	parts = append(parts, entry("drain", plain(drain)))
	if s.value.Replicas > 0 {
		parts = append(parts, entry("replicas", number(int64(s.value.Replicas))))
	}
	return mapping(parts...)
}

func (s *checkpoint) inherit(parent field) { s.take(&parent.(*checkpoint).single) }
