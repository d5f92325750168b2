package files

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/broker/capability/captest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// both runs a test with openat2 and with the walk that replaces it.
func both(t *testing.T, test func(t *testing.T, walk bool)) {
	t.Run("openat2", func(t *testing.T) {
		if _, err := unix.Openat2(unix.AT_FDCWD, ".", &unix.OpenHow{Flags: unix.O_PATH}); err != nil {
			t.Skipf("openat2 is not to be had: %v", err)
		}
		test(t, false)
	})
	t.Run("walk", func(t *testing.T) { test(t, true) })
}

func capabilities(walk bool) map[string]capability.Capability {
	all := map[string]capability.Capability{}
	for _, d := range []*door{read(), list(), write()} {
		d.walk = walk
		all[d.name] = d
	}
	return all
}

// tree makes a granted directory beside an ungranted one.
func tree(t testing.TB) (in, out string) {
	t.Helper()
	base := t.TempDir()
	in, out = filepath.Join(base, "in"), filepath.Join(base, "out")
	for path, text := range map[string]string{
		in + "/a.txt": "hello", in + "/sub/b.txt": "world", in + "/sub/deep/c.txt": "c",
		out + "/secret": "s3cret", in + "-sibling/x": "sibling",
	} {
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(text), 0o644))
	}
	for name, target := range map[string]string{
		"escape": "../out/secret", "escape-abs": out + "/secret", "escape-dir": "../out", "self": "self", "dangling": "nowhere",
		"good": "sub/b.txt", "good-dir": "sub", "updown": "sub/../a.txt", "sub/up": "../a.txt", "chain": "good-dir/up",
		"root": "/", "magic": "/proc/self/root", "dots": "sub/deep/../..",
	} {
		must(t, os.Symlink(target, filepath.Join(in, name)))
	}
	return in, out
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func path(p string) string { return captest.JSON(map[string]string{"path": p}) }

func TestRead(t *testing.T) {
	both(t, func(t *testing.T, walk bool) {
		in, out := tree(t)
		s := captest.Open(t, capabilities(walk), "fs.read="+in)
		for name, want := range map[string]string{
			"a.txt": "hello", "/sub//./b.txt": "world", "sub/../a.txt": "hello", "good": "world", "good-dir/b.txt": "world",
			"updown": "hello", "sub/up": "hello", "chain": "hello", "sub/deep/../../a.txt": "hello", "dots/a.txt": "hello",
		} {
			v, err := s.Ask("fs.read", "get", path(in+"/"+name))
			if err != nil || v.Type != capability.Bytes || string(v.Data) != want {
				t.Errorf("%s: %q, %v", name, v.Data, err)
			}
		}
		for _, c := range []struct {
			path string
			kind capability.Kind
			says string
		}{
			{in + "/../out/secret", capability.Denied, "beneath"},
			{in + "/../in/a.txt", capability.Denied, "beneath"},
			{in + "/sub/../../out/secret", capability.Denied, "beneath"},
			{in + "/escape", capability.Denied, "beneath"},
			{in + "/escape-abs", capability.Denied, "beneath"},
			{in + "/escape-dir/secret", capability.Denied, "beneath"},
			{in + "/root/etc/passwd", capability.Denied, "beneath"},
			{in + "/magic/etc/passwd", capability.Denied, "beneath"},
			{in + "/self", capability.Denied, "links"},
			{in + "-sibling/x", capability.Denied, "roots"},
			{out + "/secret", capability.Denied, "roots"},
			{"/", capability.Denied, "roots"},
			{"/proc/self/environ", capability.Denied, "roots"},
			{in + "/nothing", capability.NotFound, "does not exist"},
			{in + "/dangling", capability.NotFound, ""},
			{in + "/a.txt/x", capability.Conflict, "not a directory"},
			{in + "/sub", capability.Conflict, "is a directory"},
			{in, capability.Conflict, "is a directory"},
			{in + "/" + strings.Repeat("x", 300), capability.Invalid, "too long"},
			{in + strings.Repeat("/x", 2500), capability.Invalid, "4096"},
			{"a.txt", capability.Invalid, "absolute"},
			{"", capability.Invalid, "absolute"},
			{in + "/a\x00b", capability.Invalid, ""},
		} {
			v, err := s.Ask("fs.read", "get", path(c.path))
			e := captest.Error(t, err, c.kind, c.says)
			if v.Data != nil {
				t.Errorf("%s: an answer with an error", c.path)
			}
			if c.kind == capability.Denied && e.Denial.Target == "" {
				t.Errorf("%s: the denial names no target", c.path)
			}
		}
		if strings.Contains(fmt.Sprint(s.Records()), "s3cret") {
			t.Error("the secret is in the records")
		}
	})
}

