package notify

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/internal/osthread"
	"github.com/pyisolate/pyisolate/kernel/landlock"
	"github.com/pyisolate/pyisolate/kernel/policy"
)

// raceFor is how long each race is run.
func raceFor() time.Duration {
	if testing.Short() {
		return 100 * time.Millisecond
	}
	return time.Second
}

// meanwhile runs f over and over on a thread of its own until stop is called.
func meanwhile(f func()) (stop func()) {
	var over atomic.Bool
	var done sync.WaitGroup
	done.Go(func() {
		_ = osthread.Run(func() error {
			for !over.Load() {
				f()
			}
			return nil
		})
	})
	return func() {
		over.Store(true)
		done.Wait()
	}
}

// race opens a path that others change, and wants nothing but the file it may read.
func race(t *testing.T, s *Supervisor, tr tree, path string, change func()) {
	t.Helper()
	if err := os.WriteFile(tr.at("a/file"), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	won, refused := 0, 0
	on(t, s, Target{Rules: compiled(t, tr.rules()...)}, func(*Watched) error {
		stop := meanwhile(change)
		defer stop()
		buffer := make([]byte, 16)
		for end := time.Now().Add(raceFor()); time.Now().Before(end); {
			fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
			if err != nil {
				refused++
				continue
			}
			n, err := unix.Read(fd, buffer)
			_ = unix.Close(fd)
			if err != nil || string(buffer[:n]) != "mine" {
				return fmt.Errorf("opened %q, %w", buffer[:max(n, 0)], err)
			}
			won++
		}
		return nil
	})
	if won == 0 || refused == 0 {
		t.Logf("the race was never close: %d opened, %d refused", won, refused)
	}
	tr.unharmed(t)
}

// A link that leads to the one file and to the other.
func TestLinkIsSwapped(t *testing.T) {
	tr := newTree(t)
	for name, to := range map[string]string{"toA": "file", "toB": "../b/file"} {
		if err := os.Symlink(to, tr.at("a/"+name)); err != nil {
			t.Fatal(err)
		}
	}
	race(t, supervisor(t, Options{}), tr, tr.at("a/toA"), func() {
		_ = unix.Renameat2(unix.AT_FDCWD, tr.at("a/toA"), unix.AT_FDCWD, tr.at("a/toB"), unix.RENAME_EXCHANGE)
	})
}

// A directory on the way that is the one and the other.
func TestDirectoryIsSwapped(t *testing.T) {
	tr := newTree(t)
	if err := os.Mkdir(tr.at("a/way"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(tr.at("a/way/file"), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	race(t, supervisor(t, Options{}), tr, tr.at("a/way/file"), func() {
		_ = unix.Renameat2(unix.AT_FDCWD, tr.at("a/way"), unix.AT_FDCWD, tr.at("a/dirlink"), unix.RENAME_EXCHANGE)
	})
}

// A directory that was just made, and is a link to another when it is given to its owner.
func TestMadeDirectoryIsSwapped(t *testing.T) {
	s := supervisor(t, Options{})
	tr := newTree(t)
	var before, after unix.Stat_t
	if err := unix.Stat(tr.at("b"), &before); err != nil {
		t.Fatal(err)
	}
	dir, err := unix.Open(tr.at("a"), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(dir) }()
	o := owner{user: os.Getuid(), group: os.Getgid()}
	for _, last := range []string{"dirlink", "dirlink/"} {
		err := o.takeDirectory(name{dir: place{fd: dir}, last: last}, 0o700)
		if !errors.Is(err, unix.ENOTDIR) && !errors.Is(err, unix.ELOOP) {
			t.Errorf("%s: %v", last, err)
		}
		if err := unix.Stat(tr.at("b"), &after); err != nil || after.Mode != before.Mode || after.Uid != before.Uid {
			t.Errorf("%s: what it leads to has mode %#o and owner %d, had %#o and %d: %v", last, after.Mode, after.Uid, before.Mode, before.Uid, err)
		}
	}
	on(t, s, Target{Rules: compiled(t, tr.rules()...)}, func(*Watched) error {
		return unix.Mkdir(tr.at("a/made")+"/", 0o755) // the slash does no harm to what is made
	})
}

// What is made and removed goes to the directory that was judged, whatever has its name.
func TestDirectoryIsSwappedUnderChanges(t *testing.T) {
	s := supervisor(t, Options{})
	tr := newTree(t)
	if err := os.Mkdir(tr.at("a/way"), 0o755); err != nil {
		t.Fatal(err)
	}
	on(t, s, Target{Rules: compiled(t, tr.rules()...)}, func(*Watched) error {
		stop := meanwhile(func() {
			_ = unix.Renameat2(unix.AT_FDCWD, tr.at("a/way"), unix.AT_FDCWD, tr.at("a/dirlink"), unix.RENAME_EXCHANGE)
		})
		defer stop()
		for end := time.Now().Add(raceFor()); time.Now().Before(end); {
			_ = open(tr.at("a/way/new"), unix.O_CREAT|unix.O_WRONLY)
			_ = unix.Unlink(tr.at("a/way/file"))
			_ = unix.Truncate(tr.at("a/way/file"), 0)
			_ = unix.Mkdir(tr.at("a/way/dir"), 0o755)
			_ = unix.Rename(tr.at("a/way/file"), tr.at("a/stolen"))
		}
		return nil
	})
	tr.unharmed(t)
}

// rawOpen calls openat with a path wherever it is.
func rawOpen(dir int, path unsafe.Pointer, flags uintptr) (int, error) {
	fd, _, e := unix.Syscall6(unix.SYS_OPENAT, uintptr(dir), uintptr(path), flags|unix.O_CLOEXEC, 0, 0, 0)
	if e != 0 {
		return -1, e
	}
	return int(fd), nil
}

// Another thread writes over the path while it is judged. The supervisor reads it once.
func TestPathIsRewritten(t *testing.T) {
	s := supervisor(t, Options{})
	tr := newTree(t)
	rewritten(t, tr, func(f func() error) error {
		return onThread(s, Target{Rules: compiled(t, tr.rules()...)}, func(*Watched) error { return f() })
	})
}

// Where the kernel goes on, the other thread can win against the supervisor, and loses
// against Landlock, without which this must not be used.
func TestContinuedPathIsRewritten(t *testing.T) {
	abi, err := landlock.ABI()
	if err != nil {
		t.Skip(err)
	}
	s := supervisor(t, Options{})
	tr := newTree(t)
	rules, _, err := landlock.Compile(policy.Policy{Files: []policy.FileRule{{Path: tr.at("a"), Access: r}}}, abi)
	if err != nil {
		t.Fatal(err)
	}
	target := Target{Continue: []string{tr.at("a")}}
	rewritten(t, tr, func(f func() error) error {
		return osthread.Run(func() error {
			if err := rules.Restrict(); err != nil {
				return err
			}
			listener, err := listen()
			if err != nil {
				return err
			}
			watched, err := s.Add(listener, target)
			if err != nil {
				return err
			}
			defer func() { t.Logf("%+v", watched.Counts()) }()
			return f()
		})
	})
}

// rewritten opens a file of a on the thread that it is given, while its path becomes that
// of the one in b, and back.
func rewritten(t *testing.T, tr tree, on func(func() error) error) {
	t.Helper()
	if err := os.WriteFile(tr.at("a/file"), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	memory, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(memory) }()
	copy(memory, tr.at("a/file")+"\x00")
	at := len(tr) + 1
	word := memory[at&^3 : at&^3+4] // with the a in it
	other := bytes.Clone(word)
	other[at&3] = 'b'
	letter, mine, theirs := (*uint32)(unsafe.Pointer(&word[0])), binary.NativeEndian.Uint32(word), binary.NativeEndian.Uint32(other)
	opened := 0
	err = on(func() error {
		stop := meanwhile(func() {
			atomic.StoreUint32(letter, theirs)
			atomic.StoreUint32(letter, mine)
		})
		defer stop()
		buffer := make([]byte, 16)
		for end := time.Now().Add(raceFor()); time.Now().Before(end); {
			fd, err := rawOpen(unix.AT_FDCWD, unsafe.Pointer(&memory[0]), unix.O_RDONLY)
			if err != nil {
				continue
			}
			opened++
			n, _ := unix.Read(fd, buffer)
			_ = unix.Close(fd)
			if string(buffer[:max(n, 0)]) != "mine" {
				return fmt.Errorf("opened %q", buffer[:max(n, 0)])
			}
		}
		return nil
	})
	if errors.Is(err, errNoListener) {
		t.Skip(err)
	}
	if err != nil || opened == 0 {
		t.Errorf("%d opened, %v", opened, err)
	}
	tr.unharmed(t)
}

// Signals to the supervisor's threads, which the Go runtime sends at any time, do not
// let an open succeed with another descriptor.
func TestInterrupted(t *testing.T) {
	s := supervisor(t, Options{})
	tr := newTree(t)
	on(t, s, Target{Rules: compiled(t, tr.rules()...)}, func(*Watched) error {
		var want, got unix.Stat_t
		if err := unix.Stat(tr.at("a/file"), &want); err != nil {
			return err
		}
		me := unix.Gettid()
		stop := meanwhile(func() {
			tasks, _ := os.ReadDir("/proc/self/task")
			for _, task := range tasks {
				if tid, err := strconv.Atoi(task.Name()); err == nil && tid != me {
					_ = unix.Tgkill(os.Getpid(), tid, unix.SIGURG)
				}
			}
		})
		defer stop()
		for end := time.Now().Add(raceFor()); time.Now().Before(end); {
			fd, err := unix.Open(tr.at("a/file"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				return err
			}
			if err := unix.Fstat(fd, &got); err != nil || !same(want, got) {
				return fmt.Errorf("descriptor %d is another file (%w)", fd, err)
			}
			if err := unix.Close(fd); err != nil {
				return err
			}
		}
		return nil
	})
}
