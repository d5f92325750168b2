package files

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"
)

// walker resolves a path one component at a time. dirs are the directories from
// the root to here, so that ".." goes back to where we came from and not to where
// a rename has put it.
type walker struct {
	dirs  []int // dirs[0] is the root's and not ours
	links int
}

func (w *walker) top() int { return w.dirs[len(w.dirs)-1] }

func (w *walker) pop() {
	_ = unix.Close(w.top())
	w.dirs = w.dirs[:len(w.dirs)-1]
}

func (w *walker) close() {
	for len(w.dirs) > 1 {
		w.pop()
	}
}

// maxDepth bounds the descriptors one walk holds.
const maxDepth = 256

// walkOpen is openat2 with our resolve flags, in user space.
func walkOpen(dir int, path string, flags int, mode uint32) (int, error) {
	w := &walker{dirs: []int{dir}}
	defer w.close()
	parts, err := split(path)
	for err == nil && len(parts) > 0 {
		name, rest := parts[0], parts[1:]
		switch {
		case name == ".." && len(w.dirs) == 1:
			return -1, errEscapes
		case name == "..":
			w.pop()
			parts = rest
		case len(rest) == 0:
			var fd int
			if fd, parts, err = w.last(name, flags, mode); fd >= 0 {
				return fd, nil
			}
		default:
			parts, err = w.enter(name, rest)
		}
	}
	if err != nil {
		return -1, err
	}
	return unix.Openat(w.top(), ".", flags&^(unix.O_CREAT|unix.O_EXCL), 0) // it ended in ".."
}

// last opens the last component; if it is a link, fd is negative and parts are what
// is left to go.
func (w *walker) last(name string, flags int, mode uint32) (fd int, parts []string, err error) {
	fd, err = unix.Openat(w.top(), name, flags|unix.O_NOFOLLOW, mode)
	switch {
	case flags&unix.O_NOFOLLOW != 0, err != nil && !mayBeLink(err):
		return fd, nil, err
	case err == nil && (flags&unix.O_PATH == 0 || !isLink(fd)):
		return fd, nil, nil
	case err == nil:
		_ = unix.Close(fd)
	}
	parts, err = w.follow(name, err)
	return -1, parts, err
}

// mayBeLink: what opening a link with O_NOFOLLOW, or with O_DIRECTORY too, says.
func mayBeLink(err error) bool { return errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) }

func isLink(fd int) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK
}

// enter goes down into name, or returns what a link says in front of rest.
func (w *walker) enter(name string, rest []string) ([]string, error) {
	if len(w.dirs) >= maxDepth {
		return nil, unix.ENAMETOOLONG
	}
	fd, err := unix.Openat(w.top(), name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == nil {
		w.dirs = append(w.dirs, fd)
		return rest, nil
	}
	if !mayBeLink(err) {
		return nil, err
	}
	target, err := w.follow(name, err)
	return append(target, rest...), err
}

// follow returns a link's components; notLink is the error if it is none.
func (w *walker) follow(name string, notLink error) ([]string, error) {
	buf := make([]byte, maxPath)
	n, err := unix.Readlinkat(w.top(), name, buf)
	switch {
	case errors.Is(err, unix.EINVAL) && notLink != nil:
		return nil, notLink
	case err != nil:
		return nil, err
	case n == len(buf):
		return nil, unix.ENAMETOOLONG
	}
	if w.links++; w.links > maxLinks {
		return nil, unix.ELOOP
	}
	target := string(buf[:n])
	if strings.HasPrefix(target, "/") {
		return nil, errEscapes
	}
	return split(target)
}

// split drops empty components and "."; what is left empty is the directory.
func split(path string) ([]string, error) {
	if path == "" {
		return nil, unix.ENOENT
	}
	var parts []string
	for part := range strings.SplitSeq(path, "/") {
		if part != "" && part != "." {
			parts = append(parts, part)
		}
	}
	return parts, nil
}
