package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Access is what may be done with files, a set.
type Access uint8

// The kinds of access. None includes another.
const (
	// Read files and list directories.
	Read Access = 1 << iota
	// Write files, and make, rename, truncate and remove them and directories.
	Write
	// Execute programs.
	Execute
)

func (a Access) String() string {
	var b strings.Builder
	for i, c := range "rwx" {
		if a&(1<<i) != 0 {
			b.WriteRune(c)
		} else {
			b.WriteByte('-')
		}
	}
	return b.String()
}

// Policy is what one cell may do.
type Policy struct {
	// Files are rules by path; see [FileRule] for which of them decide.
	Files []FileRule `json:"files,omitempty"`
	// Net are rules by address; the longest prefix that fits decides.
	Net []NetRule `json:"net,omitempty"`
	// Children are how many threads the cell may have beside its own.
	Children int `json:"children,omitempty"`
	// Quotas bound what it uses.
	Quotas Quotas `json:"quotas"`
	// Contract is assertions about what it does, in the language of package contract.
	Contract string `json:"contract,omitempty"`
}

// NetRule lets the cell connect to the addresses of a prefix.
type NetRule struct {
	Prefix netip.Prefix `json:"prefix"`
	// Ports are those permitted; none means every port.
	Ports []PortRange `json:"ports,omitempty"`
	// Deny takes the prefix away from what a shorter one gives.
	Deny bool `json:"deny,omitempty"`
}

// PortRange is the ports First to Last, both included.
type PortRange struct {
	First uint16 `json:"first"`
	Last  uint16 `json:"last"`
}

// MaxPortRanges are what one rule may have: the kernel looks through them in a loop.
const MaxPortRanges = 8

// MaxPath bounds the length of a rule's path: the kernel's key has 256 bytes, with a
// slash at the end.
const MaxPath = 254

// Quotas bound what a cell uses. Zero is unlimited, but for Memory's own sake.
type Quotas struct {
	// CPU is processor time in each CPUPeriod of wall time, which is 100 ms by
	// default; more than the period is more than one processor.
	CPU       time.Duration `json:"cpu,omitempty"`
	CPUPeriod time.Duration `json:"cpu_period,omitempty"`
	// Memory is in bytes.
	Memory int64 `json:"memory,omitempty"`
	// Tasks are threads and processes of the control group.
	Tasks int64 `json:"tasks,omitempty"`
	// Bandwidth is in bytes a second of the IP packets of the sockets that the cell made, as
	// many each way, on average. What a quarter of a second has, and one packet, may come at
	// once. What comes faster is dropped; TCP sends it again, and less from then on. At least
	// MinBandwidth.
	Bandwidth int64 `json:"bandwidth,omitempty"`

	// Those below are totals of the cell's life, not rates. What would pass one is
	// refused, and counts for nothing; what is used stays used when the policy changes.

	// CPUTotal is processor time. A cell that has used it may do nothing more that the
	// kernel judges.
	CPUTotal time.Duration `json:"cpu_total,omitempty"`
	// Sent and Received are bytes of IP packets, headers included, of the sockets that
	// the cell made.
	Sent     int64 `json:"sent,omitempty"`
	Received int64 `json:"received,omitempty"`
	// Connects are connections, and datagrams that name their receiver.
	Connects int64 `json:"connects,omitempty"`
	// Opens are files and directories opened.
	Opens int64 `json:"opens,omitempty"`
}

// DefaultCPUPeriod is that of the kernel.
const DefaultCPUPeriod = 100 * time.Millisecond

// MinBandwidth has a second for the largest packet that most devices know.
const MinBandwidth = 64 << 10

// ErrInvalid is wrapped by every error of Validate.
var ErrInvalid = errors.New("policy: invalid")

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrInvalid, fmt.Errorf(format, args...))
}

