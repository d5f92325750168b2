package seccomp

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// notifyTable is what a cell does with paths when a supervisor judges them (package
// notify). As in [hostTable], what is not named is allowed: this program comes before a
// cell's own, which lists what there is. What changes or opens files by a way that no
// supervisor sees is refused here, so that the judgement holds by itself.
var notifyTable = []rule{
	{why: "the supervisor judges the path and does it", fails: Notify, names: `open openat openat2 creat truncate
		mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2`},
	{why: "a second name would be judged by other rules", names: "link linkat", fails: Refused},
	{why: "a link at a rule's path would lead the next policy elsewhere", names: "symlink symlinkat", fails: Refused},
	{why: "devices, pipes and sockets with names", names: "mknod mknodat", fails: Refused},
	{why: "gives a name to a socket, also to one of a pair; no cell serves anybody", names: "bind", fails: Refused},
	{why: "changing whose files are and what they say of themselves", fails: Refused, names: `chmod fchmodat fchmodat2 chown lchown fchownat
		utime utimes utimensat futimesat setxattr lsetxattr setxattrat removexattr lremovexattr removexattrat file_setattr`},
	{why: "other roots and namespaces: the supervisor's paths would be others", fails: Refused, names: `chroot pivot_root setns mount umount2
		move_mount open_tree open_tree_attr fsopen fsconfig fsmount fspick mount_setattr`},
	{why: "files by number and by other processes' descriptors", fails: Refused, names: "open_by_handle_at pidfd_getfd"},
	{why: "opens files without a call", fails: Refused, names: "io_uring_setup io_uring_enter io_uring_register"},
	{why: "opens files for the kernel", fails: Refused, names: "acct swapon swapoff quotactl quotactl_fd uselib fanotify_init"},
}

// CompileNotify returns the filter that leaves what is done with paths to a supervisor;
// "" is this process's architecture. It has no holes. It is put on before a cell's own
// filter; whatever that refuses is refused without asking the supervisor.
func CompileNotify(a Arch) (Program, error) {
	if a == "" {
		var err error
		if a, err = Here(); err != nil {
			return Program{}, err
		}
	}
	return compileAllowing(a, notifyTable, 0)
}

// compileAllowing assembles a program that allows what rules do not name.
func compileAllowing(a Arch, rules []rule, granted Grant) (Program, error) {
	if !slices.Contains(Arches, a) {
		return Program{}, fmt.Errorf("seccomp: there is no filter for %q", a)
	}
	of := map[int]decision{}
	for n := range a.last() + 1 {
		of[n] = decision{action: Allow}
	}
	for _, r := range rules {
		if r.unless&granted != 0 {
			continue
		}
		for name := range fields(r.names) {
			if _, known := numbers[name]; !known {
				return Program{}, fmt.Errorf("seccomp: a table has a call %q that no architecture has", name)
			}
			if n, ok := a.Number(name); ok {
				of[n] = r.decide(granted)
			}
		}
	}
	return assemble(a, of)
}

// Listen puts the program on the calling thread, as [Program.Install] does with
// [ThisThread], and returns the descriptor on which a supervisor is notified. The kernel
// gives a thread one such listener, and EBUSY for the next. Once the supervisor has a
// call, only a fatal signal interrupts it, where the kernel has that (Linux 5.19).
func (p Program) Listen() (*os.File, error) {
	if len(p.code) == 0 {
		return nil, errors.New("seccomp: the program is empty")
	}
	code := p.Fill(os.Getpid(), unix.Gettid()).code
	const listen = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	fd, err := install(code, listen|unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
	if errors.Is(err, unix.EINVAL) {
		fd, err = install(code, listen)
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "seccomp listener"), nil
}
