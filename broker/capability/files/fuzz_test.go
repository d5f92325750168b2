package files

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/broker/capability"
)

// FuzzResolve resolves paths in a tree full of links, with the kernel's resolver and
// with ours. Both must agree on what a path leads to, and it must be inside.
func FuzzResolve(f *testing.F) {
	for _, s := range []string{"/a.txt", "/../out/secret", "/escape", "/good-dir/../a.txt", "/dots/dots/chain", "/root/../x", "//sub/./up/", "/sub/deep/../../..", "/magic", "/self/x", "/a.txt/..", "/a.txt/.", "/good/"} {
		f.Add(s)
	}
	in, _ := tree(f)
	open := func(walk bool) *scope {
		s, err := openScope("fs.read", []byte(`"`+in+`"`), false, walk)
		if err != nil {
			f.Fatal(err)
		}
		f.Cleanup(func() { _ = s.Close() })
		return s
	}
	kernel, ours := open(false), open(true)
	f.Fuzz(func(t *testing.T, path string) {
		if strings.ContainsRune(path, 0) {
			t.Skip("no path has a NUL")
		}
		a, aErr := lead(kernel, in+"/"+path)
		b, bErr := lead(ours, in+"/"+path)
		if a != b || capability.KindOf(aErr) != capability.KindOf(bErr) {
			t.Fatalf("%q: the kernel finds %q, %v; the walk %q, %v", path, a, aErr, b, bErr)
		}
		if aErr == nil && a != in && !strings.HasPrefix(a, in+"/") {
			t.Fatalf("%q leads out, to %q", path, a)
		}
		if strings.Contains(a, "out/secret") {
			t.Fatalf("%q leads to the secret", path)
		}
	})
}

// lead returns where the kernel says that an opened path is.
func lead(s *scope, path string) (string, error) {
	p, err := s.locate(path)
	if err != nil {
		return "", err
	}
	fd, err := p.open(p.rel, unix.O_RDONLY|openFlags, 0)
	if err != nil {
		return "", p.explain(err)
	}
	defer func() { _ = unix.Close(fd) }()
	return os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
}

// FuzzLocate holds the prefix match to a simple model of it.
func FuzzLocate(f *testing.F) {
	f.Add("/srv/data/x", "/srv/data")
	f.Add("/srv/database", "/srv/data")
	f.Add("/anything", "/")
	f.Fuzz(func(t *testing.T, path, granted string) {
		if !filepath.IsAbs(granted) || filepath.Clean(granted) != granted {
			t.Skip("roots are absolute and clean")
		}
		s := &scope{name: "fs.read", roots: []*root{{path: granted}}}
		p, err := s.locate(path)
		if err != nil {
			if k := capability.KindOf(err); k != capability.Denied && k != capability.Invalid {
				t.Fatal(err)
			}
			return
		}
		if strings.HasPrefix(p.rel, "/") || p.rel == "" {
			t.Fatalf("%q in %q: the rest is %q, which is not relative", path, granted, p.rel)
		}
		again, err := s.locate(granted + "/" + p.rel)
		if err != nil || again.rel != p.rel {
			t.Fatalf("%q in %q: %q is not where %q is: %v", path, granted, p.rel, again.rel, err)
		}
	})
}

// The walk gives up on paths that would hold too many descriptors.
func TestTheWalkIsBounded(t *testing.T) {
	dir := t.TempDir()
	deep := dir
	for range 300 {
		deep += "/d"
	}
	must(t, os.MkdirAll(deep, 0o755))
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	defer func() { _ = unix.Close(fd) }()
	if _, err := walkOpen(fd, strings.TrimPrefix(deep, dir+"/"), unix.O_RDONLY, 0); !errors.Is(err, unix.ENAMETOOLONG) {
		t.Errorf("300 levels: %v", err)
	}
	got, err := walkOpen(fd, strings.Repeat("d/../", 500)+"d", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	must(t, err)
	_ = unix.Close(got)
}
