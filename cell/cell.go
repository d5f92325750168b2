package cell

import (
	"context"
	"encoding/json"
	"math"
	"time"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

// State is where a cell is in its life.
type State string

// The states. Running covers idle cells too; see [Report.Busy].
const (
	Running     State = "running"
	Quarantined State = "quarantined" // stopped from running, kept for inspection
	Closed      State = "closed"
	Killed      State = "killed"
	Crashed     State = "crashed"
)

// Source is Python to execute.
type Source struct {
	// Code is UTF-8 text.
	Code []byte
	// File is what tracebacks call it; "" is "<cell>".
	File string
	// Dialect defaults to Python.
	Dialect Dialect
	// Args become sys.argv[1:]; argv[0] is File.
	Args []string
	// Stdin makes sys.stdin read the inbox: bytes items are the stream, a null
	// item is its end.
	Stdin bool
	// ID is told with the item that says how it failed, so that who began it knows it; "" is none.
	ID string
}

// Validate reports a source that no cell takes.
func (s Source) Validate() error {
	if s.Dialect != "" && s.Dialect != Python && s.Dialect != Restricted {
		return Errorf(Invalid, "dialect %q is not known: use %q or %q", s.Dialect, Python, Restricted)
	}
	if len(s.File) > 4096 {
		return Errorf(Invalid, "the file name has %d bytes; 4096 is the most", len(s.File))
	}
	return nil
}

// Invocation is a call of one function.
type Invocation struct {
	// Target is a name in __main__, or "module.function" of an importable module.
	Target string
	// Args and Kwargs are a JSON array and object; empty means none. They are
	// not looked at before the guest.
	Args, Kwargs json.RawMessage
	// Raw, when not nil, is passed as the only argument, a bytes object; Args
	// and Kwargs must be empty.
	Raw []byte
}

// Cell is one running sandbox. See the package comment for threading.
type Cell interface {
	// ID is unique in this node's life. Spec is as claimed, defaults filled in.
	ID() string
	Spec() Spec

	// Exec runs source in __main__. A nil error means it ran to its end. The
	// failure is also queued for Recv, after all the guest posted.
	Exec(ctx context.Context, src Source) error
	// Call runs one function and returns what it returned.
	Call(ctx context.Context, inv Invocation) (Value, error)
	// Send appends to the inbox that the guest's recv reads; Busy when full.
	Send(ctx context.Context, v Value) error
	// Recv takes the next outbox item, waiting for one. After the cell's end
	// it drains what is left and then fails with CellGone.
	Recv(ctx context.Context) (Item, error)
	// Inspect reports without running guest code; it works in every state.
	Inspect(ctx context.Context) (Report, error)

	// Reload replaces the policy, whatever the guest is doing. It says of every layer
	// whether it judges by the new one now. In between, what both policies permit is
	// permitted. Policies are replaced one at a time.
	Reload(ctx context.Context, r Revision) (Reloaded, error)

	Checkpointer

	// Quarantine interrupts the guest and lets nothing more run in it.
	Quarantine(ctx context.Context, reason string) error
	// Kill ends the cell now; operations under way fail with CellGone and reason. It does not
	// wait: Done tells when nothing of it runs any more.
	Kill(reason string)
	// Close lets a running operation be interrupted and ends the cell. It is
	// idempotent, and returns when the cell's resources are given back or ctx ends.
	Close(ctx context.Context) error
	// Done is closed when the cell has ended, and nothing of it runs; Err then says why (nil
	// after Close).
	Done() <-chan struct{}
	Err() error
}

// Item is one outbox entry: a value the guest posted, or how an Exec failed.
type Item struct {
	Value Value
	Err   *Error
	ID    string // of the source that failed
}

// Report is a cell seen from outside.
type Report struct {
	ID      string        `json:"id"`
	Name    string        `json:"name"`
	Tenant  string        `json:"tenant"`
	Backend Backend       `json:"backend"`
	State   State         `json:"state"`
	Busy    bool          `json:"busy"`
	Reason  string        `json:"reason,omitempty"`
	CPU     time.Duration `json:"cpu_ns"`
	// Memory now and at its highest, in bytes, start-up not counted.
	Memory     int64  `json:"memory"`
	MemoryPeak int64  `json:"memory_peak"`
	Output     int64  `json:"output"`
	Posts      uint64 `json:"posts"`
	Logs       uint64 `json:"logs"`
	LogsLost   uint64 `json:"logs_lost"`
	Metrics    uint64 `json:"metrics"`
	Requests   uint64 `json:"requests"`
	Denials    uint64 `json:"denials"`
	// Namespaces the cell's process has of its own; nil when it shares.
	Namespaces []string `json:"namespaces,omitempty"`
	// Start is how the cell's process began: "fork" of a zygote, or "exec" of its
	// own where there is no zygote; "" for a thread of its host.
	Start string `json:"start,omitempty"`
	// UID is the user that the cell's process runs as, on the node.
	UID     uint32 `json:"uid"`
	HostPID int    `json:"host_pid"`
	// NUMANode is that of the machine's nodes that its host was started on; nil where none
	// was chosen.
	NUMANode *int `json:"numa_node,omitempty"`
	// Kernel is what the kernel has counted; nil where nobody counts by cell.
	Kernel *KernelUsage `json:"kernel,omitempty"`
	// Confinement is what the kernel holds the cell by; nil where nobody asked.
	Confinement *Confinement `json:"confinement,omitempty"`
}

// KernelUsage is counted by the kernel's programs, which no guest can reach. What is not
// counted on this kernel is 0: Confinement tells which programs there are.
type KernelUsage struct {
	CPU time.Duration `json:"cpu_ns"`
	// Opens are files opened; Connects connections, and datagrams that name a receiver.
	Opens    uint64 `json:"opens"`
	Connects uint64 `json:"connects"`
	// Sent and Received are bytes of IP packets, headers included.
	Sent     uint64 `json:"sent"`
	Received uint64 `json:"received"`
	// Children are threads and processes started, Denied what was refused.
	Children uint64 `json:"children"`
	Denied   uint64 `json:"denied"`
	// Slowed are packets dropped or marked because of the policy's bandwidth.
	Slowed uint64 `json:"slowed"`
}

// Confinement lists the kernel's layers around a cell.
type Confinement struct {
	// Mode is what was to become of layers that this kernel lacks: "hardened", "dev"
	// or "compatibility".
	Mode   string  `json:"mode"`
	Layers []Layer `json:"layers"`
	// Unheld is what the cell's policy asks for and no layer holds, and why. In hardened
	// mode it is empty.
	Unheld []string `json:"unheld,omitempty"`
}

// Layer is one mechanism of the kernel.
type Layer struct {
	Name   string `json:"layer"`
	Active bool   `json:"active"`
	// Evidence is what the kernel answered when it was tried, or why it was left out.
	Evidence string `json:"evidence"`
	// Gaps are what it does not judge of what it is about.
	Gaps []string `json:"gaps,omitempty"`
}

// Revision is what a running cell is to go by from now on.
type Revision struct {
	// Policy replaces the cell's; the zero Policy permits nothing beyond Python's library.
	Policy policy.Policy
	// Imports the guest may name, as in [Spec]; nil leaves them as they are, and an empty
	// list is none. A module that the guest has already stays with it; to name it again
	// takes the new list.
	Imports []string
	// Limits replace the cell's, with the defaults of [Limits]; nil leaves them as they are.
	// What is used stays used. A limit below what is used refuses what would use more, and
	// ends nothing.
	Limits *Limits
}

// Reloaded is what became of a revision in each layer: "guest", the gate; the kernel's that the
// cell has on; and "limits" where the kernel keeps another bound of its process.
type Reloaded struct {
	Layers []ReloadedLayer `json:"layers"`
}

// ReloadedLayer is one layer's part.
type ReloadedLayer struct {
	Name string `json:"layer"`
	// Live: it judges by the new policy.
	Live bool `json:"live"`
	// Missing is what it still permits or refuses otherwise, until there is a new cell; of one
	// that is Live, what it permits otherwise in every cell.
	Missing string `json:"missing,omitempty"`
}

// NewCell lists what takes effect only in a new cell; empty: nothing does.
func (r Reloaded) NewCell() (missing []string) {
	for _, l := range r.Layers {
		if l.Missing != "" && !l.Live {
			missing = append(missing, l.Name+": "+l.Missing)
		}
	}
	return missing
}

// LogRecord is one line the guest logged or printed.
type LogRecord struct {
	// Level is the guest's word: "debug", "info", "warning", "error",
	// "critical", or "stdout" and "stderr" for print.
	Level   string          `json:"level"`
	Message string          `json:"message"`
	Fields  json.RawMessage `json:"fields,omitempty"`
}

// Sample is one measurement by the guest.
type Sample struct {
	Name  string            `json:"name"`
	Value float64           `json:"value"`
	Tags  map[string]string `json:"tags,omitempty"`
}

// MarshalJSON has what is no number in JSON as the API has it: "NaN", "Infinity" and "-Infinity".
func (s Sample) MarshalJSON() ([]byte, error) {
	type number Sample
	text := "NaN"
	switch {
	case math.IsInf(s.Value, 1):
		text = "Infinity"
	case math.IsInf(s.Value, -1):
		text = "-Infinity"
	case !math.IsNaN(s.Value):
		return json.Marshal(number(s))
	}
	return json.Marshal(struct {
		number
		Value string `json:"value"`
	}{number(s), text})
}

// Request is the guest asking for an effect.
type Request struct {
	Capability string
	Action     string
	Payload    Value
}

// Sink receives what a guest says beside its posts. Methods are called from
// one goroutine per cell and must not block. Except for Request, which runs in a
// goroutine of its own under the operation's context, and Denied, which is called
// from there too when Request refuses, before the guest hears of it.
type Sink interface {
	Log(LogRecord)
	Metric(Sample)
	Request(ctx context.Context, r Request) (Value, error)
	Denied(Denial)
}
