package guard

import (
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

func TestResolve(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"/real", "/real/sub"} {
		if err := os.Mkdir(dir+d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{"/link": dir + "/real", "/loop": dir + "/loop"} {
		if err := os.Symlink(to, dir+name); err != nil {
			t.Fatal(err)
		}
	}
	const r, w, x = policy.Read, policy.Write, policy.Execute
	for name, c := range map[string]struct {
		rules []policy.FileRule
		want  map[string]policy.Access
		links []string
	}{
		"as it is":         {[]policy.FileRule{{Path: dir + "/real", Access: r}}, map[string]policy.Access{dir + "/real": r}, nil},
		"a link":           {[]policy.FileRule{{Path: dir + "/link", Access: r}}, map[string]policy.Access{dir + "/real": r}, []string{dir + "/link"}},
		"through a link":   {[]policy.FileRule{{Path: dir + "/link/sub", Access: r}}, map[string]policy.Access{dir + "/real/sub": r}, []string{dir + "/link"}},
		"not there":        {[]policy.FileRule{{Path: dir + "/none", Access: r}}, map[string]policy.Access{dir + "/none": r}, nil},
		"not there yet":    {[]policy.FileRule{{Path: dir + "/link/new/x", Access: r}}, map[string]policy.Access{dir + "/real/new/x": r}, []string{dir + "/link"}},
		"two of one place": {[]policy.FileRule{{Path: dir + "/real", Access: r | w}, {Path: dir + "/link", Access: r | x}}, map[string]policy.Access{dir + "/real": r}, []string{dir + "/link"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, links, err := resolve(c.rules)
			if diff := cmp.Diff(c.want, got) + cmp.Diff(c.links, links); diff != "" || err != nil {
				t.Errorf("%v, %s", err, diff)
			}
		})
	}
	if _, _, err := resolve([]policy.FileRule{{Path: dir + "/loop", Access: r}}); err == nil {
		t.Error("a loop was resolved")
	}
}

func TestWithWays(t *testing.T) {
	const r, w = policy.Read, policy.Write
	type rules = map[string]policy.Access
	for name, c := range map[string]struct {
		rules rules
		links []string
		more  rules
	}{
		"one":                  {rules{"/p": r}, nil, nil},
		"one below":            {rules{"/p": r, "/p/a": w}, nil, nil},
		"between":              {rules{"/p": r, "/p/a/b/c": 0}, nil, rules{"/p/a": r, "/p/a/b": r}},
		"of the nearest":       {rules{"/p": r, "/p/a": r | w, "/p/a/b/c": r}, nil, rules{"/p/a/b": r | w}},
		"two":                  {rules{"/p": r, "/p/a/b": w, "/p/a/c": w}, nil, rules{"/p/a": r}},
		"a like name":          {rules{"/p": r, "/pp/a/b": w}, nil, nil},
		"of the root":          {rules{"/": r, "/p/a": 0}, nil, rules{"/p": r}},
		"nothing above":        {rules{"/p/a": r}, nil, nil},
		"a link":               {rules{"/p": w, "/q": r}, []string{"/p/a"}, rules{"/p/a": w}},
		"a link deeper":        {rules{"/p": w, "/p/a": r | w, "/q": r}, []string{"/p/a/b/c"}, rules{"/p/a/b": r | w, "/p/a/b/c": r | w}},
		"a link without rules": {rules{"/p": w}, []string{"/q/a"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			want := maps.Clone(c.rules)
			maps.Copy(want, c.more)
			if diff := cmp.Diff(want, withWays(c.rules, c.links)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Patterns become what is permitted below their directory.
func TestGlobsAreApproximated(t *testing.T) {
	of, err := entries(policy.Policy{Files: []policy.FileRule{{Path: "/none", Glob: "/none/*.csv", Access: policy.Read}, {Path: "/none/shut"}, {Path: "/none", Glob: "/none/*.key"}}})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]uint16{}
	for _, e := range of["paths"] {
		got[string(bytes.TrimRight(e.key[4:], "\x00"))] = e.value.(pathRule).Access
	}
	if want := map[string]uint16{"/none/": uint16(policy.Read), "/none/shut/": 0}; !maps.Equal(got, want) {
		t.Errorf("%v; want %v", got, want)
	}
}

// A policy whose rules, with the directories between them, do not fit is refused in words, before
// anything of it is in the kernel.
func TestTooManyPaths(t *testing.T) {
	spec, err := loadLsm()
	if err != nil {
		t.Fatal(err)
	}
	g := &Guard{kind: LSM, spec: spec}
	p := policy.Policy{Files: []policy.FileRule{{Path: "/none", Access: policy.Read}}}
	for i := range 4096 {
		p.Files = append(p.Files, policy.FileRule{Path: fmt.Sprintf("/none/%d/a/b/c", i)})
	}
	if _, err := g.compile(p, nil); err == nil || !strings.Contains(err.Error(), "need 16385 entries") {
		t.Errorf("a rule too many: %v", err)
	}
	p.Files[1].Path = "/none/0/a/b"
	if _, err := g.compile(p, nil); err != nil {
		t.Errorf("as many as fit: %v", err)
	}
}

func TestKeys(t *testing.T) {
	for path, bits := range map[string]byte{"/": 8, "/a": 24, "/usr/lib": 72} {
		if key := pathKeyOf(path); key[0] != bits || key[4+bits/8-1] != '/' {
			t.Errorf("%s: %v", path, key[:16])
		}
	}
	if diff := cmp.Diff([]byte{8, 0, 0, 0, 10, 0, 0, 0}, prefixKey(netip.MustParsePrefix("10.0.0.0/8"))); diff != "" {
		t.Error(diff)
	}
	r := policy.NetRule{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Ports: []policy.PortRange{{First: 1, Last: 2}, {First: 443, Last: 443}}}
	want := netRule{Permit: 1, Ranges: 2, First: [portRange]uint16{1, 443}, Last: [portRange]uint16{2, 443}}
	if diff := cmp.Diff(want, netRuleOf(r)); diff != "" {
		t.Error(diff)
	}
	if r.Deny = true; netRuleOf(r).Permit != 0 {
		t.Error("a rule that denies permits")
	}
}

func FuzzPathKey(f *testing.F) {
	f.Add("/usr/lib")
	f.Add("/")
	f.Fuzz(func(t *testing.T, path string) {
		if (policy.Policy{Files: []policy.FileRule{{Path: path}}}).Validate() != nil {
			return
		}
		key := pathKeyOf(path)
		bits := int(key[0]) | int(key[1])<<8
		if bits%8 != 0 || bits/8 > pathKey || unix.ByteSliceToString(key[4:]) != string(key[4:4+bits/8]) || key[4+bits/8-1] != '/' {
			t.Errorf("%q: %d bits, %q", path, bits, key[4:])
		}
	})
}