func TestReadRanges(t *testing.T) {
	in, _ := tree(t)
	must(t, os.WriteFile(in+"/big", make([]byte, 3<<20), 0o644))
	s := captest.Open(t, capabilities(false), `fs.read={"roots":["`+in+`"],"answer_bytes":"1MiB","max_file_bytes":"4MiB"}`)
	for _, c := range []struct {
		args string
		want int
	}{
		{`"offset":1`, 4}, {`"offset":1,"length":2`, 2}, {`"length":0`, 0}, {`"offset":99`, 0}, {`"offset":4,"length":99999999999`, 1},
	} {
		v, err := s.Ask("fs.read", "get", `{"path":"`+in+`/a.txt",`+c.args+`}`)
		if err != nil || len(v.Data) != c.want {
			t.Errorf("%s: %q, %v", c.args, v.Data, err)
		}
	}
	_, err := s.Ask("fs.read", "get", `{"path":"`+in+`/a.txt","offset":-1}`)
	captest.Want(t, err, capability.Invalid)
	_, err = s.Ask("fs.read", "get", path(in+"/big"))
	captest.Want(t, err, capability.TooLarge, "at most 1048576")
	v, err := s.Ask("fs.read", "get", `{"path":"`+in+`/big","offset":2097152,"length":1048576}`)
	if err != nil || len(v.Data) != 1<<20 {
		t.Error(len(v.Data), err)
	}
	must(t, os.Truncate(in+"/big", 5<<20))
	_, err = s.Ask("fs.read", "get", `{"path":"`+in+`/big","length":1}`)
	captest.Want(t, err, capability.Denied, "max_file_bytes")
}

func TestOnlyRegularFiles(t *testing.T) {
	both(t, func(t *testing.T, walk bool) {
		in, _ := tree(t)
		must(t, unix.Mkfifo(in+"/fifo", 0o666))
		socket, err := net.Listen("unix", in+"/sock")
		must(t, err)
		defer func() { _ = socket.Close() }()
		names := []string{"fifo", "sock"}
		if err := unix.Mknod(in+"/null", unix.S_IFCHR|0o666, 1<<8|3); err == nil {
			names = append(names, "null")
		} else {
			t.Logf("without a device: mknod: %v", err)
		}
		s := captest.Open(t, capabilities(walk), "fs.read="+in, "fs.write="+in)
		for _, name := range names {
			_, err := s.Ask("fs.read", "get", path(in+"/"+name))
			captest.Want(t, err, capability.Denied, "regular")
			for _, action := range []string{"put", "append"} {
				_, err = s.Ask("fs.write", action, captest.JSON(map[string]string{"path": in + "/" + name, "text": "x"}))
				captest.Want(t, err, capability.Denied, "regular")
			}
		}
	})
}

