package guard

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// mapPrefix is before the names of pinned maps; those of links are their programs'.
const mapPrefix = "map_"

// freshSuffix is behind a pin's name until it takes the place of an earlier node's. A bpf
// file system refuses names with dots.
const freshSuffix = "_fresh"

// pinAll pins links and maps. Each takes the place of an earlier node's pin in one step, so
// that at no moment a program is missing; what is left of that node then goes.
func (g *Guard) pinAll() error {
	if g.pin == "" {
		return nil
	}
	if err := os.MkdirAll(g.pin, 0o700); err != nil {
		return fmt.Errorf("guard: make the directory of pins: %w", err)
	}
	ours := map[string]bool{}
	pin := func(name string, pin func(string) error) error {
		ours[name] = true
		path := filepath.Join(g.pin, name)
		fresh := path + freshSuffix
		if err := os.Remove(fresh); err != nil && !os.IsNotExist(err) { // of a node that died just here
			return fmt.Errorf("guard: remove a pin: %w", err)
		}
		if err := pin(fresh); err != nil {
			return fmt.Errorf("guard: pin %s (is %s in a bpf file system?): %w", name, g.pin, err)
		}
		if err := os.Rename(fresh, path); err != nil {
			return fmt.Errorf("guard: replace a pin: %w", err)
		}
		return nil
	}
	for name, m := range g.maps {
		if err := pin(mapPrefix+name, m.Pin); err != nil {
			return err
		}
	}
	for name, l := range g.links {
		if err := pin(name, l.Pin); err != nil {
			return err
		}
	}
	return unpin(g.pin, ours)
}

// unpin removes the pins in a directory, but for some.
func unpin(dir string, but map[string]bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("guard: list pins: %w", err)
	}
	for _, e := range entries {
		name := e.Name()
		if but[name] || !strings.HasPrefix(name, attachedPrefix) && !strings.HasPrefix(name, mapPrefix) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("guard: remove a pin: %w", err)
		}
	}
	return nil
}
