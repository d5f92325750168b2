package stack

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/cgroup"
	"github.com/pyisolate/pyisolate/kernel/policy"
	"github.com/pyisolate/pyisolate/kernel/probe"
	"github.com/pyisolate/pyisolate/kernel/seccomp"
)

// loaded are programs of kind LSM that judge and count everything.
var loaded = Guard{Layer: LSM, Evidence: "loaded", Files: true, Changes: true, Network: true, Opens: true, Connects: true, Bytes: true, CPU: true}

// groupsOf are the controllers that a node has on such a kernel.
func groupsOf(f *probe.Features) (list []cgroup.Controller) {
	for c, feature := range map[cgroup.Controller]probe.Feature{cgroup.CPU: probe.CgroupCPU, cgroup.Memory: probe.CgroupMemory, cgroup.Tasks: probe.CgroupTasks} {
		if f.Works(feature) {
			list = append(list, c)
		}
	}
	return list
}

// everything is a kernel that has all but what is named.
func everything(without ...probe.Feature) *probe.Features {
	all := []probe.Feature{probe.SeccompFilter, probe.SeccompKill, probe.Landlock, probe.BPFLSM, probe.BPFTaskStorage, probe.BPFTrie,
		probe.BPFMmap, probe.CgroupCPU, probe.CgroupMemory, probe.CgroupTasks, probe.UserNamespace, probe.MountNamespace, probe.PIDNamespace,
		probe.NetworkNamespace, probe.IPCNamespace, probe.UTSNamespace, probe.CloseRange}
	f := &probe.Features{}
	for _, name := range all {
		r := probe.Row{Feature: name, Works: true, Value: 7, Answer: "it worked"}
		for _, w := range without {
			if w == name {
				r = probe.Row{Feature: name, Answer: "the kernel said no to " + string(name)}
			}
		}
		f.Rows = append(f.Rows, r)
	}
	return f
}

func landlockVersion(v int) *probe.Features {
	f := everything(probe.BPFLSM)
	for i := range f.Rows {
		if f.Rows[i].Feature == probe.Landlock {
			f.Rows[i].Value = v
		}
	}
	return f
}

func TestRequirements(t *testing.T) {
	for name, c := range map[string]struct {
		features *probe.Features
		unmet    []string
	}{
		"everything":                {everything(), nil},
		"nothing":                   {&probe.Features{}, []string{"system calls", "files per cell", "network per cell", "processes out of sight", "processes of their own", "processor", "memory", "tasks", "descriptors"}},
		"no LSM":                    {everything(probe.BPFLSM), nil},
		"no Landlock":               {everything(probe.Landlock), nil},
		"neither":                   {everything(probe.BPFLSM, probe.Landlock), []string{"files per cell"}},
		"old Landlock":              {landlockVersion(2), []string{"files per cell"}},
		"Landlock just new enough":  {landlockVersion(3), nil},
		"LSM without storage":       {everything(probe.BPFTaskStorage, probe.Landlock), []string{"files per cell"}},
		"no namespace, no LSM":      {everything(probe.NetworkNamespace, probe.BPFLSM), []string{"network per cell"}},
		"filters that cannot kill":  {everything(probe.SeccompKill), []string{"system calls"}},
		"no memory controller":      {everything(probe.CgroupMemory), []string{"memory"}},
		"processes see each other":  {everything(probe.PIDNamespace), []string{"processes out of sight"}},
		"descriptors cannot be cut": {everything(probe.CloseRange), []string{"descriptors"}},
	} {
		t.Run(name, func(t *testing.T) {
			list, all := CheckAll(c.features)
			var unmet []string
			for _, f := range list {
				if !f.Met {
					unmet = append(unmet, f.Requirement)
				}
				if f.Why == "" || f.Met != (f.Missing == "") || f.Met != (f.By != "") {
					t.Errorf("%+v", f)
				}
			}
			if diff := cmp.Diff(c.unmet, unmet); diff != "" || all != (len(unmet) == 0) {
				t.Errorf("all %v, %s", all, diff)
			}
		})
	}
}

var (
	readUsr  = policy.Policy{Files: []policy.FileRule{{Path: "/usr", Access: policy.Read}}}
	narrower = policy.Policy{Files: []policy.FileRule{{Path: "/usr", Access: policy.Read}, {Path: "/usr/lib"}}}
	writes   = policy.Policy{Files: []policy.FileRule{{Path: "/tmp", Access: policy.Read | policy.Write}}}
	connects = policy.Policy{Net: []policy.NetRule{{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Ports: []policy.PortRange{{First: 443, Last: 443}}}}}
	bounded  = policy.Policy{Quotas: policy.Quotas{CPU: 50 * time.Millisecond, Memory: 64 << 20, Tasks: 10}}
)

