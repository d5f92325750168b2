package guard

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/internal/osthread"
	"github.com/pyisolate/pyisolate/kernel/policy"
)

// optional are hooks that younger kernels have; what they guard older ones lack, or
// seccomp refuses it.
var optional = []string{"userns_create", "uring_override_creds", "uring_sqpoll", "uring_cmd"}

// counting are the programs of the control group that are of use beside the LSM's.
var counting = []string{"on_egress", "on_ingress", "on_runtime", "refused_egress"}

// attached programs have names that begin so; others are entries of contracts' arrays.
const attachedPrefix = "on_"

// prepare makes the specification of what is loaded: the programs of the kind, with one
// set of maps, without those that this kernel has no hook for.
func (g *Guard) prepare(o Options) error {
	spec, err := loadCgroup()
	if err != nil {
		return fmt.Errorf("guard: read the control group's programs: %w", err)
	}
	if !o.byThread { // nothing is to be forgotten at an exit
		delete(spec.Programs, "on_exit")
	}
	if err := spec.Variables["by_thread"].Set(o.byThread); err != nil {
		return fmt.Errorf("guard: set a program's constant: %w", err)
	}
	if o.maxThreads > 0 {
		spec.Maps["threads"].MaxEntries = o.maxThreads
	}
	g.spec = spec
	if g.kind == Cgroup {
		return nil
	}
	if g.spec, err = loadLsm(); err != nil {
		return fmt.Errorf("guard: read the LSM's programs: %w", err)
	}
	if g.cgroup != "" {
		for name, m := range spec.Maps {
			if g.spec.Maps[name] == nil {
				g.spec.Maps[name] = m
			}
		}
		for _, name := range counting {
			g.spec.Programs[name] = spec.Programs[name]
		}
	}
	return g.adapt()
}

// adapt leaves out what this kernel has no hook for, and fails when that is needed.
func (g *Guard) adapt() error {
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		return fmt.Errorf("guard: read the kernel's types: %w", err)
	}
	var f *btf.Func
	g.changes = kernel.TypeByName("bpf_path_d_path", &f) == nil
	for name, p := range g.spec.Programs {
		if p.Type != ebpf.LSM {
			continue
		}
		err := kernel.TypeByName("bpf_lsm_"+p.AttachTo, &f)
		switch {
		case err == nil:
		case slices.Contains(optional, p.AttachTo):
			delete(g.spec.Programs, name)
		default:
			return fmt.Errorf("guard: this kernel has no hook %s: %w", p.AttachTo, err)
		}
	}
	return nil
}

// keepMaps takes the maps that live as long as the guard, and maps what is shared.
func (g *Guard) keepMaps(c *ebpf.Collection) error {
	for name, m := range c.Maps {
		if strings.HasPrefix(name, ".") { // the compiler's
			continue
		}
		kept, err := m.Clone()
		if err != nil {
			return fmt.Errorf("guard: keep map %s: %w", name, err)
		}
		g.maps[name] = kept
	}
	var err error
	if g.cells, err = mapped(g.maps["cells"], maxCells*int(unsafe.Sizeof(sharedPolicy{}))); err != nil {
		return err
	}
	g.usages, err = mapped(g.maps["usages"], maxCells*int(unsafe.Sizeof(usage{})))
	return err
}

func (g *Guard) attach(c *ebpf.Collection) error {
	for _, name := range slices.Sorted(maps.Keys(c.Programs)) {
		if !strings.HasPrefix(name, attachedPrefix) {
			continue
		}
		l, err := g.attachOne(c.Programs[name], g.spec.Programs[name].AttachType)
		if err != nil {
			return fmt.Errorf("guard: attach %s: %w", name, err)
		}
		g.links[name] = l
	}
	return nil
}

func (g *Guard) attachOne(p *ebpf.Program, at ebpf.AttachType) (link.Link, error) {
	switch p.Type() {
	case ebpf.LSM:
		return link.AttachLSM(link.LSMOptions{Program: p})
	case ebpf.Tracing:
		return link.AttachTracing(link.TracingOptions{Program: p})
	default:
		return link.AttachCgroup(link.CgroupOptions{Path: g.cgroup, Attach: at, Program: p})
	}
}

// try sees that the kernel calls the LSM's programs: it loads and attaches them also where
// "bpf" is not among its active security modules, and then calls none.
func (g *Guard) try() error {
	if g.kind != LSM {
		return nil
	}
	c, err := g.NewCell(policy.Policy{})
	if err != nil {
		return err
	}
	defer c.Close()
	c.DenyAll()
	return osthread.Run(func() error {
		if err := c.BindSelf(); err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Stat("/", &st); !errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf(`guard: the kernel does not call LSM programs (a bound thread looked at /: %w); is "bpf" in its lsm=?`, err)
		}
		return nil
	})
}
