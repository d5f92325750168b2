package guard

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

// ruleMaps have a slot's rules, each in an inner map.
var ruleMaps = []string{"paths", "v4", "v6"}

// limits is struct limits.
type limits struct{ Opens, Connects, Sent, Received, CPU, Rate, Contracts uint64 }

// pathRule is struct path_rule.
type pathRule struct{ Access, Length uint16 }

// netRule is struct net_rule.
type netRule struct {
	Permit, Ranges uint32
	First, Last    [portRange]uint16
}

// asPrefix is the path and a slash, so that it fits whole names.
func asPrefix(path string) string { return strings.TrimSuffix(path, "/") + "/" }

// pathKeyOf is the key of a rule.
func pathKeyOf(path string) []byte {
	text := asPrefix(path)
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
// judges, and returns them, too. Where two rules come out at one path, only what both give is
// given.
func resolve(rules []policy.FileRule) (of map[string]policy.Access, links []string, err error) {
	of = map[string]policy.Access{}
	for _, r := range rules {
		path, followed, err := policy.LookUp(r.Path)
		if err != nil {
			return nil, nil, fmt.Errorf("guard: look up %s: %w", r.Path, err)
		}
		links = append(links, followed...)
		for _, at := range append(followed, path) {
			if len(at) > policy.MaxPath {
				return nil, nil, fmt.Errorf("guard: %s leads to a path of %d bytes; %d are possible", r.Path, len(at), policy.MaxPath)
			}
		}
		access := r.Access
		if other, twice := of[path]; twice {
			access &= other
		}
		of[path] = access
	}
	return of, links, nil
}

// withWays adds a rule for each link that rules were looked up by, and for each directory between
// one of these or a rule and the rule above it, which says the same as the latter. The programs
// let nobody move what has a rule of its own: a rule would be about what comes into its place,
// and no longer about what it was written for.
func withWays(rules map[string]policy.Access, links []string) map[string]policy.Access {
	all := maps.Clone(rules)
	add := func(path string) {
		var way []string
		for ; ; path = filepath.Dir(path) {
			if access, ok := rules[path]; ok {
				for _, at := range way {
					all[at] = access
				}
				return
			}
			if path == "/" { // nobody may change anything there
				return
			}
			way = append(way, path)
		}
	}
	for path := range rules {
		add(filepath.Dir(path))
	}
	for _, link := range links {
		add(link)
	}
	return all
}

// entries are the elements of a policy's maps.
func entries(p policy.Policy) (map[string][]entry, error) {
	of := map[string][]entry{"paths": nil, "v4": nil, "v6": nil}
	prefixes, _ := policy.Prefixes(p.Files) // package stack tells what more they permit
	files, links, err := resolve(prefixes)
	if err != nil {
		return nil, err
	}
	for path, access := range withWays(files, links) {
		of["paths"] = append(of["paths"], entry{pathKeyOf(path), pathRule{uint16(access), uint16(len(asPrefix(path)))}})
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

// limitsOf is struct limits, without the contracts.
func limitsOf(q policy.Quotas) limits {
	return limits{Opens: uint64(q.Opens), Connects: uint64(q.Connects), Sent: uint64(q.Sent), Received: uint64(q.Received), CPU: uint64(q.CPUTotal), Rate: uint64(q.Bandwidth)}
}

// compiled is what a slot is filled with.
type compiled struct {
	entries   map[string][]entry
	limits    limits
	contracts Contracts
}

func (g *Guard) compile(p policy.Policy, contracts Contracts) (compiled, error) {
	if err := p.Validate(); err != nil {
		return compiled{}, err
	}
	if g.kind != LSM {
		p.Files = nil // nobody would look at them
	}
	of, err := entries(p)
	if err != nil {
		return compiled{}, err
	}
	for _, name := range ruleMaps {
		if n, most := len(of[name]), int(g.spec.Maps[name].InnerMap.MaxEntries); n > most {
			return compiled{}, fmt.Errorf("guard: the policy's rules, with the directories and links on the way to them, need %d entries of %s; %d are possible", n, name, most)
		}
	}
	c := compiled{entries: of, limits: limitsOf(p.Quotas), contracts: contracts}
	c.limits.Contracts, err = g.contractBits(contracts)
	return c, err
}

// key is the same for policies that judge the same.
func (c compiled) key() (slotKey, error) {
	h := sha256.New()
	for _, name := range ruleMaps {
		list := slices.Clone(c.entries[name])
		slices.SortFunc(list, func(a, b entry) int { return bytes.Compare(a.key, b.key) })
		fmt.Fprintln(h, name, len(list))
		for _, e := range list {
			fmt.Fprintf(h, "%x %v\n", e.key, e.value)
		}
	}
	fmt.Fprintln(h, c.limits)
	for _, name := range slices.Sorted(maps.Keys(c.contracts)) {
		info, err := c.contracts[name].Info()
		if err != nil {
			return slotKey{}, fmt.Errorf("guard: look at the contract for %s: %w", name, err)
		}
		id, _ := info.ID()
		fmt.Fprintln(h, name, id)
	}
	return slotKey(h.Sum(nil)), nil
}

// fill puts a policy into a slot that nobody reads. The kernel waits at each map of rules for
// the programs that run, which takes milliseconds: for all at once.
func (g *Guard) fill(slot uint32, c compiled) error {
	if err := g.setContracts(slot, c.contracts); err != nil {
		return err
	}
	if err := g.maps["limits"].Put(slot, c.limits); err != nil {
		return fmt.Errorf("guard: put a policy's limits: %w", err)
	}
	results := make(chan error, len(ruleMaps))
	for _, name := range ruleMaps {
		go func() { results <- g.fillMap(name, slot, c.entries[name]) }()
	}
	var failed error
	for range ruleMaps {
		failed = errors.Join(failed, <-results)
	}
	return failed
}

// empty takes the rules out of a slot.
func (g *Guard) empty(slot uint32) error {
	for _, name := range ruleMaps {
		if err := g.maps[name].Delete(slot); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("guard: empty a slot: %w", err)
		}
	}
	return nil
}

func (g *Guard) fillMap(name string, slot uint32, list []entry) error {
	inner, err := ebpf.NewMap(g.spec.Maps[name].InnerMap)
	if err != nil {
		return fmt.Errorf("guard: make %s of a policy: %w", name, err)
	}
	defer func() { _ = inner.Close() }() // the outer map has its own hold on it
	for _, e := range list {
		if err := inner.Put(e.key, e.value); err != nil {
			return fmt.Errorf("guard: put a rule into %s of a policy: %w", name, err)
		}
	}
	if err := g.maps[name].Put(slot, inner); err != nil {
		return fmt.Errorf("guard: put %s of a policy: %w", name, err)
	}
	return nil
}