func TestKernelFileSystemsAreRefused(t *testing.T) {
	both(t, func(t *testing.T, walk bool) {
		if _, err := os.Stat("/proc/self/status"); err != nil {
			t.Skip("there is no /proc")
		}
		s := captest.Open(t, capabilities(walk), "fs.read=/", "fs.list=/proc", "fs.write=/proc/self")
		for _, p := range []string{"/proc/self/environ", "/proc/self/mem", "/proc/version"} {
			_, err := s.Ask("fs.read", "get", path(p))
			captest.Want(t, err, capability.Denied, "kernel")
		}
		for _, p := range []string{"/proc/self/root/etc/passwd", "/proc/self/exe", "/proc/self/cwd/x"} {
			_, err := s.Ask("fs.read", "get", path(p))
			captest.Want(t, err, capability.Denied)
		}
		_, err := s.Ask("fs.list", "list", path("/proc"))
		captest.Want(t, err, capability.Denied, "kernel")
		for _, action := range []string{"put", "append"} {
			_, err = s.Ask("fs.write", action, `{"path":"/proc/self/comm","text":"x"}`)
			captest.Want(t, err, capability.Denied, "kernel")
		}
	})
}

func TestSingleFiles(t *testing.T) {
	both(t, func(t *testing.T, walk bool) {
		in, _ := tree(t)
		s := captest.Open(t, capabilities(walk), "fs.read="+in+"/a.txt", "fs.read="+in+"/good", "fs.write="+in+"/new.txt", "fs.list="+in+"/a.txt")
		if v, err := s.Ask("fs.read", "get", path(in+"/a.txt")); err != nil || string(v.Data) != "hello" {
			t.Error(v, err)
		}
		if v, err := s.Ask("fs.read", "get", path(in+"/good")); err != nil || string(v.Data) != "world" {
			t.Error("a granted link, followed when granted:", v, err)
		}
		_, err := s.Ask("fs.read", "get", path(in+"/sub/b.txt"))
		captest.Want(t, err, capability.Denied, "roots")
		if _, err = s.Ask("fs.write", "put", `{"path":"`+in+`/new.txt","text":"1"}`); err != nil {
			t.Error(err)
		}
		_, err = s.Ask("fs.write", "put", `{"path":"`+in+`/new.txt2","text":"1"}`)
		captest.Want(t, err, capability.Denied, "roots")
		_, err = s.Ask("fs.list", "list", path(in+"/a.txt"))
		captest.Want(t, err, capability.Conflict)

		// The granted file becomes a link to another one in the same directory.
		must(t, os.Remove(in+"/a.txt"))
		must(t, os.Symlink("sub/b.txt", in+"/a.txt"))
		for _, action := range []string{"get", "stat"} {
			_, err = s.Ask("fs.read", action, path(in+"/a.txt"))
			captest.Want(t, err, capability.Denied, "links")
		}
	})
}

