package landlock

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

func kinds(list []Gap) []GapKind {
	var of []GapKind
	for _, g := range list {
		if !slices.Contains(of, g.Kind) {
			of = append(of, g.Kind)
		}
	}
	slices.Sort(of)
	return of
}

func connect(prefix string, ports ...policy.PortRange) policy.NetRule {
	return policy.NetRule{Prefix: netip.MustParsePrefix(prefix), Ports: ports}
}

// always are the gaps that every version has.
var always = []GapKind{GapMetadata, GapUDP}

func TestCompile(t *testing.T) {
	dir := t.TempDir()
	file := dir + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const tcp = unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	for name, c := range map[string]struct {
		policy policy.Policy
		abi    int
		paths  []PathRule
		ports  []PortRule
		net    uint64
		gaps   []GapKind
	}{
		"nothing": {policy.Policy{}, 7, nil, nil, tcp | 1, nil},
		"a directory": {policy.Policy{Files: []policy.FileRule{{Path: dir, Access: policy.Read | policy.Execute}}}, 7,
			[]PathRule{{dir, fsRead | fsExecute}}, nil, tcp | 1, nil},
		"a file": {policy.Policy{Files: []policy.FileRule{{Path: file, Access: policy.Read | policy.Write}}}, 7,
			[]PathRule{{file, unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE}}, nil, tcp | 1, nil},
		"a newer kernel": {policy.Policy{}, 99, nil, nil, tcp | 1, nil},
		"first version": {policy.Policy{Files: []policy.FileRule{{Path: dir, Access: policy.Write}}}, 1,
			[]PathRule{{dir, fsWrite &^ (unix.LANDLOCK_ACCESS_FS_REFER | unix.LANDLOCK_ACCESS_FS_TRUNCATE)}}, nil, 0,
			[]GapKind{GapTruncate, GapTCP, GapDevices, GapScope}},
		"third version": {policy.Policy{}, 3, nil, nil, 0, []GapKind{GapTCP, GapDevices, GapScope}},
		"a path that is not there": {policy.Policy{Files: []policy.FileRule{{Path: dir + "/none", Access: policy.Read}}}, 7,
			nil, nil, tcp | 1, []GapKind{GapMissing}},
		"a narrower rule": {policy.Policy{Files: []policy.FileRule{{Path: dir, Access: policy.Read}, {Path: file}}}, 7,
			[]PathRule{{dir, fsRead}}, nil, tcp | 1, []GapKind{GapNarrower}},
		"not narrower, only alike": {policy.Policy{Files: []policy.FileRule{{Path: dir, Access: policy.Read}, {Path: dir + "2"}}}, 7,
			[]PathRule{{dir, fsRead}}, nil, tcp | 1, nil},
		"below the root": {policy.Policy{Files: []policy.FileRule{{Path: "/", Access: policy.Read}, {Path: file}}}, 7,
			[]PathRule{{"/", fsRead}}, nil, tcp | 1, []GapKind{GapNarrower}},
		"ports": {policy.Policy{Net: []policy.NetRule{connect("10.0.0.0/8", policy.PortRange{First: 443, Last: 444}), connect("fd00::/8", policy.PortRange{First: 443, Last: 443})}}, 7,
			nil, []PortRule{{443, tcp}, {444, tcp}}, tcp | 1, []GapKind{GapAddresses}},
		"the last port": {policy.Policy{Net: []policy.NetRule{connect("10.0.0.0/8", policy.PortRange{First: 65535, Last: 65535})}}, 7,
			nil, []PortRule{{65535, tcp}}, tcp | 1, []GapKind{GapAddresses}},
		"every port":     {policy.Policy{Net: []policy.NetRule{connect("10.0.0.0/8")}}, 7, nil, nil, 1, []GapKind{GapTCP, GapAddresses}},
		"too many ports": {policy.Policy{Net: []policy.NetRule{connect("10.0.0.0/8", policy.PortRange{First: 1, Last: 60000})}}, 7, nil, nil, 1, []GapKind{GapTCP, GapAddresses}},
		"denied":         {policy.Policy{Net: []policy.NetRule{{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Deny: true}}}, 7, nil, nil, tcp | 1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s, gaps, err := Compile(c.policy, c.abi)
			if err != nil {
				t.Fatal(err)
			}
			wantGaps := append(slices.Clone(always), c.gaps...)
			slices.Sort(wantGaps)
			if diff := cmp.Diff(wantGaps, kinds(gaps)); diff != "" {
				t.Errorf("gaps: %s", diff)
			}
			want := Spec{FS: handledFS(min(c.abi, MaxABI)), Net: c.net, Paths: c.paths, Ports: c.ports}
			if c.abi >= 6 {
				want.Scope = 3
			}
			if diff := cmp.Diff(want, s); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCompileRefuses(t *testing.T) {
	if _, _, err := Compile(policy.Policy{}, 0); !errors.Is(err, ErrUnsupported) {
		t.Errorf("no Landlock: %v", err)
	}
	if _, _, err := Compile(policy.Policy{Children: -1}, 7); !errors.Is(err, policy.ErrInvalid) {
		t.Errorf("invalid: %v", err)
	}
	loop := t.TempDir() + "/loop"
	if err := os.Symlink(loop, loop); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Compile(policy.Policy{Files: []policy.FileRule{{Path: loop, Access: policy.Read}}}, 7); !errors.Is(err, unix.ELOOP) {
		t.Errorf("a loop: %v", err)
	}
}

func example() Spec {
	return Spec{FS: handledFS(7), Net: 3, Scope: 3, Ports: []PortRule{{443, 2}, {65535, 2}},
		Paths: []PathRule{{"/", fsRead}, {"/usr", fsRead | fsExecute}, {"/a/b c/ü", 1}, {"/sevenx", 4}}}
}

func TestBinary(t *testing.T) {
	b, err := example().MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if len(b)%8 != 0 {
		t.Errorf("%d bytes are not aligned", len(b))
	}
	var s Spec
	if err := s.UnmarshalBinary(b); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(example(), s); diff != "" {
		t.Error(diff)
	}
	for i := range b {
		if err := new(Spec).UnmarshalBinary(b[:i]); err == nil {
			t.Errorf("the first %d bytes were taken", i)
		}
	}
	if err := new(Spec).UnmarshalBinary(append(b, make([]byte, 8)...)); err == nil {
		t.Error("more bytes were taken")
	}
	for name, path := range map[string]string{"empty": "", "a zero": "/a\x00b", "too long": "/" + strings.Repeat("a", maxPath)} {
		if _, err := (Spec{Paths: []PathRule{{path, 1}}}).MarshalBinary(); err == nil {
			t.Errorf("%s: encoded", name)
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	b, err := example().MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		var s Spec
		if s.UnmarshalBinary(b) != nil {
			return
		}
		if again, err := s.MarshalBinary(); err != nil || !bytes.Equal(again, b) {
			t.Errorf("another encoding came back (%v)", err)
		}
	})
}
