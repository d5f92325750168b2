package notify

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/internal/osthread"
	"github.com/pyisolate/pyisolate/kernel/policy"
)

// rule gives reading of one of the tree's.
func (tr tree) rule(name string) policy.FileRule {
	return policy.FileRule{Path: tr.at(name), Access: r}
}

// The sentence, on this layer: two threads of one process, of which one may read A
// and not B and the other B and not A; the policies are changed while they run; what they
// may do changes with it, and nothing is started again.
func TestTwoThreads(t *testing.T) {
	s := supervisor(t, Options{})
	tr := newTree(t)
	a, b := compiled(t, tr.rule("a")), compiled(t, tr.rule("b"))
	type threadOf struct {
		watched *Watched
		ask     chan string
		told    chan error
		tid     int
	}
	start := func(rules *Rules) threadOf {
		th := threadOf{ask: make(chan string), told: make(chan error)}
		ready := make(chan struct{})
		go func() {
			err := onThread(s, Target{Rules: rules}, func(watched *Watched) error {
				th.watched, th.tid = watched, unix.Gettid()
				close(ready)
				for path := range th.ask {
					th.told <- readAs(path)
				}
				return nil
			})
			if th.watched == nil {
				th.told <- err
			}
			close(th.told)
		}()
		select {
		case <-ready:
		case err := <-th.told:
			if errors.Is(err, errNoListener) {
				t.Skip(err)
			}
			t.Fatal(err)
		}
		t.Cleanup(func() {
			close(th.ask)
			for range th.told { // until it has ended
			}
		})
		return th
	}
	first, second := start(a), start(b)
	want := func(th threadOf, name string, want error) {
		t.Helper()
		th.ask <- tr.at(name + "/file")
		if err := <-th.told; !errors.Is(err, want) {
			t.Errorf("thread %d reads %s: %v, want %v", th.tid, name, err, want)
		}
	}
	want(first, "a", nil)
	want(first, "b", unix.EACCES)
	want(second, "a", unix.EACCES)
	want(second, "b", nil)
	first.watched.Swap(b)
	second.watched.Swap(a)
	want(first, "a", unix.EACCES)
	want(first, "b", nil)
	want(second, "a", nil)
	want(second, "b", unix.EACCES)
}

// No call is judged by half a policy: a rename needs both directories, and each policy
// gives one of them.
func TestSwapUnderLoad(t *testing.T) {
	s := supervisor(t, Options{})
	tr := newTree(t)
	only := func(name string) *Rules { return compiled(t, policy.FileRule{Path: tr.at(name), Access: rw}) }
	a, b := only("a"), only("b")
	on(t, s, Target{Rules: a}, func(watched *Watched) error {
		swaps := 0
		stop := meanwhile(func() {
			watched.Swap(b)
			watched.Swap(a)
			swaps += 2
		})
		defer func() {
			stop()
			t.Logf("%d swaps, %+v", swaps, watched.Counts())
		}()
		opened := map[string]int{}
		for range 2000 {
			if err := unix.Rename(tr.at("a/file"), tr.at("b/stolen")); !errors.Is(err, unix.EACCES) {
				return fmt.Errorf("rename by half of each: %w", err)
			}
			for _, name := range []string{"a", "b"} {
				if err := readAs(tr.at(name + "/file")); err == nil {
					opened[name]++
				} else if !errors.Is(err, unix.EACCES) {
					return err
				}
			}
		}
		t.Logf("opened %v", opened)
		return nil
	})
	tr.unharmed(t)
}