func TestWrite(t *testing.T) {
	both(t, func(t *testing.T, walk bool) {
		in, out := tree(t)
		s := captest.Open(t, capabilities(walk), `fs.write={"roots":["`+in+`"],"mode":"0600"}`)
		put := func(action, p, text, more string) error {
			_, err := s.Ask("fs.write", action, `{"path":"`+p+`","text":"`+text+`"`+more+`}`)
			return err
		}
		holds := func(p, want string) {
			t.Helper()
			if got, err := os.ReadFile(p); err != nil || string(got) != want {
				t.Errorf("%s holds %q, %v", p, got, err)
			}
		}
		must(t, put("put", in+"/new", "one", `,"exclusive":true,"sync":true`))
		holds(in+"/new", "one")
		if st, err := os.Stat(in + "/new"); err != nil || st.Mode().Perm() != 0o600 {
			t.Error(st.Mode(), err)
		}
		captest.Want(t, put("put", in+"/new", "two", `,"exclusive":true`), capability.Conflict, "exists already")
		must(t, os.Chmod(in+"/new", 0o640))
		must(t, put("put", in+"/new", "two", ""))
		holds(in+"/new", "two")
		if st, err := os.Stat(in + "/new"); err != nil || st.Mode().Perm() != 0o640 {
			t.Error("the mode was not kept:", st.Mode(), err)
		}
		must(t, put("append", in+"/new", "three", ""))
		holds(in+"/new", "twothree")
		must(t, put("append", in+"/good-dir/fresh", "x", ""))
		holds(in+"/sub/fresh", "x")
		must(t, put("put", in+"/good-dir/fresh", "y", ""))
		holds(in+"/sub/fresh", "y")

		for _, p := range []string{"/../out/new", "/escape-dir/new", "/sub/../../out/new", "/root/tmp/new"} {
			captest.Want(t, put("put", in+p, "x", ""), capability.Denied, "beneath")
			captest.Want(t, put("append", in+p, "x", ""), capability.Denied, "beneath")
			for _, action := range []string{"mkdir", "delete"} {
				_, err := s.Ask("fs.write", action, path(in+p))
				captest.Want(t, err, capability.Denied, "beneath")
			}
		}
		captest.Want(t, put("append", in+"/escape", "x", ""), capability.Denied, "beneath")
		captest.Want(t, put("put", in+"/escape", "x", ""), capability.Denied, "link")
		holds(out+"/secret", "s3cret")
		must(t, os.Link(out+"/secret", in+"/hard"))
		captest.Want(t, put("append", in+"/hard", "x", ""), capability.Denied, "hard links")
		must(t, put("put", in+"/hard", "x", "")) // replaces the name, not the file
		holds(out+"/secret", "s3cret")
		captest.Want(t, put("put", in+"/sub", "x", ""), capability.Conflict, "directory")
		captest.Want(t, put("put", in, "x", ""), capability.Conflict, "directory")
		captest.Want(t, put("put", in+"/no/such", "x", ""), capability.NotFound)
		_, err := s.Ask("fs.write", "put", path(in+"/x"))
		captest.Want(t, err, capability.Invalid, "nothing to write")

		_, err = s.Ask("fs.write", "mkdir", path(in+"/d"))
		must(t, err)
		_, err = s.Ask("fs.write", "mkdir", path(in+"/d"))
		captest.Want(t, err, capability.Conflict)
		for _, p := range []string{"/d", "/new", "/escape", "/escape-dir"} {
			_, err = s.Ask("fs.write", "delete", path(in+p))
			must(t, err)
		}
		holds(out+"/secret", "s3cret")
		_, err = s.Ask("fs.write", "delete", path(in+"/sub"))
		captest.Want(t, err, capability.Conflict, "not empty")
		for _, p := range []string{"", "/.", "/sub/.."} {
			_, err = s.Ask("fs.write", "delete", path(in+p))
			captest.Want(t, err, capability.Conflict, "directory")
		}
		left, _ := filepath.Glob(in + "/.pyisolate-*")
		if len(left) != 0 {
			t.Error("left behind:", left)
		}
	})
}

func TestWriteBudgets(t *testing.T) {
	in, _ := tree(t)
	s := captest.Open(t, capabilities(false), `fs.write={"roots":["`+in+`"],"max_file_bytes":8,"total_bytes":20}`)
	ask := func(action, name, text string) error {
		_, err := s.Ask("fs.write", action, captest.JSON(map[string]string{"path": in + "/" + name, "text": text}))
		return err
	}
	captest.Want(t, ask("put", "f", "123456789"), capability.Denied, "max_file_bytes")
	must(t, ask("put", "f", "12345678"))
	captest.Want(t, ask("append", "f", "9"), capability.Denied, "max_file_bytes")
	must(t, ask("put", "g", "12345678"))
	captest.Want(t, ask("put", "no/such/directory", "12"), capability.NotFound)
	captest.Want(t, ask("put", "h", "12345"), capability.Quota, "20")
	must(t, ask("put", "h", "1234"))
	captest.Want(t, ask("append", "h", "1"), capability.Quota)
}

