package files

import (
	"errors"
	"path/filepath"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/broker/capability"
)

// root is one granted directory, or one granted file within its directory.
type root struct {
	path string // absolute and clean, as granted
	base string // the only name reachable; "" for a directory
	dir  int    // O_PATH descriptor of the directory
	walk bool   // resolve without openat2
}

// noOpenat2 is set when the kernel has turned out not to have openat2.
var noOpenat2 atomic.Bool

// openRoot opens what a grant names. The path is the operator's: links in it are
// followed once, now. With create, a file may still be missing.
func openRoot(path string, create bool) (*root, error) {
	if !filepath.IsAbs(path) || len(path) > maxPath || strings.ContainsRune(path, 0) {
		return nil, capability.Errorf(capability.Invalid, "%q is not an absolute path", path)
	}
	clean := filepath.Clean(path)
	fd, err := unix.Open(clean, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == nil {
		return &root{path: clean, dir: fd}, nil
	}
	isFile := errors.Is(err, unix.ENOTDIR) || create && errors.Is(err, unix.ENOENT) && !strings.HasSuffix(path, "/")
	if !isFile {
		return nil, capability.Errorf(capability.Invalid, "open %s: %w; create it first, or correct the grant", clean, err)
	}
	real, err := filepath.EvalSymlinks(clean)
	if create && errors.Is(err, unix.ENOENT) {
		real, err = clean, nil
	}
	if err == nil {
		fd, err = unix.Open(filepath.Dir(real), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return nil, capability.Errorf(capability.Invalid, "open the directory of %s: %w; create it first, or correct the grant", clean, err)
	}
	return &root{path: clean, base: filepath.Base(real), dir: fd}, nil
}

func (r *root) close() { _ = unix.Close(r.dir) }

// Bounds of the paths we take; the kernel's are the same or smaller.
const (
	maxPath  = 4096
	maxLinks = 40
)

// resolveFlags: nothing outside the root, nothing that /proc points to.
const resolveFlags = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS

// errEscapes is what every way out of a root is reported as. The kernel says EXDEV.
var errEscapes error = unix.EXDEV

// open opens rel, which is relative, beneath the root. flags get O_CLOEXEC. For the
// directory itself rel is ".".
func (r *root) open(rel string, flags int, mode uint32) (int, error) {
	flags |= unix.O_CLOEXEC
	if r.base != "" {
		flags |= unix.O_NOFOLLOW // this file is granted, and not what it may become a link to
	}
	if !r.walk && !noOpenat2.Load() {
		fd, err := openat2(r.dir, rel, flags, mode)
		// EPERM is what seccomp filters that do not know openat2 answer; the
		// walk then gets the file's own EPERM, if it was that.
		if !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EPERM) {
			return fd, err
		}
		if errors.Is(err, unix.ENOSYS) {
			noOpenat2.Store(true)
		}
	}
	return walkOpen(r.dir, rel, flags, mode)
}

// openat2 repeats when something was renamed meanwhile and the kernel could not be
// sure (EAGAIN); if that goes on, the answer is no.
func openat2(dir int, rel string, flags int, mode uint32) (fd int, err error) {
	how := unix.OpenHow{Flags: uint64(flags), Resolve: resolveFlags}
	if flags&unix.O_CREAT != 0 {
		how.Mode = uint64(mode)
	}
	for range 64 {
		fd, err = unix.Openat2(dir, rel, &how)
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
	return fd, err
}

// parent opens the directory that holds rel and returns the last name of rel. It
// does not clean the path: with links, "a/../b" may not be "b".
func (r *root) parent(rel string) (dir int, base string, err error) {
	up, base := ".", rel
	if i := strings.LastIndexByte(rel, '/'); i >= 0 {
		up, base = rel[:i], rel[i+1:]
	}
	if base == "." || base == ".." {
		return -1, "", unix.EISDIR
	}
	dir, err = r.open(up, unix.O_PATH|unix.O_DIRECTORY, 0)
	return dir, base, err
}