func TestCompile(t *testing.T) {
	for name, c := range map[string]struct {
		policy   policy.Policy
		features *probe.Features
		lsm      bool
		unheld   []Duty
		by       map[Duty]Layer
	}{
		"nothing permitted":        {policy.Policy{}, everything(probe.BPFLSM), false, nil, map[Duty]Layer{Files: Landlock, Network: Seccomp, SystemCalls: Seccomp, Threads: Seccomp}},
		"files by Landlock":        {readUsr, everything(probe.BPFLSM), false, nil, map[Duty]Layer{Files: Landlock, Network: Seccomp, SystemCalls: Seccomp, Threads: Seccomp}},
		"files by the LSM":         {readUsr, everything(), true, nil, map[Duty]Layer{Files: LSM, Network: LSM, SystemCalls: Seccomp, Threads: Seccomp}},
		"works, but is not loaded": {connects, everything(), false, []Duty{Network}, nil},
		"narrower than Landlock":   {narrower, everything(), false, []Duty{Files}, nil},
		"narrower, LSM":            {narrower, everything(), true, nil, map[Duty]Layer{Files: LSM, Network: LSM, SystemCalls: Seccomp, Threads: Seccomp}},
		"addresses":                {connects, everything(probe.BPFLSM), false, []Duty{Network}, nil},
		"no layer for files":       {readUsr, everything(probe.BPFLSM, probe.Landlock), false, []Duty{Files}, nil},
		"old Landlock":             {readUsr, landlockVersion(2), false, []Duty{Files}, nil},
		"no filters":               {policy.Policy{}, everything(probe.SeccompFilter), false, []Duty{SystemCalls, Network, Threads}, nil},
		"filters that cannot kill": {policy.Policy{}, everything(probe.SeccompKill), false, []Duty{SystemCalls, Network, Threads}, nil},
		"quotas": {bounded, everything(), false, nil, map[Duty]Layer{Files: Landlock, Network: Seccomp, SystemCalls: Seccomp, Threads: Seccomp,
			Processor: Cgroup, Memory: Cgroup, Tasks: Cgroup}},
		"no memory controller": {bounded, everything(probe.CgroupMemory), false, []Duty{Memory}, nil},
		"no controllers":       {bounded, everything(probe.CgroupMemory, probe.CgroupCPU, probe.CgroupTasks), false, []Duty{Processor, Memory, Tasks}, nil},
		"not even needed":      {policy.Policy{}, everything(probe.CgroupMemory, probe.CgroupCPU, probe.CgroupTasks), false, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{Backend: seccomp.Process, Features: c.features, Groups: groupsOf(c.features)}
			if c.lsm {
				o.Guard = loaded
			}
			s, err := Compile(c.policy, o)
			if (err == nil) != (c.unheld == nil) || (err != nil && !errors.Is(err, ErrUnheld)) {
				t.Fatalf("hardened: %v", err)
			}
			if err != nil && (s.Program != nil || s.Ruleset != nil || s.Bind) {
				t.Error("there is something to put on after a failure")
			}
			var unheld []Duty
			by := map[Duty]Layer{}
			for _, d := range s.Report.Duties {
				if !d.Held {
					unheld = append(unheld, d.Duty)
					if !strings.Contains(err.Error(), string(d.Duty)) {
						t.Errorf("%v does not name %s", err, d.Duty)
					}
					continue
				}
				by[d.Duty] = d.By
			}
			if diff := cmp.Diff(c.unheld, unheld); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(c.by, by); c.by != nil && diff != "" {
				t.Error(diff)
			}
			o.Mode = Dev
			dev, err := Compile(c.policy, o)
			if err != nil {
				t.Errorf("dev: %v", err)
			}
			if diff := cmp.Diff(s.Report.Duties, dev.Report.Duties); diff != "" {
				t.Errorf("dev reports something else: %s", diff)
			}
		})
	}
}

