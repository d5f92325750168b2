package landlock

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

// Spec is a ruleset as plain data.
type Spec struct {
	// FS, Net and Scope are the rights that are taken away but where a rule gives
	// them: struct landlock_ruleset_attr.
	FS, Net, Scope uint64
	Paths          []PathRule
	Ports          []PortRule
}

// PathRule gives rights to a path and all below it.
type PathRule struct {
	Path   string
	Access uint64
}

// PortRule gives rights to a TCP port.
type PortRule struct {
	Port   uint16
	Access uint64
}

// Gap is something that a policy asks for and the ruleset does not hold.
type Gap struct {
	Kind GapKind
	// Text says what, for reports.
	Text string
}

// GapKind tells gaps apart.
type GapKind string

// The kinds of gaps. All but GapMissing permit more than the policy.
const (
	GapTruncate  GapKind = "truncate"
	GapTCP       GapKind = "tcp"
	GapDevices   GapKind = "devices"
	GapScope     GapKind = "scope"
	GapMetadata  GapKind = "metadata"
	GapUDP       GapKind = "udp"
	GapAddresses GapKind = "addresses" // ports are judged, addresses are not
	GapNarrower  GapKind = "narrower"  // a rule takes away what a shorter path gives
	GapGlob      GapKind = "glob"      // a pattern is not judged, but its directory
	GapMissing   GapKind = "missing"   // a path is not there, so nothing is given
)

// maxPorts bounds the rules for ports: beyond it connecting is not judged.
const maxPorts = 1024

// Compile makes the ruleset of p for a version of the interface. Paths are looked up
// now, to know which are directories.
func Compile(p policy.Policy, abi int) (Spec, []Gap, error) {
	if err := p.Validate(); err != nil {
		return Spec{}, nil, err
	}
	if abi < 1 {
		return Spec{}, nil, ErrUnsupported
	}
	abi = min(abi, MaxABI)
	s := Spec{FS: handledFS(abi)}
	if abi >= 6 {
		s.Scope = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
	}
	list := gaps(abi)
	prefixes, more := policy.Prefixes(p.Files)
	for _, text := range more {
		list = append(list, Gap{GapGlob, text})
	}
	for _, r := range prefixes {
		gap, err := s.file(r)
		if err != nil {
			return Spec{}, nil, err
		}
		list = append(list, gap...)
	}
	list = append(list, narrower(prefixes)...)
	if abi >= 4 {
		list = append(list, s.network(p)...)
	}
	return s, list, nil
}

// file adds the rule of one path.
func (s *Spec) file(r policy.FileRule) ([]Gap, error) {
	access := uint64(0)
	for of, rights := range map[policy.Access]uint64{policy.Read: fsRead, policy.Write: fsWrite, policy.Execute: fsExecute} {
		if r.Access&of != 0 {
			access |= rights
		}
	}
	access &= s.FS
	if access == 0 {
		return nil, nil // narrower sees to it
	}
	var st unix.Stat_t
	switch err := unix.Stat(r.Path, &st); {
	case errors.Is(err, fs.ErrNotExist):
		return []Gap{{GapMissing, r.Path + " is not there, so nothing is given"}}, nil
	case err != nil:
		return nil, fmt.Errorf("landlock: look up %s: %w", r.Path, err)
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		access &= fsFile
	}
	if access != 0 {
		s.Paths = append(s.Paths, PathRule{r.Path, access})
	}
	return nil, nil
}

// narrower finds rules that have less than one above them.
func narrower(rules []policy.FileRule) []Gap {
	of := map[string]policy.Access{}
	for _, r := range rules {
		of[r.Path] = r.Access
	}
	var list []Gap
	for _, below := range rules {
		for i, c := range below.Path {
			if c != '/' || below.Path == "/" {
				continue
			}
			above := below.Path[:max(i, 1)]
			if lost := of[above] &^ below.Access; lost != 0 {
				list = append(list, Gap{GapNarrower, fmt.Sprintf("%s has %s from %s, though its own rule is %s", below.Path, lost, above, below.Access)})
			}
		}
	}
	return list
}

// network adds the rules for ports. Binding is never given.
func (s *Spec) network(p policy.Policy) []Gap {
	s.Net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	if !p.Connects() {
		return nil
	}
	ports, every := portsOf(p.Net)
	if every || len(ports) > maxPorts {
		s.Net &^= unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
		return []Gap{{GapTCP, "too many ports to list, so connecting is not judged"}, {GapAddresses, "addresses are not judged"}}
	}
	for _, port := range ports {
		s.Ports = append(s.Ports, PortRule{port, unix.LANDLOCK_ACCESS_NET_CONNECT_TCP})
	}
	return []Gap{{GapAddresses, "ports are judged, addresses are not"}}
}

// portsOf lists the ports of all rules, or says that there is one for every port.
func portsOf(rules []policy.NetRule) (ports []uint16, every bool) {
	seen := map[uint16]bool{}
	for _, r := range rules {
		if r.Deny {
			continue
		}
		if len(r.Ports) == 0 {
			return nil, true
		}
		for _, of := range r.Ports {
			for port := int(of.First); port <= int(of.Last) && len(seen) <= maxPorts; port++ {
				seen[uint16(port)] = true
			}
		}
	}
	for port := range seen {
		ports = append(ports, port)
	}
	slices.Sort(ports)
	return ports, false
}
