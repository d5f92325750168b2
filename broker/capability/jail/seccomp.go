package jail

import (
	"errors"

	"golang.org/x/sys/unix"
)

// refused are the system calls that ordinary programs do without: those that change
// the machine or the view of it, look into other processes, or lead into parts of
// the kernel with a history of holes. They fail with EPERM.
var refused = []uint32{
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_MOVE_MOUNT, unix.SYS_OPEN_TREE,
	unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK, unix.SYS_MOUNT_SETATTR,
	unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV,
	unix.SYS_PROCESS_MADVISE, unix.SYS_KCMP, unix.SYS_PIDFD_GETFD, unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY,
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
	unix.SYS_KEXEC_LOAD, unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_REBOOT,
	unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_ACCT, unix.SYS_QUOTACTL, unix.SYS_SYSLOG, unix.SYS_VHANGUP, unix.SYS_PERSONALITY,
	unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME, unix.SYS_CLOCK_ADJTIME, unix.SYS_ADJTIMEX, unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME,
	unix.SYS_NAME_TO_HANDLE_AT, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_FANOTIFY_INIT, unix.SYS_LOOKUP_DCOOKIE,
	unix.SYS_MOVE_PAGES, unix.SYS_MIGRATE_PAGES, unix.SYS_MBIND, unix.SYS_SET_MEMPOLICY,
}

// families of sockets that a program without a network can have use of. The others
// reach the kernel's, or hypervisor's, less travelled code.
var families = []uint32{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6}

const newNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

// Offsets into struct seccomp_data; the low half of an argument is first on the
// little-endian machines we have filters for.
const (
	offNumber = 0
	offArch   = 4
	offArg0   = 16
	offArg1   = 24
)

func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

func jump(test uint16, k uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | test | unix.BPF_K, K: k, Jt: yes, Jf: no}
}

func answer(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }

func fails(e uint32) unix.SockFilter { return answer(unix.SECCOMP_RET_ERRNO | e) }

// seccompFilter assembles the filter for this architecture.
func seccompFilter() ([]unix.SockFilter, error) {
	if auditArch == 0 {
		return nil, errors.New("there is no filter for this architecture")
	}
	f := []unix.SockFilter{
		load(offArch),
		jump(unix.BPF_JEQ, auditArch, 1, 0),
		answer(unix.SECCOMP_RET_KILL_PROCESS),
		load(offNumber),
		jump(unix.BPF_JGE, 0x40000000, 0, 1), // x32 on amd64; nothing elsewhere
		fails(uint32(unix.ENOSYS)),
	}
	for _, list := range [][]uint32{refused, refusedHere} {
		for _, n := range list {
			f = append(f, jump(unix.BPF_JEQ, n, 0, 1), fails(uint32(unix.EPERM)))
		}
	}
	// Its flags are in memory, where no filter can look: the C library then
	// takes clone.
	f = append(f, jump(unix.BPF_JEQ, unix.SYS_CLONE3, 0, 1), fails(uint32(unix.ENOSYS)))
	f = append(f, jump(unix.BPF_JEQ, unix.SYS_CLONE, 0, 4),
		load(offArg0),
		jump(unix.BPF_JSET, newNamespaces, 0, 1),
		fails(uint32(unix.EPERM)),
		answer(unix.SECCOMP_RET_ALLOW))
	f = append(f, jump(unix.BPF_JEQ, unix.SYS_IOCTL, 0, 5),
		load(offArg1),
		jump(unix.BPF_JEQ, unix.TIOCSTI, 1, 0),
		jump(unix.BPF_JEQ, unix.TIOCLINUX, 0, 1),
		fails(uint32(unix.EPERM)),
		answer(unix.SECCOMP_RET_ALLOW))
	f = append(f, jump(unix.BPF_JEQ, unix.SYS_SOCKET, 0, uint8(2+2*len(families))), load(offArg0))
	for _, family := range families {
		f = append(f, jump(unix.BPF_JEQ, family, 0, 1), answer(unix.SECCOMP_RET_ALLOW))
	}
	return append(f, fails(uint32(unix.EAFNOSUPPORT)), answer(unix.SECCOMP_RET_ALLOW)), nil
}
