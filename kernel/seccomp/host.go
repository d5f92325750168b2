package seccomp

import (
	"slices"

	"golang.org/x/sys/unix"
)

// hostTable is what the process of a host of "subinterpreter" cells never does, and a guest
// that has taken it over shall not either. It is the reverse of [table]: here, what is
// not named is allowed, since a language runtime and a C library live in that process whose
// calls are not ours to list. What is fatal to a cell is fatal here, too.
var hostTable = []rule{
	{why: "other programs and other processes", names: "execve execveat fork vfork", fails: Refused},
	{why: "threads and no processes, no namespaces", names: "clone", when: []clause{
		{all(0, threadFlags), clear(0, newNamespaces|unix.CLONE_PTRACE|unix.CLONE_PARENT|unix.CLONE_VFORK)}}},
	{why: "its flags are in memory; the C library then takes clone", names: "clone3", fails: Missing},
	{why: "a cell's thread leaves the others' descriptors; no namespaces", names: "unshare", when: []clause{{is(0, unix.CLONE_FILES)}}},
	{why: "other namespaces and other roots", names: "setns chroot", fails: Refused},
	{why: "TCP and UDP, where cells have the network", names: "socket", needs: Network, when: []clause{
		{is(0, unix.AF_INET, unix.AF_INET6), test{arg: 1, mask: 0xf, in: []uint32{unix.SOCK_STREAM, unix.SOCK_DGRAM}},
			is(2, 0, unix.IPPROTO_TCP, unix.IPPROTO_UDP)}}},
	{why: "its channel is inherited", names: "connect", needs: Network},
	{why: "nobody is served", names: "bind listen accept accept4", fails: Refused},
	{why: "event loops have a pair of sockets", names: "socketpair", when: pairs},
	{why: "making, renaming and removing files", needs: Write, names: `creat truncate mkdir mkdirat rmdir unlink unlinkat rename renameat
		renameat2`},
	{why: "links, devices and pipes", fails: Refused, names: "link linkat symlink symlinkat mknod mknodat"},
	{why: "changing whose files are and what they say of themselves", fails: Refused, names: `chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat
		utime utimes utimensat futimesat setxattr lsetxattr fsetxattr setxattrat removexattr lremovexattr fremovexattr removexattrat
		file_setattr`},
	{why: "opening makes no files and empties none", names: "open", unless: Write, when: []clause{{clear(1, makingFiles)}}},
	{why: "opening makes no files and empties none", names: "openat", unless: Write, when: []clause{{clear(2, makingFiles)}}},
	{why: "its flags are in memory; nothing here needs it", names: "openat2", fails: Missing},
	// A file in memory is a file, too: rings of cells are such, so that memfd_create stays.
	{why: "code comes from files and is never writable", names: "mmap", when: []clause{
		{clear(2, unix.PROT_EXEC)}, {clear(3, unix.MAP_ANONYMOUS), clear(2, unix.PROT_WRITE)}}},
	{why: "data stays data", names: "mprotect", when: []clause{{clear(2, unix.PROT_EXEC)}}},
	{why: "data stays data", names: "pkey_mprotect", fails: Missing},
	{why: "memory that is mapped as code at one place and written at another", names: "shmget shmat", fails: Refused},
	{why: "signals to itself: abort, and the runtime's own", names: "kill tgkill", when: []clause{{own(0, OwnProcess)}}},
	{why: "signals to others", names: "tkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_send_signal", fails: Refused},
	{why: "descriptors that signal whom one likes", names: "fcntl", when: []clause{{is(1, append([]uint32{unix.F_ADD_SEALS}, descriptorCommands...)...)}}},
	{why: "descriptors that signal whom one likes", names: "ioctl", when: []clause{{is(1, deviceRequests...)}}},
	{why: "to confine cells further; not to outlive the node or to be traced", names: "prctl", when: []clause{{is(0,
		unix.PR_SET_NAME, unix.PR_GET_NAME, unix.PR_SET_NO_NEW_PRIVS, unix.PR_GET_NO_NEW_PRIVS, setVMA)}}},
	{why: "not to route packets past who judges addresses", names: "setsockopt", when: socketOptions},
	{why: "limits of one's own: one of processor time kills whoever gets it", names: "prlimit64", when: []clause{{is(0, 0)}}},
	{why: "other users", fails: Refused, names: `setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups`},
	{why: "the machine's names", names: "sethostname setdomainname", fails: Refused},
}

// makingFiles are flags of open. O_TMPFILE has O_DIRECTORY's bit beside its own.
const makingFiles = unix.O_CREAT | unix.O_TRUNC | unix.O_TMPFILE&^unix.O_DIRECTORY

// CompileHost returns the filter of a host of "subinterpreter" cells as a whole; "" is this
// process's architecture. Of the grants, Network and Write are those of its cells together. It is put on with [AllThreads] before the first cell, and cells'
// own filters come on top of it. Unlike those it is for threads that run Go.
func CompileHost(a Arch, g Grant) (Program, error) {
	if a == "" {
		var err error
		if a, err = Here(); err != nil {
			return Program{}, err
		}
	}
	rules := slices.Clone(hostTable)
	for _, r := range table {
		if r.never {
			rules = append(rules, r)
		}
	}
	return compileAllowing(a, rules, g)
}
