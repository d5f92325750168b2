package notify

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Requests of linux/seccomp.h that x/sys lacks.
const (
	ioctlValid    = 0x40082102 // SECCOMP_IOCTL_NOTIF_ID_VALID
	ioctlAddFD    = 0x40182103 // SECCOMP_IOCTL_NOTIF_ADDFD
	ioctlSetFlags = 0x40082104 // SECCOMP_IOCTL_NOTIF_SET_FLAGS
)

// notification, response and addition are struct seccomp_notif, seccomp_notif_resp and
// seccomp_notif_addfd.
type (
	notification struct {
		id         uint64
		pid, flags uint32 // pid of the thread, in our namespace; 0: it is not in it
		number     int32
		arch       uint32
		pointer    uint64
		args       [6]uint64
	}
	response struct {
		id    uint64
		value int64
		errno int32
		flags uint32
	}
	addition struct {
		id                     uint64
		flags, from, to, toFor uint32
	}
)

// checkSizes asks whether the kernel means the same structures.
func checkSizes() error {
	var sizes struct{ notification, response, data uint16 }
	_, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_NOTIF_SIZES, 0, uintptr(unsafe.Pointer(&sizes)))
	if e != 0 {
		return fmt.Errorf("ask for the notifications' sizes: %w", e)
	}
	if uintptr(sizes.notification) != unsafe.Sizeof(notification{}) || uintptr(sizes.response) != unsafe.Sizeof(response{}) {
		return fmt.Errorf("its notifications have %d bytes and its answers %d", sizes.notification, sizes.response)
	}
	return nil
}

// listenerName is what the kernel says of a listener. Names of files start with a slash,
// so nobody can make one of this name.
const listenerName = "anon_inode:seccomp notify"

// adopt takes a descriptor from who may be anybody, and closes it. What it returns waits in
// the runtime's poller. Before it is known to be a listener, it is only looked at: a
// request to another driver might never return.
func (s *Supervisor) adopt(from *os.File) (*os.File, error) {
	defer func() { _ = from.Close() }()
	fd := -1
	raw, err := from.SyscallConn()
	if err == nil {
		var failed error
		err = raw.Control(func(given uintptr) {
			fd, failed = unix.FcntlInt(given, unix.F_DUPFD_CLOEXEC, 3)
		})
		err = errors.Join(err, failed)
	}
	if err != nil {
		return nil, fmt.Errorf("notify: take a listener: %w", err)
	}
	if err := s.check(fd); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), listenerName), nil
}

func (s *Supervisor) check(fd int) error {
	name, err := s.nameOf(fd)
	if err != nil {
		return fmt.Errorf("notify: look at a listener: %w", err)
	}
	if name != listenerName {
		return fmt.Errorf("%w but %.80q", ErrNoListener, name)
	}
	// No notification has this number: new ones start at a random one of 64 bits.
	if err := listener(fd).inject(0, fd, true); !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("%w (Linux 5.9 is needed): %w", ErrUnsupported, err)
	}
	// Callers then run on where the answer was given, which saves a wake-up of another
	// processor (Linux 6.6).
	_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(fd), ioctlSetFlags, unix.SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP)
	if err := unix.SetNonblock(fd, true); err != nil { // for os.NewFile, which asks
		return fmt.Errorf("notify: %w", err)
	}
	return nil
}

// listener is the descriptor of one, which the caller keeps open.
type listener uintptr

func (l listener) request(what uintptr, arg unsafe.Pointer) error {
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(l), what, uintptr(arg))
	runtime.KeepAlive(arg)
	if e != 0 {
		return e
	}
	return nil
}

// ready says whether there is a notification, and whether there will be none again.
func (l listener) ready() (ready, gone bool) {
	fds := []unix.PollFd{{Fd: int32(l), Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(fds, 0)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EINTR) {
			return false, true
		}
	}
	got := fds[0].Revents
	return got&unix.POLLIN != 0, got&(unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0
}

// receive fails with ENOENT when the caller has gone meanwhile.
func (l listener) receive() (notification, error) {
	var n notification // the kernel wants it zeroed
	err := l.request(unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n))
	return n, err
}

// valid says whether the caller still waits: then what was learned by its number before
// is about itself, and not about a thread that got the number later.
func (l listener) valid(id uint64) bool { return l.request(ioctlValid, unsafe.Pointer(&id)) == nil }

// Answers to a caller that has gone are lost, as they should be.

func (l listener) send(r response) {
	_ = l.request(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r))
}

func (l listener) succeed(id uint64)                { l.send(response{id: id}) }
func (l listener) refuse(id uint64, why unix.Errno) { l.send(response{id: id, errno: -int32(why)}) }
func (l listener) goOn(id uint64) {
	l.send(response{id: id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE})
}

// inject puts a copy of fd into the caller's table and answers with its number. It fails
// without an answer.
//
// The kernel could do both at once (SECCOMP_ADDFD_FLAG_SEND), at half the switches. But when
// that is interrupted in us, by a signal as the Go runtime's own or by a freezer, the caller
// is answered and has no descriptor: its open succeeds with 0. So it is done in two steps. A
// caller that a signal takes away between them, which before Linux 5.19 need not be a
// fatal one, keeps a descriptor that it does not know of.
func (l listener) inject(id uint64, fd int, closeOnExec bool) error {
	a := addition{id: id, from: uint32(fd)}
	if closeOnExec {
		a.toFor = unix.O_CLOEXEC
	}
	for {
		r, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(l), ioctlAddFD, uintptr(unsafe.Pointer(&a)))
		switch {
		case e == unix.EINTR:
			continue
		case e != 0:
			return e
		}
		l.send(response{id: id, value: int64(r)})
		return nil
	}
}