func TestRelative(t *testing.T) {
	s := supervisor(t, Options{})
	tr := newTree(t)
	err := osthread.Run(func() error {
		if err := errors.Join(unix.Unshare(unix.CLONE_FS), unix.Chdir(tr.at("a/sub"))); err != nil {
			return err
		}
		dirOf := func(name string) int {
			fd, err := unix.Open(tr.at(name), unix.O_PATH|unix.O_CLOEXEC, 0)
			if err != nil {
				t.Error(err)
			}
			return fd
		}
		a, b, file := dirOf("a"), dirOf("b"), dirOf("a/file")
		gone := dirOf("in")
		if err := os.RemoveAll(tr.at("in")); err != nil {
			return err
		}
		listener, err := listen()
		if err != nil {
			return err
		}
		if _, err := s.Add(listener, Target{Rules: compiled(t, tr.rules()...)}); err != nil {
			return err
		}
		for _, c := range []struct {
			dir     int
			path    string
			resolve uint64
			want    error
		}{
			{unix.AT_FDCWD, "file", 0, nil},
			{unix.AT_FDCWD, "../file", 0, nil},
			{unix.AT_FDCWD, ".", 0, nil},
			{unix.AT_FDCWD, "../../b/file", 0, unix.EACCES},
			{a, "sub/file", 0, nil},
			{a, "../b/file", 0, unix.EACCES},
			{a, "../b/file", unix.RESOLVE_BENEATH, unix.EXDEV},
			{a, "/sub/file", unix.RESOLVE_IN_ROOT, nil},
			{a, "/../sub/file", unix.RESOLVE_IN_ROOT, nil},
			{a, tr.at("a/file"), unix.RESOLVE_BENEATH, unix.EXDEV},
			{a, "innerlink", unix.RESOLVE_NO_SYMLINKS, unix.ELOOP},
			{a, "file", 1 << 40, unix.EINVAL},
			{a, "file", resolveCached, unix.EAGAIN},
			{b, "file", 0, unix.EACCES},
			{b, "../a/file", 0, nil},
			{b, tr.at("a/file"), 0, nil},
			{file, "x", 0, unix.ENOTDIR},
			{gone, "x", 0, unix.ENOENT},
			{-1, "file", 0, unix.EBADF},
			{1 << 20, "file", 0, unix.EBADF},
			{-1, tr.at("a/file"), 0, nil},
		} {
			fd, err := unix.Openat2(c.dir, c.path, &unix.OpenHow{Flags: unix.O_CLOEXEC, Resolve: c.resolve})
			if err == nil {
				_ = unix.Close(fd)
			}
			if !errors.Is(err, c.want) {
				t.Errorf("%d %s %#x: %v, want %v", c.dir, c.path, c.resolve, err, c.want)
			}
		}
		return nil
	})
	if errors.Is(err, errNoListener) {
		t.Skip(err)
	}
	if err != nil {
		t.Error(err)
	}
}

// A descriptor that was injected is as if the thread had opened it.
func TestDescriptors(t *testing.T) {
	s := supervisor(t, Options{})
	tr := newTree(t)
	on(t, s, Target{Rules: compiled(t, tr.rules()...)}, func(*Watched) error {
		for name, c := range map[string]struct{ flags, status, descriptor int }{
			"plain":       {unix.O_RDONLY, unix.O_RDONLY, 0},
			"append":      {unix.O_RDWR | unix.O_APPEND | unix.O_CLOEXEC, unix.O_RDWR | unix.O_APPEND, unix.FD_CLOEXEC},
			"nonblocking": {unix.O_WRONLY | unix.O_NONBLOCK, unix.O_WRONLY | unix.O_NONBLOCK, 0},
			"made":        {unix.O_WRONLY | unix.O_CREAT | unix.O_APPEND | unix.O_CLOEXEC, unix.O_WRONLY | unix.O_APPEND, unix.FD_CLOEXEC},
			"emptied":     {unix.O_WRONLY | unix.O_TRUNC, unix.O_WRONLY, 0},
		} {
			path := tr.at("a/sub/file")
			if name == "made" {
				path = tr.at("a/made")
			}
			fd, err := unix.Open(path, c.flags, 0o640)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			status, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
			descriptor, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
			if status&^(largeFile|unix.O_NOFOLLOW) != c.status || descriptor != c.descriptor {
				t.Errorf("%s: status %#o, descriptor %d", name, status, descriptor)
			}
			_ = unix.Close(fd)
		}
		if st, err := os.Stat(tr.at("a/sub/file")); err != nil || st.Size() != 0 {
			t.Errorf("emptied: %v, %v", st, err)
		}
		return nil
	})
}

