package notify

import (
	"errors"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

// wish is an open that is checked and can be judged.
type wish struct {
	path                                     string
	flags                                    int    // for the file: access, O_TRUNC and what it has for as long as it is open
	find                                     uint64 // for finding it
	resolve                                  uint64
	mode                                     uint32
	want                                     policy.Access
	create, exclusive, nonblock, closeOnExec bool
}

// passed are flags that go on as they are. O_NOATIME and O_ASYNC are dropped: the first is
// for a file's owner, which the node may be, and the second does nothing.
const passed = unix.O_ACCMODE | unix.O_TRUNC | unix.O_APPEND | unix.O_SYNC | unix.O_DSYNC | unix.O_DIRECT

const resolveCached = 0x20 // RESOLVE_CACHED, which x/sys lacks

const resolvable = unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_BENEATH | unix.RESOLVE_IN_ROOT

// wishOf checks how a caller wants to open.
func wishOf(path string, how unix.OpenHow) (wish, error) {
	switch {
	case path == "":
		return wish{}, unix.ENOENT
	case how.Flags&^knownFlags != 0, how.Flags&unix.O_ACCMODE == unix.O_ACCMODE:
		return wish{}, unix.EINVAL
	case how.Mode&^0o7777 != 0, how.Mode != 0 && how.Flags&(unix.O_CREAT|temporaryFile) == 0:
		return wish{}, unix.EINVAL
	case how.Flags&(temporaryFile|unix.O_PATH) != 0: // the kernel injects no O_PATH descriptors
		return wish{}, unix.EOPNOTSUPP
	case how.Resolve&resolveCached != 0:
		return wish{}, unix.EAGAIN
	case how.Resolve&^resolvable != 0:
		return wish{}, unix.EINVAL
	}
	f := how.Flags
	w := wish{path: path, resolve: how.Resolve, find: f & (unix.O_DIRECTORY | unix.O_NOFOLLOW), mode: uint32(how.Mode) & modeBits,
		flags: int(f & passed), want: wanted(int(f)), create: f&unix.O_CREAT != 0, nonblock: f&unix.O_NONBLOCK != 0,
		closeOnExec: f&unix.O_CLOEXEC != 0}
	w.exclusive = w.create && f&unix.O_EXCL != 0
	if w.create && (f&unix.O_DIRECTORY != 0) {
		return wish{}, unix.EINVAL
	}
	return w, nil
}

// wanted is what flags need of a file. O_TRUNC changes it, whatever it is opened for.
func wanted(flags int) policy.Access {
	var want policy.Access
	if flags&unix.O_ACCMODE != unix.O_WRONLY {
		want |= policy.Read
	}
	if flags&unix.O_ACCMODE != unix.O_RDONLY || flags&unix.O_TRUNC != 0 {
		want |= policy.Write
	}
	return want
}

// continues says whether the kernel may go on with the open: one that reads below a
// directory that another layer judges. It is no judgement, see the package's documentation.
func (w wish) continues(dirs []string) bool {
	if w.want != policy.Read || w.create || !strings.HasPrefix(w.path, "/") || strings.Contains(w.path+"/", "/../") {
		return false
	}
	for _, dir := range dirs {
		if within(w.path, dir) {
			return true
		}
	}
	return false
}

func (e *errand) openAt(dir int32, at uint64, how unix.OpenHow) (result, error) {
	path, err := e.from.text(at)
	if err != nil {
		return nothing, err
	}
	w, err := wishOf(path, how)
	if err != nil {
		return nothing, err
	}
	if w.continues(e.w.target.Continue) {
		return nothing, errContinue
	}
	fd, err := e.open(dir, w)
	return result{fd: fd, closeOnExec: w.closeOnExec}, err
}

// attempts at a name that others make and remove meanwhile.
const attempts = 3

func (e *errand) open(dir int32, w wish) (int, error) {
	for range attempts {
		if !w.exclusive {
			fd, err := e.openThere(dir, w)
			if !errors.Is(err, unix.ENOENT) || !w.create {
				return fd, err
			}
		}
		fd, err := e.create(dir, w)
		if !errors.Is(err, unix.EEXIST) || w.exclusive {
			return fd, err
		}
	}
	return -1, unix.EACCES // also a link that leads nowhere: nothing is made through it
}

// openThere opens what is there.
func (e *errand) openThere(dir int32, w wish) (int, error) {
	base, done, err := e.base(dir, w.path, w.resolve)
	if err != nil {
		return -1, err
	}
	defer done()
	p, err := e.find(base, w.path, unix.OpenHow{Flags: w.find, Resolve: w.resolve})
	if err != nil {
		return -1, err
	}
	defer p.close()
	return e.openFound(p, w)
}

// openFound judges and opens the object that is held.
func (e *errand) openFound(p place, w wish) (int, error) {
	switch {
	case p.kind() == unix.S_IFLNK:
		return -1, unix.ELOOP
	case p.kind() == unix.S_IFDIR && (w.create || w.want&policy.Write != 0):
		return -1, unix.EISDIR
	}
	if err := e.permit(p.path, w.want); err != nil {
		return -1, err
	}
	if err := e.ordinary(p, w.want); err != nil {
		return -1, err
	}
	if err := e.still(); err != nil {
		return -1, err
	}
	return e.reopen(p, w)
}

// ordinary refuses what does something when it is opened, or is about a process, unless a
// rule is for just that.
func (e *errand) ordinary(p place, want policy.Access) error {
	if e.rules.names(p.path) {
		return nil
	}
	switch p.kind() {
	case unix.S_IFREG, unix.S_IFDIR:
	default:
		return e.deny(p.path, want)
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(p.fd, &fs); err != nil {
		return err
	}
	if fs.Type == unix.PROC_SUPER_MAGIC {
		return e.deny(p.path, want)
	}
	return nil
}

// reopen opens by descriptor what is held: its name may be another's by now. Nobody is
// waited for, neither a pipe's other end nor who has a lease.
func (e *errand) reopen(p place, w wish) (int, error) {
	const always = unix.O_CLOEXEC | unix.O_NOCTTY | unix.O_NONBLOCK
	fd, err := unix.Openat(e.w.supervisor.self, strconv.Itoa(p.fd), w.flags|always, 0)
	if err != nil {
		return -1, err
	}
	return w.block(fd)
}

// block takes O_NONBLOCK off again, where it was not asked for.
func (w wish) block(fd int) (int, error) {
	if w.nonblock {
		return fd, nil
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFL, w.flags&(unix.O_APPEND|unix.O_DIRECT)); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// create makes a file and fails with EEXIST where there is something, be it a link.
func (e *errand) create(dir int32, w wish) (int, error) {
	if strings.HasSuffix(w.path, "/") {
		return -1, unix.EISDIR
	}
	n, err := e.name(dir, w.path, w.resolve)
	if errors.Is(err, unix.EINVAL) {
		err = unix.EISDIR // dots, and the root
	}
	if err != nil {
		return -1, err
	}
	defer n.close()
	if err := e.permit(n.path, w.want|policy.Write); err != nil {
		return -1, err
	}
	o, err := e.from.owner()
	if err != nil {
		return -1, err
	}
	if err := e.still(); err != nil {
		return -1, err
	}
	const always = unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_NOCTTY
	fd, err := unix.Openat(n.dir.fd, n.last, w.flags&^unix.O_TRUNC|always, 0o600)
	if err != nil {
		return -1, err
	}
	if err := o.take(fd, w.mode); err != nil {
		_ = unix.Close(fd)
		_ = unix.Unlinkat(n.dir.fd, n.last, 0) // or of who made another there, which it may
		return -1, err
	}
	if w.nonblock {
		if err := unix.SetNonblock(fd, true); err != nil {
			_ = unix.Close(fd)
			return -1, err
		}
	}
	return fd, nil
}

// take gives a file that was just made to its owner.
func (o owner) take(fd int, mode uint32) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if int(st.Uid) != o.user || int(st.Gid) != o.group {
		if err := unix.Fchown(fd, o.user, o.group); err != nil {
			return err
		}
	}
	return unix.Fchmod(fd, mode&^o.umask)
}

func (e *errand) truncate(at uint64, size int64) error {
	if size < 0 {
		return unix.EINVAL
	}
	path, err := e.from.text(at)
	if err != nil {
		return err
	}
	w, err := wishOf(path, unix.OpenHow{Flags: unix.O_WRONLY})
	if err != nil {
		return err
	}
	fd, err := e.openThere(unix.AT_FDCWD, w)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	if !e.from.mayGrow(size) {
		return unix.EFBIG
	}
	if err := e.still(); err != nil {
		return err
	}
	return unix.Ftruncate(fd, size)
}
