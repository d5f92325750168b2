package notify

import (
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/policy"
	"github.com/pyisolate/pyisolate/kernel/seccomp"
)

// Every call that the program leaves to the supervisor is one that it knows, and the
// reverse.
func TestOperations(t *testing.T) {
	for _, arch := range seccomp.Arches {
		p, err := seccomp.CompileNotify(arch)
		if err != nil {
			t.Fatal(err)
		}
		known := operationsOf(arch)
		for n := range 600 {
			got, err := p.Eval(arch.Call(n))
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := known[int32(n)]; ok != (got == seccomp.Notify) {
				t.Errorf("%s: call %d gives %s, and is known: %v", arch, n, got, ok)
			}
		}
	}
}

func TestSplit(t *testing.T) {
	for path, want := range map[string][2]string{
		"a": {".", "a"}, "/a": {"/", "a"}, "a/b": {"a/", "b"}, "/a//b": {"/a//", "b"}, "/a/": {"/", "a/"}, "../x": {"../", "x"}, "/a/..b": {"/a/", "..b"},
	} {
		if above, last, err := split(path); err != nil || above != want[0] || last != want[1] {
			t.Errorf("%q: %q, %q, %v", path, above, last, err)
		}
	}
	for path, want := range map[string]unix.Errno{"": unix.ENOENT, "/": unix.EINVAL, "//": unix.EINVAL, ".": unix.EINVAL, "a/..": unix.EINVAL, "a/./": unix.EINVAL} {
		if _, _, err := split(path); !errors.Is(err, want) {
			t.Errorf("%q: %v", path, err)
		}
	}
}

func FuzzSplit(f *testing.F) {
	for _, path := range []string{"a", "/a/b/", "//", "..", "a/../b", ""} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		above, last, err := split(path)
		if err != nil {
			return
		}
		bare := strings.TrimSuffix(last, "/")
		if bare == "" || bare == "." || bare == ".." || strings.Contains(bare, "/") {
			t.Errorf("%q: the name is %q", path, last)
		}
		if above == "" || strings.HasPrefix(path, "/") != strings.HasPrefix(above, "/") {
			t.Errorf("%q: above is %q", path, above)
		}
	})
}

// No open that is taken does more than what is judged.
func FuzzWish(f *testing.F) {
	how := func(flags, mode, resolve uint64) []byte {
		b := binary.NativeEndian.AppendUint64(nil, flags)
		return binary.NativeEndian.AppendUint64(binary.NativeEndian.AppendUint64(b, mode), resolve)
	}
	f.Add("/a", how(0, 0, 0))
	f.Add("/a/../b", how(unix.O_CREAT|unix.O_RDWR|unix.O_EXCL, 0o666, unix.RESOLVE_BENEATH))
	f.Add("a", append(how(unix.O_TRUNC|unix.O_NOFOLLOW, 0, 0), 0, 0))
	f.Add("a", how(unix.O_PATH, 0, 0)[:7])
	f.Fuzz(func(t *testing.T, path string, data []byte) {
		how, err := parseHow(data)
		if err != nil {
			return
		}
		w, err := wishOf(path, how)
		if err != nil {
			return
		}
		if w.flags&^passed != 0 || w.find&^uint64(unix.O_DIRECTORY|unix.O_NOFOLLOW) != 0 || w.mode&^0o777 != 0 || w.resolve&^resolvable != 0 {
			t.Errorf("%+v", w)
		}
		writes := w.flags&unix.O_ACCMODE != unix.O_RDONLY || w.flags&unix.O_TRUNC != 0
		if w.want == 0 || writes != (w.want&policy.Write != 0) {
			t.Errorf("%+v wants %s", w, w.want)
		}
		if w.continues([]string{"/a"}) && (writes || w.create || !within(path, "/a")) {
			t.Errorf("%q, %+v: the kernel may go on", path, w)
		}
		older := olderHow(how.Flags, how.Mode)
		if _, err := wishOf("x", older); older.Flags&^uint64(knownFlags) != 0 || (err == nil && older.Flags&unix.O_ACCMODE == unix.O_ACCMODE) {
			t.Errorf("open takes %+v", older)
		}
	})
}

func FuzzOwner(f *testing.F) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		f.Skip(err)
	}
	o, err := target{tid: os.Getpid()}.owner()
	if err != nil || o.user != os.Geteuid() || o.group != os.Getegid() {
		f.Errorf("this process's: %+v, %v", o, err)
	}
	f.Add(string(status))
	f.Add("Name:\tUid:\t1\t2\nUmask:\t0022\nUid:\t1\t2\t3\t4\nGid:\t1 2 3 5\n")
	f.Add("Umask:\t7777\nUid:\t-1\nGid:")
	f.Fuzz(func(t *testing.T, status string) {
		o, err := parseOwner(status)
		if err == nil && (o.user < 0 || o.group < 0 || o.umask > 0o777) {
			t.Errorf("%+v", o)
		}
	})
}

func FuzzRights(f *testing.F) {
	f.Add(unix.UnixRights(1 << 20))
	f.Add(unix.UnixCredentials(&unix.Ucred{Pid: 1}))
	f.Add([]byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, control []byte) {
		if fds, err := rights(control); err == nil && len(fds) > len(control)/4 {
			t.Errorf("%d descriptors in %d bytes", len(fds), len(control))
		}
	})
}

func FuzzDenialPath(f *testing.F) {
	f.Add("/a")
	f.Add(strings.Repeat("\xff", 4095))
	f.Add(strings.Repeat("ä", 257))
	f.Fuzz(func(t *testing.T, path string) {
		if got := printable(path); len(got) > MaxDenialPath || !utf8.ValidString(got) {
			t.Errorf("%d bytes: %q", len(got), got)
		}
	})
}