// What is made belongs to who asked, by its umask, whoever the node is.
func TestOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("another user's files can only be made by root")
	}
	s := supervisor(t, Options{})
	tr := newTree(t)
	const user, group = 61234, 61235
	err := osthread.Run(func() error {
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return err
		}
		unix.Umask(0o027)
		listener, err := listen()
		if err != nil {
			return err
		}
		if _, err := s.Add(listener, Target{Rules: compiled(t, tr.rules()...)}); err != nil {
			return err
		}
		if _, _, e := unix.RawSyscall(unix.SYS_SETRESGID, group, group, group); e != 0 {
			return e
		}
		if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, user, user, user); e != 0 {
			return e
		}
		fd, err := unix.Open(tr.at("a/new"), unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o4666)
		if err != nil {
			return err
		}
		_ = unix.Close(fd)
		return unix.Mkdir(tr.at("a/dir"), 0o1777)
	})
	if errors.Is(err, errNoListener) {
		t.Skip(err)
	}
	if err != nil {
		t.Error(err)
	}
	for name, mode := range map[string]uint32{"a/new": unix.S_IFREG | 0o640, "a/dir": unix.S_IFDIR | 0o750} {
		var st unix.Stat_t
		if err := unix.Stat(tr.at(name), &st); err != nil || st.Uid != user || st.Gid != group || st.Mode != mode {
			t.Errorf("%s: %d:%d %#o, %v", name, st.Uid, st.Gid, st.Mode, err)
		}
	}
}

func TestContinue(t *testing.T) {
	s := supervisor(t, Options{})
	tr := newTree(t)
	target := Target{Continue: []string{tr.at("b")}, Rules: compiled(t, tr.rule("a"))}
	on(t, s, target, func(watched *Watched) error {
		for path, want := range map[string]error{tr.at("b/file"): nil, tr.at("ab/file"): unix.EACCES, tr.at("b") + "/../ab/file": unix.EACCES} {
			if err := readAs(path); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", path, err, want)
			}
		}
		for _, flags := range []int{unix.O_RDWR, unix.O_TRUNC, unix.O_CREAT} {
			if err := open(tr.at("b/file"), flags); !errors.Is(err, unix.EACCES) {
				t.Errorf("flags %#o: %v", flags, err)
			}
		}
		if got := watched.Counts(); got.Continued != 1 {
			t.Errorf("%+v", got)
		}
		return nil
	})
	tr.unharmed(t)
	for _, dir := range []string{"b", "/b/", "/b/../a", ""} {
		err := onThread(s, Target{Continue: []string{dir}}, func(*Watched) error { return nil })
		if err == nil {
			t.Errorf("%q is taken", dir)
		}
	}
}

func TestDenials(t *testing.T) {
	denials := make(chan Denial, 9)
	s := supervisor(t, Options{Denied: func(d Denial) { denials <- d }})
	tr := newTree(t)
	on(t, s, Target{ID: 7, Rules: compiled(t, tr.rules()...)}, func(watched *Watched) error {
		_ = open(tr.at("a/dirlink/file"), unix.O_RDWR)
		_ = open(tr.at("a/none"), 0)
		_ = open(tr.at("a/file"), 0)
		_ = unix.Mkdir(tr.at("b/x"), 0o755)
		if got := watched.Counts(); got != (Counts{Opened: 1, Denied: 2, Failed: 1}) {
			t.Errorf("%+v", got)
		}
		if got := s.Counts(); got != watched.Counts() {
			t.Errorf("in all %+v", got)
		}
		return nil
	})
	if t.Skipped() || t.Failed() {
		return
	}
	if got := s.Counts(); got.Opened == 0 || got.Denied != 2 { // although it is watched no more
		t.Errorf("afterwards %+v", got)
	}
	told := []Denial{<-denials, <-denials} // a caller has its answer after that
	want := []Denial{{ID: 7, Call: "openat", Path: tr.at("b/file"), Want: rw}, {ID: 7, Call: "mkdirat", Path: tr.at("b/x"), Want: w}}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Error(diff)
	}
}

// Without a supervisor every call fails.
func TestClosed(t *testing.T) {
	s := supervisor(t, Options{})
	tr := newTree(t)
	on(t, s, Target{Rules: compiled(t, tr.rules()...)}, func(watched *Watched) error {
		if err := open(tr.at("a/file"), 0); err != nil {
			return err
		}
		if err := watched.Close(); err != nil {
			return err
		}
		<-watched.Done()
		for _, err := range []error{open(tr.at("a/file"), 0), unix.Unlink(tr.at("a/file")), unix.Mkdir(tr.at("a/x"), 0o755)} {
			if !errors.Is(err, unix.ENOSYS) {
				t.Errorf("after the end: %v", err)
			}
		}
		return nil
	})
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := onThread(s, Target{}, func(*Watched) error { return nil }); !errors.Is(err, ErrClosed) && !errors.Is(err, errNoListener) {
		t.Errorf("add to what is closed: %v", err)
	}
}
