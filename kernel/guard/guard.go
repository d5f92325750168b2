package guard

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
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
	// Pin is a directory in a bpf file system that keeps the programs attached when
	// this process dies. It is made, and emptied of what an earlier node left. "" pins
	// nothing: then the programs go with the process, and what it confined is free.
	Pin string
}

// optional are hooks that younger kernels have; what they guard older ones lack, or
// seccomp refuses it.
var optional = []string{"userns_create", "uring_override_creds", "uring_sqpoll", "uring_cmd"}

// A Guard is the loaded and attached programs.
type Guard struct {
	spec  *ebpf.CollectionSpec
	maps  programsMaps
	links []link.Link
	pin   string
	// changes: the kernel tells paths to the hooks that change directories.
	changes bool

	cells  []byte // mapped: a word for each cell
	usages []byte // mapped: a usage for each cell

	mu         sync.Mutex
	generation uint32
	freeCells  []uint32
	freeSlots  []uint32
	// retired slots were published until a moment ago: a program may be reading them.
	retired []uint32
}

// Load loads the programs and attaches them.
func Load(o Options) (*Guard, error) {
	spec, err := loadPrograms()
	if err != nil {
		return nil, fmt.Errorf("guard: read the programs: %w", err)
	}
	g := &Guard{spec: spec, pin: o.Pin}
	if err := g.adapt(); err != nil {
		return nil, err
	}
	collection, err := ebpf.NewCollection(spec)
	if err != nil {
		return nil, fmt.Errorf("guard: load the programs: %w", err)
	}
	defer collection.Close() // links and our clones of the maps stay
	if err := g.attach(collection); err != nil {
		return nil, errors.Join(err, g.Close())
	}
	for cell := range uint32(maxCells) {
		g.freeCells = append(g.freeCells, cell)
	}
	for slot := range uint32(maxSlots) {
		g.freeSlots = append(g.freeSlots, slot)
	}
	return g, nil
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

func (g *Guard) attach(c *ebpf.Collection) error {
	for to, name := range map[**ebpf.Map]string{&g.maps.Bindings: "bindings", &g.maps.Claims: "claims", &g.maps.Cells: "cells",
		&g.maps.Usages: "usages", &g.maps.Paths: "paths", &g.maps.V4: "v4", &g.maps.V6: "v6"} {
		m, err := c.Maps[name].Clone()
		if err != nil {
			return fmt.Errorf("guard: keep map %s: %w", name, err)
		}
		*to = m
	}
	var err error
	if g.cells, err = mapped(g.maps.Cells, maxCells*8); err != nil {
		return err
	}
	if g.usages, err = mapped(g.maps.Usages, maxCells*int(unsafe.Sizeof(Usage{}))); err != nil {
		return err
	}
	names := make([]string, 0, len(c.Programs))
	for name, p := range c.Programs {
		l, err := link.AttachLSM(link.LSMOptions{Program: p})
		if err != nil {
			return fmt.Errorf("guard: attach %s: %w", name, err)
		}
		g.links = append(g.links, l)
		names = append(names, name)
	}
	return g.pinAll(names)
}

// pinAll pins the links, once those of an earlier node are away.
func (g *Guard) pinAll(names []string) error {
	if g.pin == "" {
		return nil
	}
	if err := os.MkdirAll(g.pin, 0o700); err != nil {
		return fmt.Errorf("guard: make the directory of pins: %w", err)
	}
	if err := unpin(g.pin); err != nil {
		return err
	}
	for i, l := range g.links {
		if err := l.Pin(filepath.Join(g.pin, names[i])); err != nil {
			return fmt.Errorf("guard: pin %s (is %s in a bpf file system?): %w", names[i], g.pin, err)
		}
	}
	return nil
}

// unpin removes the pins of links in a directory.
func unpin(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("guard: list pins: %w", err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "on_") {
			continue // not of ours
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("guard: remove a pin: %w", err)
		}
	}
	return nil
}

func mapped(m *ebpf.Map, size int) ([]byte, error) {
	data, err := unix.Mmap(m.FD(), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("guard: map %s: %w", m, err)
	}
	return data, nil
}

// JudgesChanges reports whether making, renaming and removing files is judged by path.
// Where it is not, all of it is refused.
func (g *Guard) JudgesChanges() bool { return g.changes }

// Programs returns how many are attached.
func (g *Guard) Programs() int { return len(g.links) }

// Evidence says in words what is attached, for reports.
func (g *Guard) Evidence() string {
	text := fmt.Sprintf("%d programs are attached", len(g.links))
	if g.pin != "" {
		text += " and pinned in " + g.pin
	}
	if !g.changes {
		text += "; this kernel cannot judge changes of directories, so all are refused"
	}
	return text
}

// word is a cell's policy, shared with the programs.
func (g *Guard) word(cell uint32) *atomic.Uint64 {
	return (*atomic.Uint64)(unsafe.Pointer(&g.cells[cell*8]))
}

// Close detaches the programs, pinned or not.
func (g *Guard) Close() error {
	var failed error
	if g.pin != "" {
		if _, err := os.Stat(g.pin); err == nil {
			failed = errors.Join(unpin(g.pin), os.Remove(g.pin))
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
	g.links = nil
	for _, data := range []*[]byte{&g.cells, &g.usages} {
		if *data != nil {
			failed = errors.Join(failed, unix.Munmap(*data))
			*data = nil
		}
	}
	for _, m := range []*ebpf.Map{g.maps.Bindings, g.maps.Claims, g.maps.Cells, g.maps.Usages, g.maps.Paths, g.maps.V4, g.maps.V6} {
		if m != nil {
			failed = errors.Join(failed, m.Close())
		}
	}
	return failed
}
