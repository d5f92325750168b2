package notify

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/kernel/internal/osthread"
	"github.com/pyisolate/pyisolate/kernel/policy"
)

// Pointers to nowhere fail as the kernel lets them fail, and nothing else happens.
func TestPointers(t *testing.T) {
	s := supervisor(t, Options{})
	tr := newTree(t)
	page := os.Getpagesize()
	memory, err := unix.Mmap(-1, 0, 3*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(memory) }()
	if err := unix.Mprotect(memory[2*page:], unix.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	endsWith := func(text string) unsafe.Pointer {
		copy(memory[2*page-len(text):], text)
		return unsafe.Pointer(&memory[2*page-len(text)])
	}
	rules := compiled(t, tr.rules()...)
	on(t, s, Target{Rules: rules}, func(watched *Watched) error {
		for _, number := range []uintptr{0, 1, 1 << 47, 1<<63 + 8, ^uintptr(0), ^uintptr(4095), 0xffffffff81000000} {
			fd, _, e := unix.Syscall6(unix.SYS_OPENAT, uintptr(0), number, 0, 0, 0, 0)
			if e != unix.EFAULT {
				t.Errorf("%#x: %d, %v", number, fd, e)
			}
		}
		if _, err := rawOpen(-1, endsWith(tr.at("a/file")+"\x00"), 0); err != nil {
			t.Errorf("up to the end of what is mapped: %v", err)
		}
		if _, err := rawOpen(-1, endsWith(tr.at("a/file")), 0); !errors.Is(err, unix.EFAULT) {
			t.Errorf("beyond what is mapped: %v", err)
		}
		copy(memory, strings.Repeat("a", 2*page))
		if _, err := rawOpen(-1, unsafe.Pointer(&memory[0]), 0); !errors.Is(err, unix.ENAMETOOLONG) {
			t.Errorf("without an end: %v", err)
		}
		how := unix.OpenHow{}
		path := append([]byte(tr.at("a/file")), 0)
		open2 := func(how unsafe.Pointer, size uintptr) error {
			fd, _, e := unix.Syscall6(unix.SYS_OPENAT2, 0, uintptr(unsafe.Pointer(&path[0])), uintptr(how), size, 0, 0)
			if e != 0 {
				return e
			}
			return unix.Close(int(fd))
		}
		for name, c := range map[string]struct {
			how  unsafe.Pointer
			size uintptr
			want error
		}{
			"right":     {unsafe.Pointer(&how), unsafe.Sizeof(how), nil},
			"short":     {unsafe.Pointer(&how), 8, unix.EINVAL},
			"huge":      {unsafe.Pointer(&how), ^uintptr(0), unix.E2BIG},
			"with more": {unsafe.Pointer(&memory[0]), 64, unix.E2BIG},
			"nowhere":   {unsafe.Pointer(&memory[2*page-8]), unsafe.Sizeof(how), unix.EFAULT},
		} {
			if err := open2(c.how, c.size); !errors.Is(err, c.want) {
				t.Errorf("how, %s: %v, want %v", name, err, c.want)
			}
		}
		if got := watched.Counts(); got.Denied != 0 {
			t.Errorf("%d were denied", got.Denied)
		}
		return nil
	})
}

// What is no listener is refused, and closed.
func TestFakeListener(t *testing.T) {
	s := supervisor(t, Options{})
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(pipe[1]) }()
	must := func(fd int, err error) *os.File {
		if err != nil {
			t.Fatal(err)
		}
		return os.NewFile(uintptr(fd), "fake")
	}
	named := t.TempDir() + "/" + listenerName
	for name, file := range map[string]*os.File{
		"a pipe":         os.NewFile(uintptr(pipe[0]), "pipe"),
		"a file":         must(unix.Open(named, unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o600)),
		"a device":       must(unix.Open("/dev/zero", unix.O_RDWR|unix.O_CLOEXEC, 0)),
		"a counter":      must(unix.Eventfd(0, unix.EFD_CLOEXEC)),
		"memory":         must(unix.MemfdCreate(listenerName, unix.MFD_CLOEXEC)),
		"a socket":       must(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)),
		"other events":   must(unix.EpollCreate1(unix.EPOLL_CLOEXEC)),
		"only held":      must(unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)),
		"a timer":        must(unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC)),
		"another thread": must(unix.PidfdOpen(os.Getpid(), 0)),
	} {
		if _, err := s.Add(file, Target{}); !errors.Is(err, ErrNoListener) {
			t.Errorf("%s: %v", name, err)
		}
		if err := file.Close(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s is still open: %v", name, err)
		}
	}
}