// Validate checks that the policy means something.
func (p Policy) Validate() error {
	for _, r := range p.Files {
		if err := r.validate(); err != nil {
			return err
		}
	}
	seen := map[netip.Prefix]bool{}
	for _, r := range p.Net {
		if err := r.validate(); err != nil {
			return err
		}
		if seen[r.Prefix] {
			return invalid("there are two rules for %s", r.Prefix)
		}
		seen[r.Prefix] = true
	}
	rules := map[string]bool{}
	for _, r := range p.Files {
		if rules[r.subject()] {
			return invalid("there are two rules for %q", r.subject())
		}
		rules[r.subject()] = true
	}
	if p.Children < 0 {
		return invalid("%d children", p.Children)
	}
	return p.Quotas.validate()
}

func (r NetRule) validate() error {
	switch {
	case !r.Prefix.IsValid():
		return invalid("a network rule has no prefix")
	case r.Prefix != r.Prefix.Masked():
		return invalid("prefix %s has bits beyond its length; %s is meant, or a longer one", r.Prefix, r.Prefix.Masked())
	case r.Prefix.Addr().Is4In6():
		return invalid("prefix %s is IPv4 inside IPv6; write it as IPv4", r.Prefix)
	case len(r.Ports) > MaxPortRanges:
		return invalid("prefix %s has %d ranges of ports; %d are allowed", r.Prefix, len(r.Ports), MaxPortRanges)
	case r.Deny && len(r.Ports) > 0:
		return invalid("prefix %s is denied for some ports; deny it all, and permit the others in a rule", r.Prefix)
	}
	for _, p := range r.Ports {
		if p.First > p.Last {
			return invalid("prefix %s: ports %d to %d", r.Prefix, p.First, p.Last)
		}
	}
	return nil
}

func (q Quotas) validate() error {
	least := min(int64(q.CPU), int64(q.CPUPeriod), int64(q.CPUTotal), q.Memory, q.Tasks, q.Bandwidth, q.Sent, q.Received, q.Connects, q.Opens)
	switch {
	case least < 0:
		return invalid("a quota is negative")
	case q.CPUPeriod > 0 && (q.CPUPeriod < time.Millisecond || q.CPUPeriod > time.Second):
		return invalid("a processor period of %s; 1ms to 1s are possible", q.CPUPeriod)
	case q.CPU > 0 && q.CPU < time.Millisecond:
		return invalid("a processor quota of %s; the kernel gives 1ms at least", q.CPU)
	case q.CPUTotal > 0 && q.CPUTotal < time.Millisecond:
		return invalid("a total of %s of the processor; a cell needs 1ms at least", q.CPUTotal)
	case q.Bandwidth > 0 && q.Bandwidth < MinBandwidth:
		return invalid("a bandwidth of %d bytes a second; %d at least", q.Bandwidth, MinBandwidth)
	case q.CPUPeriod > 0 && q.CPU == 0:
		return invalid("a processor period without a quota")
	}
	return nil
}

// Equal reports whether the two say the same, in the same order.
func (p Policy) Equal(o Policy) bool {
	return p.Children == o.Children && p.Quotas == o.Quotas && p.Contract == o.Contract && slices.Equal(p.Files, o.Files) &&
		slices.EqualFunc(p.Net, o.Net, func(a, b NetRule) bool {
			return a.Prefix == b.Prefix && a.Deny == b.Deny && slices.Equal(a.Ports, b.Ports)
		})
}

// Clone returns a copy that shares nothing that can be changed.
func (p Policy) Clone() Policy {
	p.Files, p.Net = slices.Clone(p.Files), slices.Clone(p.Net)
	for i := range p.Net {
		p.Net[i].Ports = slices.Clone(p.Net[i].Ports)
	}
	return p
}

// Writes reports whether the policy lets anything be written.
func (p Policy) Writes() bool { return p.files(Write) }

// Executes reports whether the policy lets anything be executed.
func (p Policy) Executes() bool { return p.files(Execute) }

func (p Policy) files(a Access) bool {
	for _, r := range p.Files {
		if r.Access&a != 0 {
			return true
		}
	}
	return false
}

// Connects reports whether the policy lets anything be connected to.
func (p Policy) Connects() bool {
	for _, r := range p.Net {
		if !r.Deny {
			return true
		}
	}
	return false
}
