package guard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

// netRule is struct net_rule.
type netRule struct {
	Permit, Ranges uint32
	First, Last    [portRange]uint16
}

// pathKeyOf is the key of a rule: the path and a slash, so that it fits whole names.
func pathKeyOf(path string) []byte {
	text := strings.TrimSuffix(path, "/") + "/"
	key := make([]byte, 4+pathKey)
	binary.NativeEndian.PutUint32(key, uint32(len(text)*8))
	copy(key[4:], text)
	return key
}

func prefixKey(p netip.Prefix) []byte {
	key := binary.NativeEndian.AppendUint32(nil, uint32(p.Bits()))
	return append(key, p.Addr().AsSlice()...)
}

func netRuleOf(r policy.NetRule) netRule {
	n := netRule{Ranges: uint32(len(r.Ports))}
	if !r.Deny {
		n.Permit = 1
	}
	for i, p := range r.Ports {
		n.First[i], n.Last[i] = p.First, p.Last
	}
	return n
}

// entry is one element of an inner map.
type entry struct {
	key   []byte
	value any
}

// resolve follows the symbolic links in the rules' paths, as the kernel will in those it
// judges. Where two rules come out at one path, only what both give is given.
func resolve(rules []policy.FileRule) (map[string]policy.Access, error) {
	of := map[string]policy.Access{}
	for _, r := range rules {
		path, err := filepath.EvalSymlinks(r.Path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			path = r.Path // it may come later
		case err != nil:
			return nil, fmt.Errorf("guard: look up %s: %w", r.Path, err)
		case len(path) > policy.MaxPath:
			return nil, fmt.Errorf("guard: %s leads to a path of %d bytes; %d are possible", r.Path, len(path), policy.MaxPath)
		}
		access := r.Access
		if other, twice := of[path]; twice {
			access &= other
		}
		of[path] = access
	}
	return of, nil
}

// entries are the elements of a policy's maps.
func entries(p policy.Policy) (map[string][]entry, error) {
	of := map[string][]entry{"paths": nil, "v4": nil, "v6": nil}
	files, err := resolve(p.Files)
	if err != nil {
		return nil, err
	}
	for path, access := range files {
		of["paths"] = append(of["paths"], entry{pathKeyOf(path), uint32(access)})
	}
	for _, r := range p.Net {
		name := "v6"
		if r.Prefix.Addr().Is4() {
			name = "v4"
		}
		of[name] = append(of[name], entry{prefixKey(r.Prefix), netRuleOf(r)})
	}
	return of, nil
}

// build puts the rules of p into a slot that nobody reads. The kernel waits at each for
// the programs that run, which takes milliseconds.
func (g *Guard) build(slot uint32, p policy.Policy) error {
	of, err := entries(p)
	if err != nil {
		return err
	}
	for name, list := range of {
		outer := map[string]*ebpf.Map{"paths": g.maps.Paths, "v4": g.maps.V4, "v6": g.maps.V6}[name]
		if err := g.fill(outer, name, slot, list); err != nil {
			return fmt.Errorf("guard: build %s of a policy: %w", name, err)
		}
	}
	return nil
}

// empty takes the rules out of a slot.
func (g *Guard) empty(slot uint32) error {
	for _, outer := range []*ebpf.Map{g.maps.Paths, g.maps.V4, g.maps.V6} {
		if err := outer.Delete(slot); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("guard: empty a slot: %w", err)
		}
	}
	return nil
}

func (g *Guard) fill(outer *ebpf.Map, name string, slot uint32, list []entry) error {
	inner, err := ebpf.NewMap(g.spec.Maps[name].InnerMap)
	if err != nil {
		return err
	}
	defer func() { _ = inner.Close() }() // the outer map has its own hold on it
	for _, e := range list {
		if err := inner.Put(e.key, e.value); err != nil {
			return err
		}
	}
	return outer.Put(slot, inner)
}
