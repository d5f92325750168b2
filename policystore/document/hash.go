package document

import (
	"crypto/sha256"
	"encoding/json"
	"time"

	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/kernel/policy"
)

func milliseconds(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// meaning is what Compiled.Hash is of. A field that is added changes every hash and makes
// every node reload once, unless it is omitted when empty.
type meaning struct {
	Imports []string           `json:"imports"`
	Backend cell.Backend       `json:"backend"`
	Dialect string             `json:"dialect"`
	NUMA    string             `json:"numa"`
	Limits  cell.Limits        `json:"limits"`
	Policy  policy.Policy      `json:"policy"`
	Grants  []capability.Grant `json:"grants"`
	Restart *Restart           `json:"restart"`
	Names   []string           `json:"names"`
	Extra   map[string]string  `json:"extra"`

	Checkpoint *Checkpoint `json:"checkpoint,omitempty"`
}

func (c *Compiled) hash() [32]byte {
	m := meaning{Imports: c.Imports, Backend: c.Backend, Dialect: c.Dialect, NUMA: c.NUMA, Limits: c.Limits,
		Policy: c.Policy, Restart: c.Restart, Names: c.Names, Extra: c.extraSource, Checkpoint: c.Checkpoint}
	for _, g := range c.Grants {
		g.Rule = "" // a place, which moves
		m.Grants = append(m.Grants, g)
	}
	text, err := json.Marshal(m)
	if err != nil {
		return [32]byte{} // plain data and valid JSON always marshal
	}
	return sha256.Sum256(text)
}
