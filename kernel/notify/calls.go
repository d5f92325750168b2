package notify

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/seccomp"
)

// operation is a system call: it reads what it needs from its caller, judges and does it.
type operation struct {
	name string
	do   func(e *errand, args [6]uint64) (result, error)
}

// changes is an operation that gives no descriptor.
func changes(do func(e *errand, args [6]uint64) error) func(*errand, [6]uint64) (result, error) {
	return func(e *errand, args [6]uint64) (result, error) { return nothing, do(e, args) }
}

// operations are the calls that the program of [seccomp.CompileNotify] leaves to us.
var operations = []operation{
	{"open", func(e *errand, a [6]uint64) (result, error) {
		return e.openAt(unix.AT_FDCWD, a[0], olderHow(a[1], a[2]))
	}},
	{"creat", func(e *errand, a [6]uint64) (result, error) {
		return e.openAt(unix.AT_FDCWD, a[0], olderHow(unix.O_CREAT|unix.O_WRONLY|unix.O_TRUNC, a[1]))
	}},
	{"openat", func(e *errand, a [6]uint64) (result, error) {
		return e.openAt(int32(a[0]), a[1], olderHow(a[2], a[3]))
	}},
	{"openat2", func(e *errand, a [6]uint64) (result, error) {
		how, err := e.readHow(a[2], a[3])
		if err != nil {
			return nothing, err
		}
		return e.openAt(int32(a[0]), a[1], how)
	}},
	{"truncate", changes(func(e *errand, a [6]uint64) error { return e.truncate(a[0], int64(a[1])) })},
	{"mkdir", changes(func(e *errand, a [6]uint64) error { return e.makeDirectory(unix.AT_FDCWD, a[0], a[1]) })},
	{"mkdirat", changes(func(e *errand, a [6]uint64) error { return e.makeDirectory(int32(a[0]), a[1], a[2]) })},
	{"rmdir", changes(func(e *errand, a [6]uint64) error { return e.remove(unix.AT_FDCWD, a[0], unix.AT_REMOVEDIR) })},
	{"unlink", changes(func(e *errand, a [6]uint64) error { return e.remove(unix.AT_FDCWD, a[0], 0) })},
	{"unlinkat", changes(func(e *errand, a [6]uint64) error { return e.remove(int32(a[0]), a[1], uint32(a[2])) })},
	{"rename", changes(func(e *errand, a [6]uint64) error { return e.rename(unix.AT_FDCWD, a[0], unix.AT_FDCWD, a[1], 0) })},
	{"renameat", changes(func(e *errand, a [6]uint64) error { return e.rename(int32(a[0]), a[1], int32(a[2]), a[3], 0) })},
	{"renameat2", changes(func(e *errand, a [6]uint64) error {
		return e.rename(int32(a[0]), a[1], int32(a[2]), a[3], uint32(a[4]))
	})},
}

func operationsOf(a seccomp.Arch) map[int32]operation {
	of := make(map[int32]operation, len(operations))
	for _, op := range operations {
		if n, ok := a.Number(op.name); ok {
			of[int32(n)] = op
		}
	}
	return of
}

// temporaryFile is O_TMPFILE's own bit.
const (
	modeBits      = 0o777
	temporaryFile = unix.O_TMPFILE &^ unix.O_DIRECTORY
)

// knownFlags are those that the kernel knows.
const knownFlags = unix.O_ACCMODE | unix.O_CREAT | unix.O_EXCL | unix.O_NOCTTY | unix.O_TRUNC | unix.O_APPEND | unix.O_NONBLOCK |
	unix.O_SYNC | unix.O_DSYNC | unix.O_ASYNC | unix.O_DIRECT | largeFile | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_NOATIME |
	unix.O_CLOEXEC | unix.O_PATH | temporaryFile

// olderHow is what open and openat mean: they ignore what they do not know.
func olderHow(flags, mode uint64) unix.OpenHow {
	how := unix.OpenHow{Flags: uint64(uint32(flags)) & knownFlags}
	if how.Flags&(unix.O_CREAT|temporaryFile) != 0 {
		how.Mode = uint64(uint32(mode)) & 0o7777
	}
	return how
}

// Sizes of struct open_how: the first published, and the page that the kernel allows.
const (
	howSize    = 24
	maxHowSize = 4096
)

func (e *errand) readHow(at, size uint64) (unix.OpenHow, error) {
	switch {
	case size < howSize:
		return unix.OpenHow{}, unix.EINVAL
	case size > maxHowSize:
		return unix.OpenHow{}, unix.E2BIG
	}
	b := make([]byte, size)
	n, err := e.from.read(at, b)
	if err != nil {
		return unix.OpenHow{}, err
	}
	if n < len(b) {
		return unix.OpenHow{}, unix.EFAULT
	}
	return parseHow(b)
}

// parseHow takes struct open_how, of which a longer one must have zeros behind.
func parseHow(b []byte) (unix.OpenHow, error) {
	if len(b) < howSize {
		return unix.OpenHow{}, unix.EINVAL
	}
	for _, more := range b[howSize:] {
		if more != 0 {
			return unix.OpenHow{}, unix.E2BIG
		}
	}
	word := binary.NativeEndian.Uint64
	return unix.OpenHow{Flags: word(b), Mode: word(b[8:]), Resolve: word(b[16:])}, nil
}
