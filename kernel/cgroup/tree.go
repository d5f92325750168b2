package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Options say where a tree is.
type Options struct {
	// Name is the directory that all groups lie in, "pyisolate" by default. Two nodes
	// on one machine need different ones.
	Name string
	// Parent is a group, by its path inside the hierarchies ("/service"), to make the
	// tree in. By default it is this process's own, else the root.
	Parent string
	// Version restricts the search to 1 or 2; 0 is both.
	Version int
}

// Place is where the groups of a controller are.
type Place struct {
	// Version of the hierarchy; 0 where there is none.
	Version int
	// Dir is the tree's directory there.
	Dir string
	// Evidence is what was tried and what came of it.
	Evidence []string
}

// A Tree makes groups.
type Tree struct {
	options Options
	places  map[Controller]Place
	dirs    []string // of the tree, one in each hierarchy it uses
	unified string   // the one of version 2, "" where none could be made
}

// names of trees and groups: one path element that hides nothing.
var names = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)

func checkName(name string) error {
	if !names.MatchString(name) {
		return fmt.Errorf("cgroup: %q is not a name; letters, digits, _ . and - are", name)
	}
	return nil
}

// Open finds places for all controllers and makes the tree's directories. It does not
// fail when there are none: Places tells.
func Open(o Options) (*Tree, error) {
	if o.Name == "" {
		o.Name = "pyisolate"
	}
	if err := checkName(o.Name); err != nil {
		return nil, err
	}
	mounts, err := Mounts()
	if err != nil {
		return nil, err
	}
	t := &Tree{options: o, places: map[Controller]Place{}}
	for _, c := range append(slices.Clone(Controllers), accounting) {
		var p Place
		if o.Version != 1 && c != accounting {
			t.inUnified(mounts, c, &p)
		}
		if p.Version == 0 && o.Version != 2 {
			t.inOwn(mounts, c, &p)
		}
		t.places[c] = p
	}
	if t.unified == "" && o.Version != 1 {
		t.plainUnified(mounts)
	}
	return t, nil
}

// Places returns where each controller's groups are.
func (t *Tree) Places() map[Controller]Place {
	of := map[Controller]Place{}
	for _, c := range Controllers {
		of[c] = t.places[c]
	}
	return of
}

// Bounds reports whether groups can have limits of any kind.
func (t *Tree) Bounds() bool {
	for _, c := range Controllers {
		if t.places[c].Version > 0 {
			return true
		}
	}
	return false
}

// Unified returns the tree's directory in the version 2 hierarchy, which eBPF programs
// attach to whether it has controllers or not; "" where there is none.
func (t *Tree) Unified() string { return t.unified }

// parents are the groups to try, in order.
func (t *Tree) parents(m Mount) []string {
	if t.options.Parent != "" {
		return []string{filepath.Join(m.Point, t.options.Parent)}
	}
	var list []string
	if own, err := m.Own(); err == nil {
		list = append(list, own)
	}
	if len(list) == 0 || list[0] != m.Point {
		list = append(list, m.Point)
	}
	return list
}

// inUnified looks for a place in version 2: the controller must be switched on for the
// parent's and the tree's children, and a group must take a limit.
func (t *Tree) inUnified(mounts []Mount, c Controller, p *Place) {
	m, ok := Find(mounts, "")
	if !ok {
		p.Evidence = append(p.Evidence, "version 2 is not mounted")
		return
	}
	parents := t.parents(m)
	if t.unified != "" { // one directory for all its controllers
		parents = []string{filepath.Dir(t.unified)}
	}
	for _, parent := range parents {
		dir := filepath.Join(parent, t.options.Name)
		err := t.try(dir, c, 2, func() error {
			for _, d := range []string{parent, dir} {
				if err := enable(d, c); err != nil {
					return err
				}
			}
			return nil
		})
		p.note(2, dir, err)
		if err == nil {
			t.unified = dir
			return
		}
	}
}

// enable switches a controller on for the children of a version 2 group.
func enable(dir string, c Controller) error {
	file := filepath.Join(dir, "cgroup.subtree_control")
	if on, err := read(file); err == nil && slices.Contains(strings.Fields(on), string(c)) {
		return nil
	}
	has, err := read(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return err
	}
	if !slices.Contains(strings.Fields(has), string(c)) {
		return fmt.Errorf("%s has the controllers %q only", dir, has)
	}
	return write(file, "+"+string(c))
}