// A mount namespace of its own, with other things mounted, shows nothing new to it.
func TestOtherMounts(t *testing.T) {
	s := supervisor(t, Options{})
	tr := newTree(t)
	errNoNamespace := errors.New("no mount namespace can be had")
	err := osthread.Run(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
			return fmt.Errorf("%w: %w", errNoNamespace, err)
		}
		if err := errors.Join(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			unix.Mount(tr.at("b"), tr.at("a/sub"), "", unix.MS_BIND, "")); err != nil {
			return fmt.Errorf("%w: %w", errNoNamespace, err)
		}
		dir, err := unix.Open(tr.at("a/sub"), unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		if err := unix.Chdir(tr.at("a/sub")); err != nil {
			return err
		}
		listener, err := listen()
		if err != nil {
			return err
		}
		if _, err := s.Add(listener, Target{Rules: compiled(t, tr.rules()...)}); err != nil {
			return err
		}
		file := append([]byte("file"), 0)
		for name, at := range map[string]int{"directory": dir, "working directory": unix.AT_FDCWD} {
			if _, err := rawOpen(at, unsafe.Pointer(&file[0]), 0); !errors.Is(err, unix.EACCES) {
				t.Errorf("from another mount's %s: %v", name, err)
			}
		}
		return readAs(tr.at("a/sub/file")) // the node's, which has the same in it
	})
	if errors.Is(err, errNoNamespace) || errors.Is(err, errNoListener) {
		t.Skip(err)
	}
	if err != nil {
		t.Error(err)
	}
}

// A thread with another root is refused whatever it asks for.
func TestOtherRoot(t *testing.T) {
	s := supervisor(t, Options{})
	tr := newTree(t)
	errNoRoot := errors.New("no other root can be had")
	err := osthread.Run(func() error {
		if err := errors.Join(unix.Unshare(unix.CLONE_FS), unix.Chroot(tr.at("a"))); err != nil {
			return fmt.Errorf("%w: %w", errNoRoot, err)
		}
		listener, err := listen()
		if err != nil {
			return err
		}
		if _, err := s.Add(listener, Target{Rules: compiled(t, tr.rules()...)}); err != nil {
			return err
		}
		if err := open(tr.at("a/file"), 0); !errors.Is(err, unix.EACCES) {
			return fmt.Errorf("open: %w", err)
		}
		return nil
	})
	if errors.Is(err, errNoRoot) || errors.Is(err, errNoListener) {
		t.Skip(err)
	}
	if err != nil {
		t.Error(err)
	}
}

