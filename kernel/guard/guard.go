package guard

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

// Sizes of the maps, as in bpf/maps.h.
const (
	maxCells  = 4096
	maxSlots  = 1024
	pathKey   = 256
	portRange = policy.MaxPortRanges
)

// Options say how to load.
type Options struct {
	// Kind is how to attach; Auto by default, which is the strongest that works.
	Kind Kind
	// Cgroup is a directory of a version 2 hierarchy that exists, with all processes
	// below it that have bound threads, from before they make their first socket: a
	// socket stays of the group it was made in. Kind Cgroup needs it. With LSM it
	// adds the counting of bytes and processor time, and their quotas.
	Cgroup string
	// Pin is a directory in a bpf file system that keeps the programs attached when
	// this process dies. It is made, and emptied of what an earlier node left. "" pins
	// nothing: then the programs go with the process, and what it confined is free.
	Pin string

	// by thread number rather than task storage, where the kernel has it for the LSM only.
	byThread bool
	// how many threads fit then; 0 is what the object says.
	maxThreads uint32
}

// A Guard is the loaded and attached programs.
type Guard struct {
	kind     Kind
	cgroup   string
	pin      string
	byThread bool
	// changes: the kernel tells paths to the hooks that change directories.
	changes bool
	// weaker says why it is not of the stronger kind.
	weaker error

	spec  *ebpf.CollectionSpec
	maps  map[string]*ebpf.Map
	links map[string]link.Link

	cells  []byte // mapped: a sharedPolicy for each cell
	usages []byte // mapped: a usage for each cell

	// building is held while a slot is filled; it is taken before mu.
	building sync.Mutex
	mu       sync.Mutex
	// generation counts what was published, lives the cells there were.
	generation uint32
	lives      uint32
	freeCells  []uint32
	slots      slots
}

// Load loads the programs and attaches them. The zero Options find the strongest kind.
func Load(o Options) (*Guard, error) {
	switch o.Kind {
	case LSM:
		return load(o, LSM)
	case Cgroup:
		return loadWeaker(o)
	}
	g, err := load(o, LSM)
	if err == nil {
		return g, nil
	}
	if o.Cgroup == "" {
		return nil, fmt.Errorf("%w; and no control group is given for programs of the other kind", err)
	}
	weaker, other := loadWeaker(o)
	if other != nil {
		return nil, errors.Join(err, other)
	}
	weaker.weaker = err
	return weaker, nil
}

// loadWeaker finds bindings in task storage where the kernel lets programs of control
// groups read it (6.18 does, 6.12 does not), and by thread number elsewhere.
func loadWeaker(o Options) (*Guard, error) {
	if o.Cgroup == "" {
		return nil, errors.New("guard: programs of kind cgroup need a control group: set Options.Cgroup")
	}
	g, err := load(o, Cgroup)
	if err == nil || o.byThread || !errors.As(err, new(*ebpf.VerifierError)) {
		return g, err
	}
	o.byThread = true
	g, other := load(o, Cgroup)
	if other != nil {
		return nil, errors.Join(err, other)
	}
	return g, nil
}

// plain is an error of loading without the library's guess at what is missing: since Linux 5.11
// no memory limit of the process counts.
type plain struct{ error }

func (p plain) Error() string {
	before, after, _ := strings.Cut(p.error.Error(), " (MEMLOCK may be too low, consider rlimit.RemoveMemlock)")
	return before + after
}

func (p plain) Unwrap() error { return p.error }

func load(o Options, kind Kind) (*Guard, error) {
	if o.byThread {
		if err := numbersFit(); err != nil {
			return nil, err
		}
	}
	g := &Guard{kind: kind, cgroup: o.Cgroup, pin: o.Pin, byThread: o.byThread, links: map[string]link.Link{}, maps: map[string]*ebpf.Map{}}
	if err := g.prepare(o); err != nil {
		return nil, err
	}
	c, err := ebpf.NewCollection(g.spec)
	if err != nil {
		return nil, fmt.Errorf("guard: load the programs of kind %s: %w", kind, plain{err})
	}
	defer c.Close() // links and our clones of the maps stay
	for cell := range uint32(maxCells) {
		g.freeCells = append(g.freeCells, cell)
	}
	g.slots = newSlots(maxSlots)
	for _, step := range []func(*ebpf.Collection) error{g.keepMaps, g.setRefusals, g.attach} {
		if err := step(c); err != nil {
			return nil, errors.Join(err, g.release())
		}
	}
	if err := g.try(); err != nil {
		return nil, errors.Join(err, g.release())
	}
	if err := g.pinAll(); err != nil {
		return nil, errors.Join(err, g.Close())
	}
	return g, nil
}

func mapped(m *ebpf.Map, size int) ([]byte, error) {
	data, err := unix.Mmap(m.FD(), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("guard: map %s: %w", m, err)
	}
	return data, nil
}

// Programs returns how many are attached.
func (g *Guard) Programs() int { return len(g.links) }

// Evidence says in words what is attached, for reports.
func (g *Guard) Evidence() string {
	parts := []string{fmt.Sprintf("%d programs of kind %s are attached", len(g.links), g.kind)}
	if g.cgroup != "" {
		parts[0] += " to " + g.cgroup
	}
	if g.pin != "" {
		parts[0] += " and pinned in " + g.pin
	}
	if g.kind == LSM && !g.changes {
		parts = append(parts, "this kernel cannot judge changes of directories, so all are refused")
	}
	if g.byThread {
		parts = append(parts, "this kernel has programs of control groups find threads by their number")
	}
	if g.weaker != nil {
		why, _, _ := strings.Cut(g.weaker.Error(), "\n")
		parts = append(parts, "the stronger kind: "+why)
	}
	return strings.Join(parts, "; ")
}

// sharedPolicy is struct policy.
type sharedPolicy struct {
	word atomic.Uint64
	life atomic.Uint32
	_    uint32
}

// shared is a cell's policy, shared with the programs.
func (g *Guard) shared(cell uint32) *sharedPolicy {
	return (*sharedPolicy)(unsafe.Pointer(&g.cells[cell*uint32(unsafe.Sizeof(sharedPolicy{}))]))
}

// Orphans returns how many children of bound threads were not bound, for want of memory,
// and could not be killed either. While there are any, no thread in the control group may
// connect. Only kind Cgroup has them, before Linux 6.13; their host is to be killed.
func (g *Guard) Orphans() (uint64, error) {
	m := g.maps["orphans"]
	if m == nil {
		return 0, nil
	}
	var n uint64
	if err := m.Lookup(uint32(0), &n); err != nil {
		return 0, fmt.Errorf("guard: look for orphans: %w", err)
	}
	return n, nil
}

// Close detaches the programs, pinned or not.
func (g *Guard) Close() error {
	var failed error
	if g.pin != "" {
		if _, err := os.Stat(g.pin); err == nil {
			failed = errors.Join(unpin(g.pin, nil), os.Remove(g.pin))
		}
	}
	return errors.Join(failed, g.release())
}

// release gives back what this process has: what is pinned stays attached.
func (g *Guard) release() error {
	var failed error
	for _, l := range g.links {
		failed = errors.Join(failed, l.Close())
	}
	clear(g.links)
	for _, data := range []*[]byte{&g.cells, &g.usages} {
		if *data != nil {
			failed = errors.Join(failed, unix.Munmap(*data))
			*data = nil
		}
	}
	for _, m := range g.maps {
		failed = errors.Join(failed, m.Close())
	}
	clear(g.maps)
	return failed
}
