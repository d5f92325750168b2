package cgroup

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseMounts(t *testing.T) {
	for name, c := range map[string]struct {
		info string
		want []Mount
	}{
		"nothing": {"", nil},
		"unified": {
			"30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
			[]Mount{{Version: 2, Point: "/sys/fs/cgroup", Root: "/"}},
		},
		"hybrid": {
			"40 30 0:30 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n" +
				"41 30 0:31 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/x,name=systemd\n" +
				"42 30 0:32 /host /sys/fs/cgroup/unified rw - cgroup2 cgroup rw\n",
			[]Mount{
				{Version: 1, Point: "/sys/fs/cgroup/cpu,cpuacct", Root: "/", Controllers: []string{"cpu", "cpuacct"}},
				{Version: 1, Point: "/sys/fs/cgroup/systemd", Root: "/", Controllers: []string{"name=systemd"}},
				{Version: 2, Point: "/sys/fs/cgroup/unified", Root: "/host"},
			},
		},
		"a space in the path": {
			`1 2 0:1 / /a\040b rw - cgroup2 x rw`,
			[]Mount{{Version: 2, Point: "/a b", Root: "/"}},
		},
		"others and broken lines": {"1 2 0:1 / / rw - ext4 /dev/vda rw\nnonsense\n1 2 - cgroup2\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, parseMounts(c.info)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOwn(t *testing.T) {
	member := parseMembership("12:cpu,cpuacct:/host/a\n1:name=systemd:/init\n0::/host/b\nbroken\n5:x:relative\n")
	for name, c := range map[string]struct {
		mount Mount
		want  string
		err   string
	}{
		"version 2":            {Mount{Version: 2, Point: "/cg", Root: "/"}, "/cg/host/b", ""},
		"version 2, a subtree": {Mount{Version: 2, Point: "/cg", Root: "/host"}, "/cg/b", ""},
		"the subtree itself":   {Mount{Version: 2, Point: "/cg", Root: "/host/b"}, "/cg", ""},
		"another subtree":      {Mount{Version: 2, Point: "/cg", Root: "/other"}, "", "is not below"},
		"version 1":            {Mount{Version: 1, Point: "/c", Root: "/", Controllers: []string{"cpuacct"}}, "/c/host/a", ""},
		"named":                {Mount{Version: 1, Point: "/s", Root: "/", Controllers: []string{"name=systemd"}}, "/s/init", ""},
		"not a member":         {Mount{Version: 1, Point: "/p", Root: "/", Controllers: []string{"pids"}}, "", "no control group"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.mount.own(member)
			if got != c.want || (err == nil) != (c.err == "") || (err != nil && !strings.Contains(err.Error(), c.err)) {
				t.Errorf("got %q, %v; want %q, %q", got, err, c.want, c.err)
			}
		})
	}
}

func TestMountsHere(t *testing.T) {
	mounts, err := Mounts()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mounts {
		if m.Version == 0 || !strings.HasPrefix(m.Point, "/") {
			t.Errorf("%+v", m)
		}
	}
}

func FuzzParseMounts(f *testing.F) {
	f.Add("40 30 0:30 / /sys/fs/cgroup/cpu rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n")
	f.Add(`1 2 0:1 / /a\040b\ rw - cgroup2 x rw`)
	f.Fuzz(func(t *testing.T, info string) {
		for _, m := range parseMounts(info) {
			if m.Version != 1 && m.Version != 2 {
				t.Errorf("%+v", m)
			}
			_, _ = m.own(map[string]string{"": "/", "cpu": "/../.."})
		}
	})
}

func FuzzParseMembership(f *testing.F) {
	f.Add("12:cpu,cpuacct:/host\n0::/\n")
	f.Fuzz(func(t *testing.T, text string) {
		for k, path := range parseMembership(text) {
			if !strings.HasPrefix(path, "/") {
				t.Errorf("%q: %q", k, path)
			}
		}
	})
}
