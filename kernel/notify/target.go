package notify

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// target is a thread that waits for an answer. What is learned by its number is about it
// only if its notification is still valid afterwards.
type target struct{ tid int }

// maxPath is PATH_MAX, the zero included.
const maxPath = 4096

var buffers = sync.Pool{New: func() any { return new([maxPath]byte) }}

// text reads a path. A path that does not end fails as it would in the kernel.
func (t target) text(at uint64) (string, error) {
	buffer := buffers.Get().(*[maxPath]byte)
	defer buffers.Put(buffer)
	n, err := t.read(at, buffer[:])
	if end := bytes.IndexByte(buffer[:n], 0); end >= 0 {
		return string(buffer[:end]), nil
	}
	if err == nil && n == len(buffer) {
		err = unix.ENAMETOOLONG
	} else if err == nil {
		err = unix.EFAULT
	}
	return "", err
}

// read reads as much as is there, at most len(into). Each page is asked for by itself, so
// that one that is missing costs only what is in it.
func (t target) read(at uint64, into []byte) (int, error) {
	page := uint64(os.Getpagesize())
	first := min(uint64(len(into)), page-at%page)
	remote := []unix.RemoteIovec{{Base: uintptr(at), Len: int(first)}}
	for done := first; done < uint64(len(into)) && at+done > at; done += page {
		remote = append(remote, unix.RemoteIovec{Base: uintptr(at + done), Len: int(min(page, uint64(len(into))-done))})
	}
	local := []unix.Iovec{{Base: &into[0]}}
	local[0].SetLen(len(into))
	n, err := unix.ProcessVMReadv(t.tid, local, remote, 0)
	return max(n, 0), err
}

// entry of the thread's directory in /proc.
func (t target) entry(name string) string { return "/proc/" + strconv.Itoa(t.tid) + "/" + name }

// hasRoot says whether the thread's root is the one given.
func (t target) hasRoot(root unix.Stat_t) bool {
	var st unix.Stat_t
	return unix.Stat(t.entry("root/."), &st) == nil && same(st, root)
}

func same(a, b unix.Stat_t) bool { return a.Dev == b.Dev && a.Ino == b.Ino }

// directory opens the directory that a relative path of the thread starts from, O_PATH. It is
// opened by its path in our mount namespace, and must be the same one there: another
// namespace could show anything under that path.
func (t target) directory(s *Supervisor, fd int32) (int, error) {
	name := "cwd"
	if fd != unix.AT_FDCWD {
		name = "fd/" + strconv.Itoa(int(fd))
	}
	const flags = unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC
	theirs, err := unix.Open(t.entry(name), flags, 0)
	switch {
	case errors.Is(err, unix.ENOENT):
		return -1, unix.EBADF
	case err != nil:
		return -1, err
	}
	defer func() { _ = unix.Close(theirs) }()
	path, err := s.pathOf(theirs)
	if err != nil {
		return -1, err
	}
	ours, err := unix.Openat2(s.rootDir, path, &unix.OpenHow{Flags: flags, Resolve: unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_SYMLINKS})
	if err != nil {
		return -1, err
	}
	var a, b unix.Stat_t
	if unix.Fstat(theirs, &a) != nil || unix.Fstat(ours, &b) != nil || !same(a, b) {
		_ = unix.Close(ours)
		return -1, unix.EACCES
	}
	return ours, nil
}

// mayGrow says whether a file of the thread may have size bytes.
func (t target) mayGrow(size int64) bool {
	var limit unix.Rlimit
	err := unix.Prlimit(t.tid, unix.RLIMIT_FSIZE, nil, &limit)
	return err == nil && uint64(size) <= limit.Cur
}

// owner is whom the files belong to that a thread makes, and the bits that they lack.
type owner struct {
	user, group int
	umask       uint32
}

// owner reads the thread's status.
func (t target) owner() (owner, error) {
	fd, err := unix.Open(t.entry("status"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return owner{}, fmt.Errorf("open a thread's status: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	buffer := buffers.Get().(*[maxPath]byte)
	defer buffers.Put(buffer)
	n, err := unix.Read(fd, buffer[:])
	if err != nil {
		return owner{}, fmt.Errorf("read a thread's status: %w", err)
	}
	return parseOwner(string(buffer[:n]))
}

// parseOwner takes the umask and the fourth of the users and groups, by which the kernel
// makes files.
func parseOwner(status string) (owner, error) {
	o := owner{user: -1, group: -1}
	umask := uint64(1 << 32)
	for line := range strings.Lines(status) {
		key, value, _ := strings.Cut(line, ":")
		var err error
		switch key {
		case "Umask":
			umask, err = strconv.ParseUint(strings.TrimSpace(value), 8, 16)
		case "Uid":
			o.user, err = fourth(value)
		case "Gid":
			o.group, err = fourth(value)
		}
		if err != nil {
			return owner{}, fmt.Errorf("read a thread's %s: %w", key, err)
		}
	}
	if o.user < 0 || o.group < 0 || umask > 0o777 {
		return owner{}, fmt.Errorf("a thread's status lacks its user, group or umask")
	}
	o.umask = uint32(umask)
	return o, nil
}

func fourth(value string) (int, error) {
	fields := strings.Fields(value)
	if len(fields) != 4 {
		return -1, fmt.Errorf("%d numbers", len(fields))
	}
	n, err := strconv.ParseUint(fields[3], 10, 32)
	return int(n), err
}
