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
	if err := unix.Mkdirat(n.dir.fd, n.last, 0o700); err != nil {
		return err
	}
	return o.takeDirectory(n, uint32(mode)&modeBits)
}

// takeDirectory gives a directory that was just made to its owner. It has been a name for a
// moment: who may write here could have put another of the node's directories there, in
// which it may write, too.
func (o owner) takeDirectory(n name, mode uint32) error {
	fd, err := unix.Openat(n.dir.fd, n.last, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
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
	if err := e.permitAway(n.path); err != nil {
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
	if err := e.permitMove(from, to); err != nil {
		return err
	}
	if flags&unix.RENAME_EXCHANGE != 0 {
		if err := e.permitMove(to, from); err != nil {
			return err
		}
	}
	if err := e.still(); err != nil {
		return err
	}
	return unix.Renameat2(from.dir.fd, from.last, to.dir.fd, to.last, uint(flags))
}

// permitAway refuses, beyond what may not be written, to take away or replace what rules were
// looked up by: what came in its place would count when the same policy is compiled again.
func (e *errand) permitAway(path string) error {
	if err := e.permit(path, policy.Write); err != nil {
		return err
	}
	if e.rules.fixes(path) {
		return e.deny(path, policy.Write)
	}
	return nil
}

// permitMove refuses, beyond what may not be taken away at either path, to move something to
// where more may be done with it. What is in a directory goes with it, so where patterns are
// about it, or would be, directories stay.
func (e *errand) permitMove(from, to name) error {
	for _, path := range []string{from.path, to.path} {
		if err := e.permitAway(path); err != nil {
			return err
		}
	}
	had, _ := e.rules.judge(from.path)
	if given, _ := e.rules.judge(to.path); given&^had != 0 {
		return e.deny(to.path, given&^had)
	}
	if !e.rules.moves(from.path) && !e.rules.moves(to.path) {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Fstatat(from.dir.fd, strings.TrimSuffix(from.last, "/"), &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return e.deny(to.path, policy.Write)
	}
	return nil
}
