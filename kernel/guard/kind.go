package guard

import "fmt"

// Kind is a way to attach.
type Kind int

// The kinds, the stronger first.
const (
	// Auto is the strongest that works, found by loading it.
	Auto Kind = iota
	// LSM programs judge at the kernel's security hooks.
	LSM
	// Cgroup programs judge the Internet's addresses in a control group, and pass
	// bindings on by tracepoints.
	Cgroup
)

func (k Kind) String() string {
	switch k {
	case Auto:
		return "auto"
	case LSM:
		return "bpf-lsm"
	case Cgroup:
		return "cgroup-bpf"
	default:
		return fmt.Sprintf("kind %d", int(k))
	}
}

// Subject is something that is judged, or counted and bounded.
type Subject int

// The subjects.
const (
	// Files: opening, executing, mapping and truncating them.
	Files Subject = iota
	// Changes: making, renaming and removing files by path. Where LSM programs do not
	// judge them they refuse all.
	Changes
	// Network: addresses of IPv4 and IPv6, and serving on them.
	Network
	// Sockets: all other families, and listening on a socket that was not bound.
	Sockets
	// Processes: signals, tracing, and that children are bound or not started.
	Processes
	// Opens is Quotas.Opens.
	Opens
	// Connects is Quotas.Connects.
	Connects
	// Bytes are Quotas.Sent, Quotas.Received and Quotas.Bandwidth.
	Bytes
	// CPU is Quotas.CPUTotal.
	CPU
)

// Kind is how the programs are attached; never Auto.
func (g *Guard) Kind() Kind { return g.kind }

// Judges reports whether the guard holds policies in a subject, so that no other layer
// needs to.
func (g *Guard) Judges(s Subject) bool {
	switch s {
	case Network, Connects:
		return true
	case Files, Sockets, Processes, Opens:
		return g.kind == LSM
	case Changes:
		return g.kind == LSM && g.changes
	case Bytes, CPU:
		return g.cgroup != ""
	default:
		return false
	}
}
