package landlock

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ruleNetPort is LANDLOCK_RULE_NET_PORT.
const ruleNetPort = 2

// attr is struct landlock_ruleset_attr up to ABI 7; older kernels want what they do not
// know to be zero, which it is.
type attr struct{ fs, net, scoped uint64 }

type portAttr struct{ access, port uint64 }

// A Ruleset is the kernel's object: a descriptor that any thread, in any process it is
// passed to, can restrict itself with.
type Ruleset struct{ file *os.File }

// Open makes the ruleset.
func (s Spec) Open() (*Ruleset, error) {
	a := attr{s.FS, s.Net, s.Scope}
	fd, _, e := unix.RawSyscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&a)), unsafe.Sizeof(a), 0)
	if e != 0 {
		return nil, fmt.Errorf("landlock: create a ruleset: %w", e)
	}
	r := &Ruleset{os.NewFile(fd, "landlock ruleset")}
	if err := r.fill(s); err != nil {
		_ = r.Close() // nothing has been written to it
		return nil, err
	}
	return r, nil
}

func (r *Ruleset) fill(s Spec) error {
	for _, p := range s.Paths {
		if err := r.addPath(p); err != nil {
			return fmt.Errorf("landlock: give access to %s: %w", p.Path, err)
		}
	}
	for _, p := range s.Ports {
		a := portAttr{p.Access, uint64(p.Port)}
		if err := r.add(ruleNetPort, unsafe.Pointer(&a)); err != nil {
			return fmt.Errorf("landlock: give access to port %d: %w", p.Port, err)
		}
	}
	return nil
}

func (r *Ruleset) addPath(p PathRule) error {
	fd, err := unix.Open(p.Path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	a := unix.LandlockPathBeneathAttr{Allowed_access: p.Access, Parent_fd: int32(fd)}
	err = r.add(unix.LANDLOCK_RULE_PATH_BENEATH, unsafe.Pointer(&a))
	_ = unix.Close(fd)
	return err
}

func (r *Ruleset) add(kind uintptr, a unsafe.Pointer) error {
	if _, _, e := unix.RawSyscall6(unix.SYS_LANDLOCK_ADD_RULE, r.file.Fd(), kind, uintptr(a), 0, 0, 0); e != 0 {
		return e
	}
	return nil
}

// FD returns the descriptor, which stays the ruleset's. It is closed on exec.
func (r *Ruleset) FD() int { return int(r.file.Fd()) }

// Close gives the descriptor back; threads that restricted themselves stay restricted.
func (r *Ruleset) Close() error { return r.file.Close() }

// Restrict restricts the calling thread, for good, and sets no_new_privs.
func (r *Ruleset) Restrict() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("landlock: set no_new_privs: %w", err)
	}
	if _, _, e := unix.RawSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, r.file.Fd(), 0, 0); e != 0 {
		return fmt.Errorf("landlock: restrict this thread: %w", e)
	}
	return nil
}

// Restrict makes the ruleset and restricts the calling thread with it.
func (s Spec) Restrict() error {
	r, err := s.Open()
	if err != nil {
		return err
	}
	err = r.Restrict()
	_ = r.Close() // nothing has been written to it
	return err
}
