package probe

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/internal/osthread"
)

func callRows() []Row {
	return []Row{
		row(PidfdThread, "open a descriptor of a thread that is not its process's first", osthread.Run(tryPidfd)),
		row(CloseRange, "close descriptors in a table of a thread's own", osthread.Run(tryCloseRange)),
		row(IOUring, "make a ring", tryRing()),
	}
}

func tryPidfd() error {
	fd, err := unix.PidfdOpen(unix.Gettid(), unix.PIDFD_THREAD)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

func tryCloseRange() error {
	const beyond = 1 << 20 // no descriptor is that high, so that none is lost
	return unix.CloseRange(beyond, ^uint(0), unix.CLOSE_RANGE_UNSHARE)
}

func tryRing() error {
	var params [120]byte // struct io_uring_params
	fd, _, e := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params)), 0)
	if e != 0 {
		return e
	}
	return unix.Close(int(fd))
}