func TestCompatibility(t *testing.T) {
	s, err := Compile(readUsr, Options{Backend: seccomp.Process, Mode: Compatibility, Features: everything()})
	if err != nil {
		t.Fatal(err)
	}
	if s.Program != nil || s.Ruleset != nil || s.Report.Active(Seccomp) || s.Report.Active(Landlock) {
		t.Errorf("there are filters: %+v", s.Report)
	}
	for _, row := range s.Report.Layers {
		if (row.Layer == Seccomp || row.Layer == Landlock) && row.Evidence != leftOut {
			t.Errorf("%+v", row)
		}
	}
	if len(s.Report.Unheld()) == 0 {
		t.Error("the report says that all is held")
	}
}

// TestGrants: the filter gives what the policy does, and writing only where somebody
// judges the paths.
func TestGrants(t *testing.T) {
	for name, c := range map[string]struct {
		policy policy.Policy
		o      Options
		call   string
		want   bool
	}{
		"no threads":             {policy.Policy{}, Options{}, "clone", false},
		"threads":                {policy.Policy{Children: 1}, Options{}, "clone", true},
		"a watching thread":      {policy.Policy{}, Options{Threads: true}, "clone", true},
		"no network":             {policy.Policy{}, Options{}, "connect", false},
		"network":                {connects, Options{}, "connect", true},
		"no writing":             {readUsr, Options{}, "unlinkat", false},
		"writing":                {writes, Options{}, "unlinkat", true},
		"writing, nobody judges": {writes, Options{Features: everything(probe.Landlock, probe.BPFLSM)}, "unlinkat", false},
		"writing, the LSM":       {writes, Options{Features: everything(probe.Landlock), Guard: loaded}, "unlinkat", true},
	} {
		t.Run(name, func(t *testing.T) {
			c.o.Backend, c.o.Mode = seccomp.SubInterpreter, Dev
			if c.o.Features == nil {
				c.o.Features = everything()
			}
			s, err := Compile(c.policy, c.o)
			if err != nil {
				t.Fatal(err)
			}
			arch, err := seccomp.Here()
			if err != nil {
				t.Skip(err)
			}
			n, _ := arch.Number(c.call)
			action, err := s.Program.Eval(arch.Call(n, 0x3d0f00)) // for clone: a thread
			if err != nil || (action == seccomp.Allow) != c.want {
				t.Errorf("%s: %s, %v", c.call, action, err)
			}
		})
	}
}

func TestCompileRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		policy policy.Policy
		o      Options
		err    string
	}{
		"a bad policy":  {policy.Policy{Children: -1}, Options{Backend: seccomp.Process}, "invalid"},
		"a bad mode":    {policy.Policy{}, Options{Mode: "lax"}, `mode "lax"`},
		"a bad backend": {policy.Policy{}, Options{Backend: "vm", Mode: Dev}, `backend "vm"`},
	} {
		t.Run(name, func(t *testing.T) {
			c.o.Features = everything()
			if _, err := Compile(c.policy, c.o); err == nil || !strings.Contains(err.Error(), c.err) {
				t.Error(err)
			}
		})
	}
	if _, err := ParseMode("lax"); err == nil {
		t.Error("ParseMode took it")
	}
	for _, m := range Modes {
		if got, err := ParseMode(string(m)); got != m || err != nil {
			t.Errorf("%s: %s, %v", m, got, err)
		}
	}
}

// TestHere compiles for this machine's kernel, in every mode.
func TestHere(t *testing.T) {
	for _, m := range Modes {
		s, err := Compile(readUsr, Options{Backend: seccomp.Process, Mode: m, Threads: true})
		if err != nil && (m != Hardened || !errors.Is(err, ErrUnheld)) {
			t.Errorf("%s: %v", m, err)
		}
		t.Logf("%s: %+v, %v", m, s.Report, err)
	}
}

func BenchmarkCompile(b *testing.B) {
	f := everything()
	for b.Loop() {
		if _, err := Compile(readUsr, Options{Backend: seccomp.Process, Features: f}); err != nil {
			b.Fatal(err)
		}
	}
}

// counting are programs that judge addresses and count, and no more.
var counting = Guard{Layer: Programs, Evidence: "attached", Network: true, Connects: true, Bytes: true, CPU: true}