// inOwn looks for a place in the controller's version 1 hierarchy.
func (t *Tree) inOwn(mounts []Mount, c Controller, p *Place) {
	m, ok := Find(mounts, string(c))
	if !ok {
		p.Evidence = append(p.Evidence, fmt.Sprintf("version 1 of %s is not mounted", c))
		return
	}
	for _, parent := range t.parents(m) {
		dir := filepath.Join(parent, t.options.Name)
		err := t.try(dir, c, 1, nil)
		p.note(1, dir, err)
		if err == nil {
			return
		}
	}
}

// plainUnified makes a directory in version 2 that has no controllers.
func (t *Tree) plainUnified(mounts []Mount) {
	m, ok := Find(mounts, "")
	if !ok {
		return
	}
	for _, parent := range t.parents(m) {
		dir := filepath.Join(parent, t.options.Name)
		if t.mkdir(dir) == nil {
			t.unified = dir
			return
		}
	}
}

func (p *Place) note(version int, dir string, err error) {
	if err != nil {
		p.Evidence = append(p.Evidence, fmt.Sprintf("version %d in %s: %v", version, dir, err))
		return
	}
	p.Version, p.Dir = version, dir
	p.Evidence = append(p.Evidence, fmt.Sprintf("version %d in %s: a group took a limit", version, dir))
}

// trial are limits that disturb nobody, since nothing is in the group.
var trial = Limits{CPU: defaultPeriod, Memory: 1 << 30, Tasks: 64}

// try makes the tree's directory and, for a moment, a group in it with a limit.
func (t *Tree) try(dir string, c Controller, version int, prepare func() error) error {
	had := slices.Contains(t.dirs, dir)
	if err := t.mkdir(dir); err != nil {
		return err
	}
	err := t.tryGroup(dir, c, version, prepare)
	if err != nil && !had {
		t.forget(dir)
	}
	return err
}

func (t *Tree) tryGroup(dir string, c Controller, version int, prepare func() error) error {
	if prepare != nil {
		if err := prepare(); err != nil {
			return err
		}
	}
	group := filepath.Join(dir, fmt.Sprintf("_trial-%d", os.Getpid()))
	if err := os.Mkdir(group, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	err := trial.apply(c, version, group)
	if removed := os.Remove(group); err == nil {
		err = removed
	}
	return err
}

func (t *Tree) mkdir(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if !slices.Contains(t.dirs, dir) {
		t.dirs = append(t.dirs, dir)
	}
	return nil
}

func (t *Tree) forget(dir string) {
	_ = os.Remove(dir) // it stays when another tree's groups are in it
	t.dirs = slices.DeleteFunc(t.dirs, func(d string) bool { return d == dir })
}

// Close removes the tree's directories. It fails while there are groups in them.
func (t *Tree) Close() error {
	var failed error
	for _, dir := range t.dirs {
		if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			failed = errors.Join(failed, fmt.Errorf("cgroup: remove the tree: %w", err))
		}
	}
	return failed
}

// List names the groups that are there, whoever made them.
func (t *Tree) List() ([]string, error) {
	var list []string
	for _, dir := range t.dirs {
		entries, err := os.ReadDir(dir)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENODEV) { // it is being removed
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cgroup: list groups: %w", err)
		}
		for _, e := range entries {
			if e.IsDir() && !slices.Contains(list, e.Name()) {
				list = append(list, e.Name())
			}
		}
	}
	slices.Sort(list)
	return list, nil
}

// Sweep removes, with all that is in them, the groups that keep does not want, and
// returns their names.
func (t *Tree) Sweep(ctx context.Context, keep func(name string) bool) ([]string, error) {
	list, err := t.List()
	if err != nil {
		return nil, err
	}
	var removed []string
	for _, name := range list {
		if keep != nil && keep(name) {
			continue
		}
		if err := t.group(name).Remove(ctx); err != nil {
			return removed, err
		}
		removed = append(removed, name)
	}
	return removed, nil
}