func TestList(t *testing.T) {
	both(t, func(t *testing.T, walk bool) {
		in, _ := tree(t)
		must(t, os.WriteFile(in+"/sub/bad\xff", nil, 0o644))
		s := captest.Open(t, capabilities(walk), "fs.list="+in)
		list := func(args string) (l Listing) {
			t.Helper()
			v, err := s.Ask("fs.list", "list", args)
			must(t, err)
			must(t, json.Unmarshal(v.Data, &l))
			return l
		}
		l := list(path(in + "/sub"))
		if len(l.Entries) != 3 || l.More || l.Unlisted != 1 || l.Entries[0].Name != "b.txt" || l.Entries[0].Type != "file" ||
			l.Entries[0].Size != 5 || l.Entries[1].Type != "directory" || l.Entries[2].Type != "link" {
			t.Errorf("%+v", l)
		}
		var names []string
		for after, more := "", true; more; {
			l := list(captest.JSON(map[string]any{"path": in, "limit": 4, "after": after}))
			for _, e := range l.Entries {
				names = append(names, e.Name)
			}
			after, more = names[len(names)-1], l.More
		}
		all, err := os.ReadDir(in)
		must(t, err)
		if len(names) != len(all) || names[0] != all[0].Name() || names[len(names)-1] != all[len(all)-1].Name() {
			t.Errorf("pages give %v", names)
		}
		_, err = s.Ask("fs.list", "list", path(in+"/escape-dir"))
		captest.Want(t, err, capability.Denied, "beneath")
		_, err = s.Ask("fs.list", "list", path(in+"/a.txt"))
		captest.Want(t, err, capability.Conflict)
		_, err = s.Ask("fs.list", "list", `{"path":"`+in+`","limit":0}`)
		captest.Want(t, err, capability.Invalid)
		_, err = s.Ask("fs.list", "get", path(in))
		captest.Want(t, err, capability.Invalid, "use list, stat")
		v, err := s.Ask("fs.list", "stat", path(in+"/good"))
		var st Status
		if err != nil || json.Unmarshal(v.Data, &st) != nil || st.Type != "file" || st.Size != 5 || st.Modified == 0 {
			t.Errorf("%+v %v", st, err)
		}
	})
}

func TestAListingFitsItsAnswer(t *testing.T) {
	dir := t.TempDir()
	for i := range 300 {
		must(t, os.WriteFile(fmt.Sprintf("%s/%03d%s", dir, i, strings.Repeat("\x01", 100)), nil, 0o644))
	}
	s := captest.Open(t, capabilities(false), `fs.list={"roots":["`+dir+`"],"answer_bytes":"8KiB"}`)
	seen, after, more := 0, "", true
	for more {
		v, err := s.Ask("fs.list", "list", captest.JSON(map[string]any{"path": dir, "after": after}))
		must(t, err)
		var l Listing
		must(t, json.Unmarshal(v.Data, &l))
		if len(l.Entries) == 0 {
			t.Fatal("an empty page with more to come")
		}
		seen, after, more = seen+len(l.Entries), l.Entries[len(l.Entries)-1].Name, l.More
	}
	if seen != 300 {
		t.Errorf("%d of 300", seen)
	}
}

// Where an answer has no room for a reserve, an entry that fits is listed, and one that does
// not is refused: a page is never empty with more to come.
func TestAListingOfSmallAnswers(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b", strings.Repeat("c", 200)} {
		must(t, os.WriteFile(dir+"/"+name, nil, 0o644))
	}
	s := captest.Open(t, capabilities(false), `fs.list={"roots":["`+dir+`"],"answer_bytes":128}`)
	for _, step := range []struct{ after, want string }{{"", "a"}, {"a", "b"}} {
		v, err := s.Ask("fs.list", "list", captest.JSON(map[string]any{"path": dir, "after": step.after}))
		must(t, err)
		var l Listing
		must(t, json.Unmarshal(v.Data, &l))
		if len(l.Entries) != 1 || l.Entries[0].Name != step.want || !l.More {
			t.Fatalf("after %q: %+v", step.after, l)
		}
	}
	_, err := s.Ask("fs.list", "list", captest.JSON(map[string]any{"path": dir, "after": "b"}))
	captest.Want(t, err, capability.TooLarge, "128 is the most")
}

