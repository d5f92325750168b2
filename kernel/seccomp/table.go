package seccomp

import (
	"iter"
	"strings"

	"golang.org/x/sys/unix"
)

func fields(s string) iter.Seq[string] { return strings.FieldsSeq(s) }

// WakeSignal interrupts what a cell's thread waits in: SIGRTMIN+9 of the C library,
// as in cell/cpython.
const WakeSignal = 43

const (
	newNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
		unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWTIME
	threadFlags = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_THREAD
	setVMA      = 0x53564d41 // PR_SET_VMA, by which allocators name their mappings
)

// table is the whole of what cells may do. Calls that it does not have are refused.
// The list was made by tracing test programs of the standard library on both backends
// (cell/cpython/testdata/programs), and by reading what each call can do.
var table = []rule{
	{why: "reading and writing what is open", names: `read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2
		lseek close fsync fdatasync fadvise64 readahead flock ftruncate fallocate copy_file_range sendfile`},
	{why: "paths: Landlock or the LSM judges them", names: `open openat openat2 stat lstat fstat newfstatat statx access faccessat faccessat2
		readlink readlinkat getdents getdents64 getcwd statfs fstatfs`},
	{why: "changing directories, which Landlock judges by path", needs: Write, names: `creat truncate mkdir mkdirat rmdir unlink unlinkat rename renameat
		renameat2`},
	{why: "one in the place of a rule's path would give the next cell what it leads to", names: "link linkat symlink symlinkat", fails: Refused},
	{why: "descriptors", names: `dup dup2 dup3 pipe pipe2 eventfd eventfd2 timerfd_create timerfd_settime timerfd_gettime
		epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 poll ppoll select pselect6 close_range`},
	{why: "descriptors; not those that send signals", names: "fcntl", when: []clause{{is(1, descriptorCommands...)}}},
	{why: "terminals, which nothing here is, and non-blocking descriptors", names: "ioctl", when: []clause{{is(1, deviceRequests...)}}},

	{why: "memory", names: "brk munmap mremap madvise msync membarrier"},
	{why: "code comes from files, as extension modules do, and is never writable", names: "mmap", when: []clause{
		{clear(2, unix.PROT_EXEC)}, {clear(3, unix.MAP_ANONYMOUS), clear(2, unix.PROT_WRITE)}}},
	{why: "data stays data", names: "mprotect", when: []clause{{clear(2, unix.PROT_EXEC)}}},

	{why: "time", names: `clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time times getitimer`},
	{why: "locks and threads; the cell's ring", names: `futex futex_waitv sched_yield set_robust_list rseq set_tid_address gettid
		sched_getaffinity sched_getparam sched_getscheduler sched_get_priority_max sched_get_priority_min
		exit exit_group restart_syscall pause`},
	{why: "threads, no processes, no namespaces", names: "clone", needs: Threads, when: []clause{
		{all(0, threadFlags), clear(0, newNamespaces|unix.CLONE_PTRACE|unix.CLONE_PARENT|unix.CLONE_VFORK)}}},
	{why: "its flags are in memory; the C library then takes clone", names: "clone3", fails: Missing},

	{why: "signals of one's own", names: "rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack"},
	{why: "the watching thread wakes the cell's; abort()", names: "tgkill", only: Process, when: []clause{
		{own(0, OwnProcess), is(2, WakeSignal, uint32(unix.SIGABRT))}}},
	{why: "abort(), and nothing to other cells' threads", names: "tgkill", only: SubInterpreter, when: []clause{
		{own(0, OwnProcess), own(1, OwnThread), is(2, WakeSignal, uint32(unix.SIGABRT))}}},

	{why: "who and where one is", names: `getpid getppid getuid geteuid getgid getegid getresuid getresgid getgroups getpgid getpgrp getsid
		getrusage sysinfo uname getcpu getrandom getpriority ioprio_get getxattr lgetxattr fgetxattr`},
	{why: "limits can be read", names: "prlimit64", only: SubInterpreter, when: []clause{append(null(2), is(0, 0))}},
	{why: "and lowered at the claim", names: "prlimit64", only: Process, when: []clause{{is(0, 0)}}},
	{why: "limits can be read", names: "getrlimit"},
	{why: "the process's, so only where it is the cell's own", only: Process, names: "chdir fchdir umask wait4 waitid setrlimit"},
	{why: "names of threads and mappings", names: "prctl", when: []clause{{is(0, unix.PR_SET_NAME, unix.PR_GET_NAME, unix.PR_SET_NO_NEW_PRIVS, setVMA)}}},
	{why: "to be confined further, at the claim; neither can loosen anything", names: "landlock_create_ruleset landlock_add_rule landlock_restrict_self"},
	{why: "a further filter for this thread", names: "seccomp", only: SubInterpreter, when: []clause{{is(0, unix.SECCOMP_SET_MODE_FILTER), is(1, uint32(ThisThread))}}},
	{why: "or for all that the cell has", names: "seccomp", only: Process, when: []clause{{is(0, unix.SECCOMP_SET_MODE_FILTER), is(1, uint32(ThisThread), uint32(AllThreads))}}},

	{why: "event loops have a pair of sockets", names: "socketpair", when: pairs},
	{why: "on sockets one has", names: `recvfrom recvmsg recvmmsg shutdown getsockname getpeername getsockopt`},
	{why: "on sockets one has; not to route packets past who judges addresses", names: "setsockopt", when: socketOptions},
	{why: "on sockets one has; not to connect past who judges connect", names: "sendto", when: []clause{{clear(3, unix.MSG_FASTOPEN)}}},
	{why: "on sockets one has; not to connect past who judges connect", names: "sendmsg", when: []clause{{clear(2, unix.MSG_FASTOPEN)}}},
	{why: "on sockets one has; not to connect past who judges connect", names: "sendmmsg", when: []clause{{clear(3, unix.MSG_FASTOPEN)}}},
	{why: "TCP and UDP; no raw, netlink, packet or vsock sockets, no other machine's kernel", names: "socket", needs: Network,
		otherwise: Action(unix.SECCOMP_RET_ERRNO | uint32(unix.EAFNOSUPPORT)), when: []clause{
			{is(0, unix.AF_INET, unix.AF_INET6), test{arg: 1, mask: 0xf, in: []uint32{unix.SOCK_STREAM, unix.SOCK_DGRAM}},
				is(2, 0, unix.IPPROTO_TCP, unix.IPPROTO_UDP)}}},
	{why: "connections", needs: Network, names: "connect bind listen accept accept4"},

	{why: "into other processes", never: true, names: `ptrace process_vm_readv process_vm_writev process_madvise process_mrelease kcmp pidfd_getfd`},
	{why: "past this filter", never: true, names: "io_uring_setup io_uring_enter io_uring_register"},
	{why: "into the kernel", never: true, names: `bpf perf_event_open userfaultfd keyctl add_key request_key
		init_module finit_module delete_module kexec_load kexec_file_load lookup_dcookie
		iopl ioperm modify_ldt uselib ustat _sysctl sysfs nfsservctl vhangup acct quotactl quotactl_fd
		name_to_handle_at open_by_handle_at fanotify_init fanotify_mark
		move_pages migrate_pages mbind set_mempolicy set_mempolicy_home_node remap_file_pages memfd_secret`},
	{why: "the machine's", never: true, names: `reboot swapon swapoff syslog settimeofday clock_adjtime adjtimex personality`},
	{why: "mounts", never: true, names: `mount umount2 pivot_root move_mount open_tree open_tree_attr fsopen fsconfig fsmount fspick mount_setattr statmount listmount`},
}
