package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A Group is one control group, in as many hierarchies as it takes.
type Group struct {
	tree *Tree
	name string
	dirs []string
}

// ErrThreads says that a thread cannot be put into a group of its own, away from its
// process: version 2 wants a group that is made for threads, which has no memory limit.
var ErrThreads = errors.New("cgroup: version 2 bounds processes, not single threads")

func (t *Tree) group(name string) *Group {
	g := &Group{tree: t, name: name}
	for _, dir := range t.dirs {
		g.dirs = append(g.dirs, filepath.Join(dir, name))
	}
	return g
}

// Create makes a group with limits. When it fails nothing of the group is left.
func (t *Tree) Create(name string, l Limits) (*Group, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	for _, c := range l.needs() {
		if p := t.places[c]; p.Version == 0 {
			return nil, fmt.Errorf("%w: %s: %s", ErrNoController, c, strings.Join(p.Evidence, "; "))
		}
	}
	g := t.group(name)
	for i, dir := range g.dirs {
		if err := os.Mkdir(dir, 0o755); err != nil {
			g.rmdir(g.dirs[:i])
			return nil, fmt.Errorf("cgroup: make a group: %w", err)
		}
	}
	if l == (Limits{}) { // as the kernel makes it
		return g, nil
	}
	if err := g.Set(l); err != nil {
		g.rmdir(g.dirs)
		return nil, err
	}
	return g, nil
}

// Adopt returns a group that is there, with the limits it has.
func (t *Tree) Adopt(name string) (*Group, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	g := t.group(name)
	for _, dir := range g.dirs {
		if _, err := os.Stat(dir); err != nil {
			return nil, fmt.Errorf("cgroup: adopt a group: %w", err)
		}
	}
	return g, nil
}

func (g *Group) rmdir(dirs []string) {
	for _, dir := range dirs {
		_ = os.Remove(dir) // it has been made just now and is empty
	}
}

// Name returns the group's name in its tree.
func (g *Group) Name() string { return g.name }

// Unified returns its directory in the version 2 hierarchy, "" where it has none.
func (g *Group) Unified() string {
	if g.tree.unified == "" {
		return ""
	}
	return filepath.Join(g.tree.unified, g.name)
}

// dir returns the group's directory for a controller.
func (g *Group) dir(c Controller) (dir string, version int) {
	p := g.tree.places[c]
	if p.Version == 0 {
		return "", 0
	}
	return filepath.Join(p.Dir, g.name), p.Version
}

// Set changes the limits; those that are zero are lifted. They take effect at once, for
// what is in the group already, too.
func (g *Group) Set(l Limits) error {
	needed := l.needs()
	for _, c := range Controllers {
		dir, version := g.dir(c)
		if version == 0 {
			if slices.Contains(needed, c) {
				return fmt.Errorf("%w: %s", ErrNoController, c)
			}
			continue
		}
		if err := g.set(l, c, version, dir); err != nil {
			return err
		}
	}
	return nil
}

func (g *Group) set(l Limits, c Controller, version int, dir string) error {
	err := l.apply(c, version, dir)
	if c == Memory && version == 1 && errors.Is(err, unix.EINVAL) {
		// The sum with swap must never be the smaller: from above it has to go first.
		both := "-1"
		if l.Memory > 0 {
			both = strconv.FormatInt(l.Memory, 10)
		}
		if err := write(filepath.Join(dir, "memory.memsw.limit_in_bytes"), both); err != nil {
			return fmt.Errorf("cgroup: set the limit of memory and swap: %w", err)
		}
		return l.apply(c, version, dir)
	}
	return err
}

// AddProcess moves a process, with all its threads, into the group.
func (g *Group) AddProcess(pid int) error {
	return g.add("cgroup.procs", pid)
}

// AddThread moves one thread into the group. It fails with ErrThreads where the group
// is in the version 2 hierarchy with controllers.
func (g *Group) AddThread(tid int) error {
	for _, c := range Controllers {
		if g.tree.places[c].Version == 2 {
			return ErrThreads
		}
	}
	for _, dir := range g.dirs {
		if dir == g.Unified() {
			continue // it has no controllers and is for whole processes
		}
		if err := write(filepath.Join(dir, "tasks"), strconv.Itoa(tid)); err != nil {
			return fmt.Errorf("cgroup: move thread %d: %w", tid, err)
		}
	}
	return nil
}

func (g *Group) add(file string, id int) error {
	for _, dir := range g.dirs {
		if err := write(filepath.Join(dir, file), strconv.Itoa(id)); err != nil {
			return fmt.Errorf("cgroup: move %d into %s: %w", id, dir, err)
		}
	}
	return nil
}

// Processes lists what is in the group.
func (g *Group) Processes() ([]int, error) {
	var list []int
	for _, dir := range g.dirs {
		text, err := read(filepath.Join(dir, "cgroup.procs"))
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENODEV) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cgroup: list processes: %w", err)
		}
		for field := range strings.FieldsSeq(text) {
			pid, err := strconv.Atoi(field)
			if err != nil {
				return nil, fmt.Errorf("cgroup: list processes: %w", err)
			}
			if !slices.Contains(list, pid) {
				list = append(list, pid)
			}
		}
	}
	return list, nil
}

// Kill ends all processes in the group.
func (g *Group) Kill() error {
	if dir := g.Unified(); dir != "" && len(g.dirs) == 1 {
		if write(filepath.Join(dir, "cgroup.kill"), "1") == nil {
			return nil
		} // before Linux 5.14 there is none
	}
	list, err := g.Processes()
	if err != nil {
		return err
	}
	for _, pid := range list {
		if pid == os.Getpid() || pid == 0 { // 0 is one that this namespace cannot see
			continue
		}
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("cgroup: kill %d: %w", pid, err)
		}
	}
	return nil
}

// removePoll is how long to wait between looks: the kernel tells nobody when a version 1
// group is empty.
const removePoll = 2 * time.Millisecond

// Remove kills what is in the group and removes it, or says why not when ctx ends. A
// group that is gone is no error.
func (g *Group) Remove(ctx context.Context) error {
	for {
		err := g.tryRemove()
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("cgroup: remove a group: %w", err)
		}
		if err := g.Kill(); err != nil {
			return err
		}
		tick := time.NewTimer(removePoll)
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			return fmt.Errorf("cgroup: remove %s: %w: %w", g.name, context.Cause(ctx), err)
		}
	}
}

func (g *Group) tryRemove() error {
	var busy error
	for _, dir := range g.dirs {
		if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			busy = err
		}
	}
	return busy
}
