package notify

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

var (
	errDenied   = errors.New("denied by the rules")
	errContinue = errors.New("the kernel may go on")
)

// errand is one call being judged and done for its caller.
type errand struct {
	w        *Watched
	rules    *Rules // read once, so that no call is judged by half a policy
	from     target
	listener listener
	id       uint64
	call     string
	steps    policy.Steps // left for globs
}

// maxSteps is what the globs of one call may cost, some milliseconds of the node's: nobody is
// charged for it. A thousand of them take less, for paths of the usual length.
const maxSteps = 1 << 19

// result is a descriptor for the caller, -1 where the call gives none.
type result struct {
	fd          int
	closeOnExec bool
}

var nothing = result{fd: -1}

func (e *errand) run(n *notification) (result, error) {
	s := e.w.supervisor
	op, known := s.calls[n.number]
	if !known || n.arch != s.arch || n.pid == 0 {
		return nothing, unix.EACCES
	}
	e.call = op.name
	if e.w.sameRoot != e.from.tid {
		if !e.from.hasRoot(s.root) {
			return nothing, unix.EACCES
		}
		e.w.sameRoot = e.from.tid
	}
	return op.do(e, n.args)
}

// permit judges one path.
func (e *errand) permit(path string, want policy.Access) error {
	if want&^e.rules.judge(path, &e.steps) != 0 {
		return e.deny(path, want)
	}
	return nil
}

func (e *errand) deny(path string, want policy.Access) error {
	e.w.counts.denied.Add(1)
	tell := e.w.supervisor.options.Denied
	switch {
	case tell == nil:
	case e.w.telling.take(time.Now()):
		tell(Denial{ID: e.w.target.ID, Call: e.call, Path: printable(path), Want: want, Spent: e.steps.Spent()})
	default:
		e.w.counts.lost.Add(1)
	}
	return errDenied
}

// still fails when the caller has gone. It comes after the last that was learned from the
// caller and before the first that is done for it.
func (e *errand) still() error {
	if !e.listener.valid(e.id) {
		return unix.ENOENT
	}
	return nil
}

// numberOf is what the caller gets to see: what is the node's own trouble is EACCES.
func numberOf(err error) unix.Errno {
	number := unix.EACCES
	if errors.As(err, &number) {
		switch number {
		case unix.EPERM, unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.EINTR, unix.ESRCH:
			return unix.EACCES
		}
	}
	return number
}

// place is an object that is held, where it was when it was looked at.
type place struct {
	fd   int // O_PATH
	path string
	st   unix.Stat_t
}

func (p place) close() { _ = unix.Close(p.fd) }

func (p place) kind() uint32 { return p.st.Mode & unix.S_IFMT }

// find looks path up from base, as the node may, and holds what is there.
func (e *errand) find(base int, path string, how unix.OpenHow) (place, error) {
	how.Flags |= unix.O_PATH | unix.O_CLOEXEC
	how.Resolve |= unix.RESOLVE_NO_MAGICLINKS
	fd, err := unix.Openat2(base, path, &how)
	if err != nil {
		return place{}, err
	}
	p := place{fd: fd}
	if p.path, err = e.w.supervisor.pathOf(fd); err == nil {
		err = unix.Fstat(fd, &p.st)
	}
	if err != nil {
		p.close()
		return place{}, err
	}
	return p, nil
}

// deleted is what the kernel appends to the path of what has none any more.
const deleted = " (deleted)"

// pathOf returns where the object of a descriptor is now.
func (s *Supervisor) pathOf(fd int) (string, error) {
	path, err := s.nameOf(fd)
	if err == nil && strings.HasSuffix(path, deleted) {
		return "", unix.ENOENT
	}
	return path, err
}

// nameOf returns what the kernel calls the object of a descriptor.
func (s *Supervisor) nameOf(fd int) (string, error) {
	buffer := buffers.Get().(*[maxPath]byte)
	defer buffers.Put(buffer)
	n, err := unix.Readlinkat(s.self, strconv.Itoa(fd), buffer[:])
	switch {
	case err != nil:
		return "", err
	case n == len(buffer):
		return "", unix.ENAMETOOLONG
	}
	return string(buffer[:n]), nil
}

// base is where a path of the caller starts from: the root for an absolute one, and there
// is nothing to close.
func (e *errand) base(dir int32, path string, resolve uint64) (fd int, done func(), err error) {
	if strings.HasPrefix(path, "/") && resolve&(unix.RESOLVE_IN_ROOT|unix.RESOLVE_BENEATH) == 0 {
		return e.w.supervisor.rootDir, func() {}, nil
	}
	if fd, err = e.from.directory(e.w.supervisor, dir); err != nil {
		return -1, nil, err
	}
	return fd, func() { _ = unix.Close(fd) }, nil
}

// name is one in a directory that is held, perhaps of nothing yet.
type name struct {
	dir  place
	last string // the name; with a slash behind it if the caller wrote one
	path string
}

func (n name) close() { n.dir.close() }

// find the directory of a path's last name, which is not followed.
func (e *errand) name(dir int32, path string, resolve uint64) (name, error) {
	above, last, err := split(path)
	if err != nil {
		return name{}, err
	}
	base, done, err := e.base(dir, path, resolve)
	if err != nil {
		return name{}, err
	}
	defer done()
	p, err := e.find(base, above, unix.OpenHow{Flags: unix.O_DIRECTORY, Resolve: resolve})
	if err != nil {
		return name{}, err
	}
	return name{dir: p, last: last, path: strings.TrimSuffix(p.path, "/") + "/" + strings.TrimSuffix(last, "/")}, nil
}

// nameAt is name of a path in the caller's memory.
func (e *errand) nameAt(dir int32, at uint64) (name, error) {
	path, err := e.from.text(at)
	if err != nil {
		return name{}, err
	}
	return e.name(dir, path, 0)
}

// split takes a path's last name off. The root, dots and nothing are no names.
func split(path string) (above, last string, err error) {
	if path == "" {
		return "", "", unix.ENOENT
	}
	bare := strings.TrimRight(path, "/")
	above, last = bare[:strings.LastIndexByte(bare, '/')+1], bare[strings.LastIndexByte(bare, '/')+1:]
	switch {
	case last == "", last == ".", last == "..":
		return "", "", unix.EINVAL
	case above == "":
		above = "."
	}
	if bare != path {
		last += "/"
	}
	return above, last, nil
}
