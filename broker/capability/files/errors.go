package files

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/broker/capability"
)

// explain turns a system call's error into the guest's. The path in it is the one
// the guest wrote, never where it leads.
func (p place) explain(err error) error {
	var errno unix.Errno
	if !errors.As(err, &errno) {
		return err
	}
	switch errno {
	case unix.EXDEV:
		return capability.Denyf(p.rule+": beneath", "%s leads out of the directory that is granted", p.path)
	case unix.ELOOP:
		return capability.Denyf(p.rule+": links", "%s leads through links that are not followed", p.path)
	case unix.ENXIO, unix.ENODEV:
		return p.notRegular()
	case unix.ENOENT:
		return capability.Errorf(capability.NotFound, "%s does not exist", p.path)
	case unix.EEXIST:
		return capability.Errorf(capability.Conflict, "%s exists already", p.path)
	case unix.EISDIR:
		return capability.Errorf(capability.Conflict, "%s is a directory", p.path)
	case unix.ENOTDIR:
		return capability.Errorf(capability.Conflict, "%s is not a directory, or something on the way is not", p.path)
	case unix.ENOTEMPTY:
		return capability.Errorf(capability.Conflict, "%s is not empty", p.path)
	case unix.ENAMETOOLONG:
		return capability.Errorf(capability.Invalid, "%s has too long a name, or is too deep", p.path)
	case unix.EAGAIN:
		return capability.Errorf(capability.Busy, "%s was renamed too often while it was looked up: try again", p.path)
	case unix.EACCES, unix.EPERM:
		return capability.Errorf(capability.Failed, "%s: the node's user may not do that", p.path)
	}
	return capability.Errorf(capability.Failed, "%s: %s", p.path, errno)
}