// Many listeners at once, each by its own rules.
func TestMany(t *testing.T) {
	const many = 200
	s := supervisor(t, Options{MaxListeners: many, MaxOpen: 4, MaxWait: time.Minute})
	tr := newTree(t)
	for _, d := range []string{"own0", "own1"} {
		if err := os.Mkdir(tr.at(d), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(tr.at(d+"/file"), []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rules := []*Rules{compiled(t, tr.rule("own0")), compiled(t, tr.rule("own1"))}
	failed := make(chan error, many)
	for i := range many {
		go func() {
			failed <- onThread(s, Target{ID: uint64(i), Rules: rules[i%2]}, func(*Watched) error {
				for range 20 {
					if err := readAs(tr.at(fmt.Sprintf("own%d/file", i%2))); err != nil {
						return fmt.Errorf("%d, its own: %w", i, err)
					}
					if err := readAs(tr.at(fmt.Sprintf("own%d/file", 1-i%2))); !errors.Is(err, unix.EACCES) {
						return fmt.Errorf("%d, the other's: %w", i, err)
					}
				}
				return nil
			})
		}()
	}
	for range many {
		if err := <-failed; err != nil && !errors.Is(err, errNoListener) {
			t.Error(err)
		}
	}
	await.That(t, "listeners of threads that ended are forgotten", func() bool {
		s.lock.Lock()
		defer s.lock.Unlock()
		return len(s.watched) == 0
	})
}

func TestTooMany(t *testing.T) {
	s := supervisor(t, Options{MaxListeners: 1})
	on(t, s, Target{}, func(first *Watched) error {
		if err := onThread(s, Target{}, func(*Watched) error { return nil }); !errors.Is(err, ErrFull) {
			return fmt.Errorf("the second: %w", err)
		}
		if err := first.Close(); err != nil {
			return err
		}
		return first.Close()
	})
}

// One owner's listeners, though they are one under many numbers, leave the others' places
// alone; what ends makes room again.
func TestTooManyOfOneOwner(t *testing.T) {
	s := supervisor(t, Options{MaxListeners: 9, MaxPerOwner: 2})
	type host struct{ name string }
	greedy, modest := &host{"greedy"}, &host{"modest"}
	err := osthread.Run(func() error {
		listener, err := listen()
		if err != nil {
			return err
		}
		defer func() { _ = listener.Close() }()
		add := func(owner any) (*Watched, error) {
			fd, err := unix.FcntlInt(listener.Fd(), unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				return nil, err
			}
			return s.Add(os.NewFile(uintptr(fd), "listener"), Target{Owner: owner})
		}
		first, err := add(greedy)
		if err != nil {
			return err
		}
		for i, c := range []struct {
			owner any
			want  error
		}{{greedy, nil}, {greedy, ErrFull}, {greedy, ErrFull}, {modest, nil}, {nil, nil}, {nil, nil}, {nil, nil}, {modest, nil}, {modest, ErrFull}} {
			if _, err := add(c.owner); !errors.Is(err, c.want) {
				t.Errorf("number %d, %v: %v, want %v", i, c.owner, err, c.want)
			}
		}
		if _, err := add([]int{1}); err == nil || errors.Is(err, ErrFull) {
			t.Errorf("an owner that cannot be compared: %v", err)
		}
		if err := first.Close(); err != nil {
			return err
		}
		await.That(t, "there is a place again", func() bool {
			_, err := add(greedy)
			return err == nil
		})
		return nil
	})
	if errors.Is(err, errNoListener) {
		t.Skip(err)
	}
	if err != nil {
		t.Error(err)
	}
	await.That(t, "owners whose thread has ended are forgotten", func() bool {
		s.lock.Lock()
		defer s.lock.Unlock()
		return len(s.owned) == 0
	})
}

// A listener of a filter that is not ours may tell of any call, of which none is done.
func TestOtherFilter(t *testing.T) {
	s := supervisor(t, Options{})
	code := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}, // the number
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_GETPPID, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	err := osthread.Run(func() error {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return err
		}
		f := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
		fd, _, e := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&f)))
		if e != 0 {
			return fmt.Errorf("%w: %w", errNoListener, e)
		}
		if _, err := s.Add(os.NewFile(fd, "listener"), Target{Rules: compiled(t, policy.FileRule{Path: "/", Access: rw})}); err != nil {
			return err
		}
		if got, _, e := unix.Syscall(unix.SYS_GETPPID, 0, 0, 0); e != unix.EACCES {
			return fmt.Errorf("getppid gave %d, %w", got, e)
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

// One call that takes its time holds up nobody else, as long as there are places, and then
// the others are refused.
func TestSlow(t *testing.T) {
	for places, want := range map[int]error{2: nil, 1: unix.EACCES} {
		t.Run(fmt.Sprintf("%d places", places), func(t *testing.T) {
			slow, goOn := make(chan struct{}), make(chan struct{})
			s := supervisor(t, Options{MaxOpen: places, MaxWait: 100 * time.Millisecond, Denied: func(Denial) {
				close(slow)
				<-goOn
			}})
			tr := newTree(t)
			rules := compiled(t, tr.rules()...)
			first := make(chan error, 1)
			go func() {
				first <- onThread(s, Target{Rules: rules}, func(*Watched) error { return open(tr.at("b/file"), 0) })
			}()
			select {
			case <-slow:
			case err := <-first:
				t.Skip(err)
			}
			on(t, s, Target{Rules: rules}, func(*Watched) error {
				if err := open(tr.at("a/file"), 0); !errors.Is(err, want) {
					return fmt.Errorf("beside a slow one: %w", err)
				}
				return nil
			})
			close(goOn)
			if err := <-first; !errors.Is(err, unix.EACCES) {
				t.Errorf("the slow one: %v", err)
			}
		})
	}
}
