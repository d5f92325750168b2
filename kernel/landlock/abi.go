package landlock

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// MaxABI is the newest version of the interface that this package makes use of.
const MaxABI = 7

// ErrUnsupported says that the kernel has no Landlock, or that it is switched off.
var ErrUnsupported = errors.New("landlock: not supported")

// ABI asks the kernel for its version of the interface.
func ABI() (int, error) {
	v, _, e := unix.RawSyscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if e != 0 {
		return 0, fmt.Errorf("%w: ask for the version: %w", ErrUnsupported, e)
	}
	return int(v), nil
}

// Rights that each version adds.
const (
	fsRead  = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	fsWrite = unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
		unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG |
		unix.LANDLOCK_ACCESS_FS_REFER | unix.LANDLOCK_ACCESS_FS_TRUNCATE
	fsExecute = unix.LANDLOCK_ACCESS_FS_EXECUTE
	// fsNever are handled and given to nobody: devices, pipes and sockets in the file
	// system, and symbolic links: one in the place of a rule's path would give the next
	// cell what it leads to.
	fsNever = unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK | unix.LANDLOCK_ACCESS_FS_MAKE_FIFO |
		unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_MAKE_SYM | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	// fsFile are the rights that a rule for something that is no directory may have.
	fsFile = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_EXECUTE |
		unix.LANDLOCK_ACCESS_FS_TRUNCATE
)

// handledFS are the rights that version abi can take away.
func handledFS(abi int) uint64 {
	rights := uint64(fsRead | fsWrite | fsExecute | fsNever)
	if abi < 2 {
		rights &^= unix.LANDLOCK_ACCESS_FS_REFER // always denied there
	}
	if abi < 3 {
		rights &^= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if abi < 5 {
		rights &^= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	return rights
}

// gaps are what version abi does not judge at all.
func gaps(abi int) []Gap {
	var list []Gap
	for _, g := range []struct {
		since int
		gap   Gap
	}{
		{3, Gap{GapTruncate, "files can be truncated by name; Landlock ABI 3 (Linux 6.2) judges that"}},
		{4, Gap{GapTCP, "TCP is not judged; ABI 4 (Linux 6.7) does that"}},
		{5, Gap{GapDevices, "requests to devices are not judged; ABI 5 (Linux 6.10) does that"}},
		{6, Gap{GapScope, "signals and abstract sockets reach outside; ABI 6 (Linux 6.12) judges them"}},
	} {
		if abi < g.since {
			list = append(list, g.gap)
		}
	}
	return append(list,
		Gap{GapMetadata, "reading and changing metadata (stat, chmod, chown, times) is never judged"},
		Gap{GapUDP, "UDP is not judged"})
}
