package notify

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

func (e *errand) makeDirectory(dir int32, at, mode uint64) error {
	n, err := e.nameAt(dir, at)
	if errors.Is(err, unix.EINVAL) {
		return unix.EEXIST // dots, and the root
	}
	if err != nil {
		return err
	}
	defer n.close()
	if err := e.permit(n.path, policy.Write); err != nil {
		return err
	}
	o, err := e.from.owner()
	if err != nil {
		return err
	}
	if err := e.still(); err != nil {
		return err
	}
	defer e.w.supervisor.naming.hold(n.dir)()
	if err := unix.Mkdirat(n.dir.fd, n.last, 0o700); err != nil {
		return err
	}
	return o.takeDirectory(n, uint32(mode)&modeBits)
}

// takeDirectory gives a directory that was just made to its owner. The one above it is held, so
// that nobody that is watched puts another there; a link can come in its place, and is not
// followed: with the slash that the caller may have written it would be, in spite of O_NOFOLLOW.
func (o owner) takeDirectory(n name, mode uint32) error {
	fd, err := unix.Openat(n.dir.fd, strings.TrimSuffix(n.last, "/"), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if int(st.Uid) != unix.Geteuid() {
		return unix.EACCES
	}
	return o.take(fd, mode)
}

func (e *errand) remove(dir int32, at uint64, flags uint32) error {
	if flags&^unix.AT_REMOVEDIR != 0 {
		return unix.EINVAL
	}
	n, err := e.nameAt(dir, at)
	if err != nil {
		return err
	}
	defer n.close()
	if _, err := e.permitAway(n.path); err != nil {
		return err
	}
	if err := e.still(); err != nil {
		return err
	}
	return unix.Unlinkat(n.dir.fd, n.last, int(flags))
}

func (e *errand) rename(fromDir int32, fromAt uint64, toDir int32, toAt uint64, flags uint32) error {
	if flags&^(unix.RENAME_NOREPLACE|unix.RENAME_EXCHANGE) != 0 {
		return unix.EINVAL
	}
	from, err := e.nameAt(fromDir, fromAt)
	if err != nil {
		return err
	}
	defer from.close()
	to, err := e.nameAt(toDir, toAt)
	if err != nil {
		return err
	}
	defer to.close()
	// From where it is looked at whether they are directories, nobody that is watched puts others there.
	defer e.w.supervisor.naming.hold(from.dir, to.dir)()
	if err := e.permitMove(from, to, flags&unix.RENAME_EXCHANGE != 0); err != nil {
		return err
	}
	if err := e.still(); err != nil {
		return err
	}
	return unix.Renameat2(from.dir.fd, from.last, to.dir.fd, to.last, uint(flags))
}

// permitAway refuses, beyond what may not be written, to take away or replace what rules were
// looked up by: what came in its place would count when the same policy is compiled again. It
// returns what may be done there.
func (e *errand) permitAway(path string) (given policy.Access, err error) {
	given = e.rules.judge(path, &e.steps)
	if given&policy.Write == 0 || e.rules.fixes(path) {
		return 0, e.deny(path, policy.Write)
	}
	return given, nil
}

// permitMove refuses, beyond what may not be taken away at either path, to move something to
// where more may be done with it.
func (e *errand) permitMove(from, to name, exchange bool) error {
	had, err := e.permitAway(from.path)
	if err != nil {
		return err
	}
	given, err := e.permitAway(to.path)
	switch {
	case err != nil:
		return err
	case given&^had != 0:
		return e.deny(to.path, given&^had)
	case exchange && had&^given != 0:
		return e.deny(from.path, had&^given)
	case !e.rules.moves(from.path) && !e.rules.moves(to.path):
		return nil
	}
	err = e.permitWithin(from, to)
	if err == nil && exchange {
		err = e.permitWithin(to, from)
	}
	return err
}

// permitWithin refuses to move a directory: what is in it goes with it, and patterns are about
// that, or would be.
func (e *errand) permitWithin(from, to name) error {
	var st unix.Stat_t
	if err := unix.Fstatat(from.dir.fd, strings.TrimSuffix(from.last, "/"), &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return e.deny(to.path, policy.Write)
	}
	return nil
}