// TestPrograms: what each kind of programs holds, and on whom the rest falls.
func TestPrograms(t *testing.T) {
	totals := policy.Policy{Quotas: policy.Quotas{Opens: 1, Connects: 1, Sent: 1, CPUTotal: time.Second, Bandwidth: policy.MinBandwidth}}
	for name, c := range map[string]struct {
		policy policy.Policy
		o      Options
		unheld []Duty
		by     map[Duty]Layer
	}{
		"addresses":            {connects, Options{Guard: counting}, nil, map[Duty]Layer{Network: Programs, Files: Landlock}},
		"addresses, no filter": {connects, Options{Guard: counting, Features: everything(probe.SeccompFilter)}, []Duty{SystemCalls, Network, Threads}, nil},
		"totals":               {totals, Options{Guard: loaded}, nil, map[Duty]Layer{TotalOpens: LSM, TotalConnects: LSM, TotalBytes: LSM, TotalCPU: LSM, Bandwidth: LSM}},
		"but opens":            {totals, Options{Guard: counting}, []Duty{TotalOpens}, map[Duty]Layer{TotalBytes: Programs}},
		"no totals":            {totals, Options{}, []Duty{TotalOpens, TotalConnects, TotalBytes, Bandwidth, TotalCPU}, nil},
		"changes refused":      {writes, Options{Guard: Guard{Layer: LSM, Files: true, Network: true}, Features: everything(probe.Landlock)}, []Duty{Files}, nil},
		"a thread's quotas":    {bounded, Options{Backend: seccomp.SubInterpreter}, []Duty{Processor, Memory, Tasks}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if c.o.Features == nil {
				c.o.Features = everything()
			}
			c.o.Mode = Dev
			if c.o.Backend == "" {
				c.o.Backend = seccomp.Process
			}
			s, err := Compile(c.policy, c.o)
			if err != nil {
				t.Fatal(err)
			}
			var unheld []Duty
			by := map[Duty]Layer{}
			for _, d := range s.Report.Duties {
				if !d.Held {
					unheld = append(unheld, d.Duty)
				}
				by[d.Duty] = d.By
			}
			if diff := cmp.Diff(c.unheld, unheld); diff != "" {
				t.Error(diff)
			}
			for duty, layer := range c.by {
				if by[duty] != layer {
					t.Errorf("%s is held by %q, want %q", duty, by[duty], layer)
				}
			}
		})
	}
}

// Patterns need a layer that is exact: who judges directories only permits more, and says so.
func TestGlobs(t *testing.T) {
	p := policy.Policy{Files: []policy.FileRule{{Path: "/a", Access: policy.Read}, {Path: "/a", Glob: "/a/**/*.key"}}}
	const words = "/a/**/*.key is not taken away"
	programs := loaded
	programs.Changes = false
	for name, c := range map[string]struct {
		options Options
		held    bool
		layer   Layer
	}{
		"landlock":     {Options{Features: everything(probe.BPFLSM)}, false, Landlock},
		"programs":     {Options{Features: everything(), Guard: programs, Live: true}, false, LSM},
		"a supervisor": {Options{Features: everything(probe.BPFLSM), Live: true, Watched: "watched"}, true, Notify},
	} {
		c.options.Backend = seccomp.Process
		_, err := Compile(p, c.options)
		if c.held && err != nil || !c.held && (!errors.Is(err, ErrUnheld) || !strings.Contains(err.Error(), words)) {
			t.Errorf("%s: hardened: %v", name, err)
		}
		c.options.Mode = Dev
		s, err := Compile(p, c.options)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		named := false
		for _, row := range s.Report.Layers {
			named = named || row.Layer == c.layer && strings.Contains(strings.Join(row.Gaps, "; "), words)
		}
		if named == c.held {
			t.Errorf("%s: its gaps: %+v", name, s.Report.Layers)
		}
	}
}

// TestLive: rules that may be replaced are not in a layer that keeps what it was given.
func TestLive(t *testing.T) {
	s, err := Compile(connects, Options{Backend: seccomp.Process, Guard: loaded, Live: true, Features: everything()})
	if err != nil || s.Ruleset != nil || s.Report.Active(Landlock) {
		t.Errorf("beside LSM programs: %+v, %v", s.Ruleset, err)
	}
	s, err = Compile(connects, Options{Backend: seccomp.Process, Guard: counting, Live: true, Features: everything()})
	if err != nil || s.Ruleset == nil || s.Ruleset.Net&unix.LANDLOCK_ACCESS_NET_CONNECT_TCP != 0 || len(s.Ruleset.Ports) > 0 {
		t.Errorf("beside programs for addresses: %+v, %v", s.Ruleset, err)
	}
	s, err = Compile(connects, Options{Backend: seccomp.Process, Guard: loaded, Features: everything()})
	if err != nil || s.Ruleset == nil {
		t.Errorf("not to be replaced: %+v, %v", s.Ruleset, err)
	}
}
