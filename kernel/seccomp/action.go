package seccomp

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Action is what happens to a call: SECCOMP_RET_* and, for an error, its number.
type Action uint32

// The actions that programs of this package have.
const (
	Allow       = Action(unix.SECCOMP_RET_ALLOW)
	KillProcess = Action(unix.SECCOMP_RET_KILL_PROCESS)
	// Notify leaves the call to the supervisor; without one it fails with ENOSYS.
	Notify = Action(unix.SECCOMP_RET_USER_NOTIF)
	// Refused is for what a program may well try, and must do without.
	Refused = Action(unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM))
	// Missing is for what must look as if the kernel were older.
	Missing = Action(unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS))
)

// Errno returns the error of a, 0 where it gives none.
func (a Action) Errno() unix.Errno {
	if uint32(a)&unix.SECCOMP_RET_ACTION_FULL != unix.SECCOMP_RET_ERRNO {
		return 0
	}
	return unix.Errno(uint32(a) & unix.SECCOMP_RET_DATA)
}

func (a Action) String() string {
	switch {
	case a == Allow:
		return "allow"
	case a == KillProcess:
		return "kill"
	case a == Notify:
		return "notify"
	case a.Errno() != 0:
		return strings.ToLower(unix.ErrnoName(a.Errno()))
	default:
		return fmt.Sprintf("action %#x", uint32(a))
	}
}
