package stack

import (
	"fmt"
	"strings"

	"github.com/pyisolate/pyisolate/kernel/probe"
)

// A Requirement is something hardened mode needs of a kernel, whatever the policy. It is
// met by any of its alternatives.
type Requirement struct {
	Name string
	// Why says what is open without it.
	Why string
	Any []Alternative
}

// An Alternative is a set of features, one of them perhaps from some version on.
type Alternative struct {
	Name     string
	Features []probe.Feature
	// Least is the value that the first feature must have.
	Least int
}

// Finding is how a requirement fares.
type Finding struct {
	Requirement string `json:"requirement"`
	Met         bool   `json:"met"`
	// By is the alternative that meets it.
	By string `json:"by,omitempty"`
	// Missing says why none does, and what is open without it.
	Missing string `json:"missing,omitempty"`
	Why     string `json:"why"`
}

// landlockTruncate is the version from which Landlock judges all ways to change a file.
const landlockTruncate = 3

// Requirements lists what hardened mode needs.
func Requirements() []Requirement {
	one := func(f probe.Feature) []Alternative {
		return []Alternative{{Name: string(f), Features: []probe.Feature{f}}}
	}
	lsm := Alternative{Name: "eBPF-LSM", Features: []probe.Feature{probe.BPFLSM, probe.BPFTaskStorage, probe.BPFTrie, probe.BPFMmap}}
	return []Requirement{
		{"system calls", "a guest with corrupted memory makes any system call",
			[]Alternative{{Name: "seccomp", Features: []probe.Feature{probe.SeccompFilter, probe.SeccompKill}}}},
		{"files per cell", "a cell reads and changes what its user may",
			[]Alternative{lsm, {Name: "Landlock", Features: []probe.Feature{probe.Landlock}, Least: landlockTruncate}}},
		{"network per cell", "a cell reaches what the machine reaches",
			[]Alternative{lsm, {Name: "a network namespace, and no sockets by seccomp", Features: []probe.Feature{probe.NetworkNamespace, probe.SeccompFilter}}}},
		{"processes out of sight", "a cell sees and signals processes of its user",
			[]Alternative{{Name: "PID namespace", Features: []probe.Feature{probe.PIDNamespace}}}},
		{"processes of their own", "what a cell's process shares with the host is not cut",
			[]Alternative{{Name: "mount, IPC and UTS namespaces", Features: []probe.Feature{probe.MountNamespace, probe.IPCNamespace, probe.UTSNamespace}}}},
		{"processor", "a cell's children use processor time that nobody counts", one(probe.CgroupCPU)},
		{"memory", "what C libraries take is not bounded", one(probe.CgroupMemory)},
		{"tasks", "a fork bomb is bounded by the user's limit only", one(probe.CgroupTasks)},
		{"descriptors", "a cell's thread uses the host's open files", one(probe.CloseRange)},
	}
}

// Check looks for an alternative that the kernel has.
func (r Requirement) Check(f *probe.Features) Finding {
	var lacking []string
	for _, a := range r.Any {
		missing := a.missing(f)
		if missing == "" {
			return Finding{Requirement: r.Name, Met: true, By: a.Name, Why: r.Why}
		}
		lacking = append(lacking, a.Name+": "+missing)
	}
	return Finding{Requirement: r.Name, Missing: strings.Join(lacking, "; or "), Why: r.Why}
}

// missing says what the kernel lacks, "" when nothing.
func (a Alternative) missing(f *probe.Features) string {
	for _, name := range a.Features {
		switch r := f.Row(name); {
		case r.Works:
		case string(name) == a.Name:
			return r.Answer
		default:
			return fmt.Sprintf("%s (%s)", name, r.Answer)
		}
	}
	if a.Least > 0 && f.Value(a.Features[0]) < a.Least {
		return fmt.Sprintf("%s has version %d, %d is needed", a.Features[0], f.Value(a.Features[0]), a.Least)
	}
	return ""
}

// CheckAll checks all requirements, and says whether all are met.
func CheckAll(f *probe.Features) ([]Finding, bool) {
	var list []Finding
	all := true
	for _, r := range Requirements() {
		finding := r.Check(f)
		all = all && finding.Met
		list = append(list, finding)
	}
	return list, all
}