// The longest root wins, whatever the order of the grants.
func TestRoots(t *testing.T) {
	in, out := tree(t)
	s := captest.Open(t, capabilities(false), "fs.read="+filepath.Dir(in), "fs.read="+in)
	_, err := s.Ask("fs.read", "get", path(in+"/../out/secret"))
	captest.Want(t, err, capability.Denied, "fs.read="+in+": beneath")
	if v, err := s.Ask("fs.read", "get", path(out+"/secret")); err != nil || string(v.Data) != "s3cret" {
		t.Error(v, err)
	}
	for _, bad := range []string{"fs.read=relative", "fs.read=" + in + "/nothing", `fs.read={}`, `fs.read={"roots":["` + in + `"],"total_bytes":1}`,
		`fs.write={"roots":["` + in + `"],"mode":"9"}`, `fs.write={"roots":["` + in + `"],"mode":"4755"}`, "fs.write=" + in + "/no/such", `fs.read={"root":"/"}`} {
		_, err := s.TryAs("t", "c", bad)
		captest.Want(t, err, capability.Invalid)
	}
}

// A descriptor of the root outlives the name: what is granted is the directory.
func TestARootThatIsMovedStaysTheSame(t *testing.T) {
	in, _ := tree(t)
	s := captest.Open(t, capabilities(false), "fs.read="+in)
	must(t, os.Rename(in, in+"2"))
	must(t, os.Mkdir(in, 0o755))
	must(t, os.WriteFile(in+"/a.txt", []byte("impostor"), 0o644))
	if v, err := s.Ask("fs.read", "get", path(in+"/a.txt")); err != nil || string(v.Data) != "hello" {
		t.Error(string(v.Data), err)
	}
}

// Somebody swaps a directory for a link that leads out, while we look files up: no
// read ever gets the file outside, and no write ever lands there.
func TestSwappingADirectoryForALink(t *testing.T) {
	both(t, func(t *testing.T, walk bool) {
		in, out := tree(t)
		must(t, os.WriteFile(out+"/b.txt", []byte("OUTSIDE"), 0o644))
		must(t, os.Symlink("../out", in+"/evil"))
		s := captest.Open(t, capabilities(walk), "fs.read="+in, `fs.write={"roots":["`+in+`"],"rps":1000000}`)
		stop := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if err := unix.Renameat2(unix.AT_FDCWD, in+"/sub", unix.AT_FDCWD, in+"/evil", unix.RENAME_EXCHANGE); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
		outcomes := map[capability.Kind]int{}
		// So often, and on a busy machine until both ends of the race have been met.
		met := func() bool { return outcomes[capability.OK] > 0 && outcomes[capability.Denied] > 0 }
		for i, late := 0, time.Now().Add(20*time.Second); i < 1500 || !met() && time.Now().Before(late); i++ {
			v, err := s.Ask("fs.read", "get", path(in+"/sub/b.txt"))
			outcomes[capability.KindOf(err)]++
			if string(v.Data) == "OUTSIDE" {
				t.Fatalf("read the file outside in round %d", i)
			}
			_, err = s.Ask("fs.write", "put", `{"path":"`+in+`/sub/w.txt","text":"w"}`)
			outcomes[capability.KindOf(err)]++
			_, err = s.Ask("fs.write", "append", `{"path":"`+in+`/sub/w2.txt","text":"w"}`)
			outcomes[capability.KindOf(err)]++
		}
		close(stop)
		wg.Wait()
		for _, name := range []string{"/w.txt", "/w2.txt"} {
			if _, err := os.Stat(out + name); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s was written outside", name)
			}
		}
		if !met() {
			t.Errorf("the race did not happen: %v", outcomes)
		}
		for kind := range outcomes {
			if kind != capability.OK && kind != capability.Denied && kind != capability.Busy && kind != capability.Conflict {
				t.Errorf("outcome %s: %v", kind, outcomes)
			}
		}
	})
}
