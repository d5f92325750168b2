package live

import (
	"time"

	"github.com/pyisolate/pyisolate/cell"
)

// Report is how a followed cell stands to its policy.
type Report struct {
	// Tenant and Cell are of a target that is Named.
	Tenant  string `json:"tenant,omitempty"`
	Cell    string `json:"cell,omitempty"`
	Policy  string `json:"policy"`
	Sandbox string `json:"sandbox"`
	// Version is in force since At, by the node's clock; 0: none that was brought.
	Version uint64    `json:"version"`
	At      time.Time `json:"at"`
	// Layers are what became of it in each.
	Layers []cell.ReloadedLayer `json:"layers,omitempty"`
	// NewCell is what takes effect only in a new cell.
	NewCell []string `json:"new_cell,omitempty"`
	// Wants is the backend that the policy wants at least, where the cell's is weaker. The cell
	// is bounded as the version says then, and has nothing of what it permits.
	Wants cell.Backend `json:"wants,omitempty"`
	// Unresolved are the host names that it permits of which an address is missing at the
	// moment: see document.Compiled.
	Unresolved []string `json:"unresolved,omitempty"`
	// Deleted: there is no such policy any more; the cell keeps what it has.
	Deleted bool `json:"deleted,omitempty"`
	// Newest is the newest version that is known. Where it is not in force and nothing is
	// under way, Failed says why.
	Newest uint64 `json:"newest"`
	Failed string `json:"failed,omitempty"`
	// Took is how long the target was at work on the last revision, whatever became of it.
	Took time.Duration `json:"-"`
}
