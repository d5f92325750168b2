package stack

import (
	"errors"
	"fmt"
	"strings"
)

// Layer is a mechanism of the kernel.
type Layer string

// The layers, in the order of the confinement report.
const (
	LSM      Layer = "bpf-lsm"
	Programs Layer = "cgroup-bpf"
	Notify   Layer = "seccomp-notify"
	Landlock Layer = "landlock"
	Seccomp  Layer = "seccomp"
	Cgroup   Layer = "cgroup"
)

// Duty is something that a policy asks the kernel to hold.
type Duty string

// The duties.
const (
	SystemCalls Duty = "system calls"
	Files       Duty = "files"
	Network     Duty = "network"
	Threads     Duty = "threads"
	Processor   Duty = "processor"
	Memory      Duty = "memory"
	Tasks       Duty = "tasks"
	Bandwidth   Duty = "bandwidth"
	// The totals of a cell's life.
	TotalOpens    Duty = "opens in total"
	TotalConnects Duty = "connections in total"
	TotalBytes    Duty = "bytes in total"
	TotalCPU      Duty = "processor in total"
	Contracts     Duty = "contract"
)

// Report is a cell's confinement.
type Report struct {
	Mode   Mode       `json:"mode"`
	Layers []LayerRow `json:"layers"`
	Duties []DutyRow  `json:"duties"`
}

// LayerRow says whether a layer is active.
type LayerRow struct {
	Layer  Layer `json:"layer"`
	Active bool  `json:"active"`
	// Evidence is what the probe found, or why the layer was left out.
	Evidence string `json:"evidence"`
	// Gaps are what the layer does not judge of what it is about.
	Gaps []string `json:"gaps,omitempty"`
}

// DutyRow says which layer holds a duty.
type DutyRow struct {
	Duty Duty `json:"duty"`
	Held bool `json:"held"`
	// By is the layer that holds it.
	By Layer `json:"by,omitempty"`
	// Missing says why none does.
	Missing string `json:"missing,omitempty"`
}

// ErrUnheld says that hardened mode was asked for and a duty is not held.
var ErrUnheld = errors.New("stack: the kernel does not hold the policy")

// Unheld lists the duties that no layer holds.
func (r Report) Unheld() []DutyRow {
	var list []DutyRow
	for _, d := range r.Duties {
		if !d.Held {
			list = append(list, d)
		}
	}
	return list
}

// Active reports whether a layer is.
func (r Report) Active(l Layer) bool {
	for _, row := range r.Layers {
		if row.Layer == l {
			return row.Active
		}
	}
	return false
}

// failure is the error of hardened mode, nil when all is held.
func (r Report) failure() error {
	list := r.Unheld()
	if r.Mode != Hardened || len(list) == 0 {
		return nil
	}
	var parts []string
	for _, d := range list {
		parts = append(parts, fmt.Sprintf("%s: %s", d.Duty, d.Missing))
	}
	return fmt.Errorf("%w: %s", ErrUnheld, strings.Join(parts, "; "))
}
