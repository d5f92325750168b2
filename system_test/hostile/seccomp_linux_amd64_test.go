package hostile

import "golang.org/x/sys/unix"

func one(number uint64, args ...uint64) []call {
	c := call{number: number}
	copy(c.args[:], args)
	return []call{c}
}

func withData(number uint64, data func(*canaries) []byte, args ...uint64) []call {
	c := one(number, args...)
	c[0].data = data
	return c
}

func init() {
	families = append(families, seccompFamily, racesFamily, kernelFamily)
}

var seccompFamily = family{
	name:  "seccomp",
	title: "System-call filter, by corrupted memory",
	probes: []probe{
		{name: "x32_open", refused: true, what: "open a file by the numbers of x32", alone: true, fatal: true,
			calls: readsBy(call{number: x32 | unix.SYS_OPENAT, data: secretPath, args: [6]uint64{cwd, dataArgument}})},
		{name: "x32_getpid", refused: true, what: "any call of x32", fatal: true, calls: one(x32 | unix.SYS_GETPID)},
		{name: "i386_open", refused: true, what: "open a file by the 32-bit way, int 0x80", fatal: true,
			calls: []call{{number: 5, data: secretPath, args: [6]uint64{dataArgument}, i386: true}}},
		{name: "i386_numbers", what: "the numbers of 32-bit programs, by the 64-bit way: 11 is munmap, not execve", calls: withData(11, text("/bin/true"), 1<<40, 0)},
		{name: "clone3", refused: true, what: "clone3, whose flags no filter sees", calls: one(unix.SYS_CLONE3, pageArgument, 88)},
		{name: "fork", refused: true, what: "clone without the flags of a thread", calls: one(unix.SYS_CLONE, uint64(unix.SIGCHLD))},
		{name: "vfork", refused: true, what: "vfork", calls: one(unix.SYS_VFORK)},
		{name: "io_uring", refused: true, what: "io_uring, which makes calls that no filter sees", fatal: true, calls: one(unix.SYS_IO_URING_SETUP, 8, bufferArgument)},
		{name: "io_uring_enter", refused: true, what: "io_uring_enter on any descriptor", fatal: true, calls: one(unix.SYS_IO_URING_ENTER, 3, 1, 1, 0)},
		{name: "io_uring_register", refused: true, what: "io_uring_register on any descriptor", fatal: true, calls: one(unix.SYS_IO_URING_REGISTER, 3, 0, 0, 0)},
		{name: "high_bits", refused: true, what: "a number that is right in its low half only", fatal: true, calls: withData(1<<32|unix.SYS_OPENAT, secretPath, cwd, dataArgument, 0)},
		{name: "unknown_number", refused: true, what: "a call that does not exist yet", calls: one(1000)},
		{name: "execve", refused: true, what: "execute a program", calls: withData(unix.SYS_EXECVE, text("/nonexistent"), dataArgument, 0, 0)},
		{name: "execveat", refused: true, what: "execute a descriptor", calls: withData(unix.SYS_EXECVEAT, text(""), 0, dataArgument, 0, 0, 0x1000)},
		{name: "writable_code", refused: true, what: "make memory that is written and run", calls: one(unix.SYS_MMAP, 0, 4096, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS, ^uint64(0))},
		{name: "mprotect", refused: true, what: "run the stack", calls: one(unix.SYS_MPROTECT, pageArgument, 4096, unix.PROT_READ|unix.PROT_EXEC)},
		{name: "pkey_mprotect", refused: true, what: "run the stack, by the other call", calls: one(unix.SYS_PKEY_MPROTECT, pageArgument, 4096, unix.PROT_READ|unix.PROT_EXEC, ^uint64(0))},
		{name: "personality", refused: true, what: "make all readable memory executable", fatal: true, calls: one(unix.SYS_PERSONALITY, 0x0400000)},
		{name: "ptrace", refused: true, what: "trace a process", fatal: true, calls: one(unix.SYS_PTRACE, unix.PTRACE_TRACEME)},
		{name: "process_vm_writev", refused: true, what: "write into a process", fatal: true, calls: one(unix.SYS_PROCESS_VM_WRITEV, 1, bufferArgument, 1, bufferArgument, 1, 0)},
		{name: "pidfd_getfd", refused: true, what: "take a descriptor of a process", fatal: true, calls: one(unix.SYS_PIDFD_GETFD, 3, 0, 0)},
		{name: "seccomp_off", refused: true, what: "take the filter off", calls: one(unix.SYS_PRCTL, 22, 0, 0)},
		{name: "tiocsti", refused: true, what: "type into a terminal", calls: one(unix.SYS_IOCTL, 0, unix.TIOCSTI, bufferArgument)},
		{name: "kill_all", refused: true, what: "signal 0 to every process there is", calls: one(unix.SYS_KILL, ^uint64(0), 0)},
		{name: "fcntl_signal", refused: true, what: "F_SETSIG on a descriptor", calls: one(unix.SYS_FCNTL, 0, 10, 9)},
		{name: "dumpable", refused: true, what: "make the process readable to others of its user", calls: one(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 1)},
	},
}

var racesFamily = family{
	name:  "paths",
	title: "Paths, by corrupted memory",
	probes: []probe{
		{name: "openat", what: "open a file", calls: readsBy(call{number: unix.SYS_OPENAT, data: secretPath, args: [6]uint64{cwd, dataArgument}}), through: unjudged()},
		{name: "open", what: "open a file by the old call", calls: readsBy(call{number: unix.SYS_OPEN, data: secretPath, args: [6]uint64{dataArgument}}), through: unjudged()},
		{name: "openat2", what: "openat2, whose flags are in memory", calls: readsBy(call{number: unix.SYS_OPENAT2, data: two(secretPath, func(*canaries) []byte { return make([]byte, 24) }), args: [6]uint64{cwd, dataArgument, secondPath, 24}}), through: unjudged()},
		{name: "o_path", what: "O_PATH, then its magic link", calls: []call{
			{number: unix.SYS_OPENAT, data: secretPath, args: [6]uint64{cwd, dataArgument, unix.O_PATH}},
			{number: unix.SYS_DUP2, args: [6]uint64{resultArgument, 40}},
			{number: unix.SYS_OPENAT, data: text("/proc/thread-self/fd/40"), args: [6]uint64{cwd, dataArgument}},
			{number: unix.SYS_READ, args: [6]uint64{resultArgument + 2, bufferArgument, 512}}}, through: unjudged()},
		{name: "magic_root", what: "through /proc/self/root", calls: readsBy(call{number: unix.SYS_OPENAT, data: func(c *canaries) []byte { return []byte("/proc/self/root" + c.secret) }, args: [6]uint64{cwd, dataArgument}}), through: unjudged()},
		{name: "create", what: "make a file", calls: withData(unix.SYS_OPENAT, newPath, cwd, dataArgument, unix.O_CREAT|unix.O_WRONLY, 0o666), through: unjudged()},
		{name: "truncate", what: "truncate a file by its name", calls: withData(unix.SYS_TRUNCATE, victimPath, dataArgument, 0), through: unjudged()},
		{name: "open_truncate", what: "truncate a file by opening it", calls: withData(unix.SYS_OPENAT, victimPath, cwd, dataArgument, unix.O_TRUNC|unix.O_WRONLY), through: unjudged()},
		{name: "tmpfile", what: "O_TMPFILE, then a link to it", calls: []call{
			{number: unix.SYS_OPENAT, data: func(c *canaries) []byte { return []byte(c.dir) }, args: [6]uint64{cwd, dataArgument, unix.O_TMPFILE | unix.O_RDWR, 0o666}},
			{number: unix.SYS_DUP2, args: [6]uint64{resultArgument, 40}},
			{number: unix.SYS_LINKAT, data: two(text("/proc/thread-self/fd/40"), newPath), args: [6]uint64{cwd, dataArgument, cwd, secondPath, unix.AT_SYMLINK_FOLLOW}}}, through: unjudged()},
		{name: "symlinkat", what: "a symbolic link to the secret", calls: withData(unix.SYS_SYMLINKAT, two(secretPath, newPath), dataArgument, cwd, secondPath), through: unjudged()},
		{name: "linkat", what: "a hard link to the secret", calls: withData(unix.SYS_LINKAT, two(victimPath, newPath), cwd, dataArgument, cwd, secondPath, 0), through: unjudged()},
		{name: "renameat2", what: "exchange two files", calls: withData(unix.SYS_RENAMEAT2, two(secretPath, victimPath), cwd, dataArgument, cwd, secondPath, unix.RENAME_EXCHANGE), through: unjudged()},
		{name: "unlink", what: "remove a file", calls: withData(unix.SYS_UNLINK, victimPath, dataArgument), through: unjudged()},
		{name: "mknod", what: "make a device or a pipe", calls: withData(unix.SYS_MKNOD, newPath, dataArgument, unix.S_IFIFO|0o666, 0), through: unjudged()},
		{name: "chmod", what: "change a file's mode", calls: withData(unix.SYS_CHMOD, victimPath, dataArgument, 0o777), through: []passage{{backend: "subinterpreter", stacks: []string{gate, programs}, why: noLayers + "; the file is its user's"}}},
		{name: "utime", what: "change a file's times", calls: withData(unix.SYS_UTIMENSAT, victimPath, cwd, dataArgument, 0, 0), through: []passage{{stacks: []string{gate, programs}, why: noLayers}, {stacks: []string{lsm}, why: "no program is asked about times"}}},
		{name: "file_handle", refused: true, what: "open by a handle, past all paths", fatal: true, calls: one(unix.SYS_OPEN_BY_HANDLE_AT, 3, bufferArgument, 0)},
		{name: "mount", refused: true, what: "mount over a directory", fatal: true, calls: one(unix.SYS_MOUNT, 0, pageArgument, 0, unix.MS_BIND, 0)},
		{name: "chroot", refused: true, what: "another root directory", calls: withData(unix.SYS_CHROOT, text("/"), dataArgument)},
		{name: "open_tree", refused: true, what: "a mount that is nowhere", fatal: true, calls: one(unix.SYS_OPEN_TREE, cwd, pageArgument, 1)},
		{name: "memory_of_parent", refused: true, what: "open another's memory in /proc", calls: withData(unix.SYS_OPENAT, text("/proc/1/mem"), cwd, dataArgument, unix.O_RDWR)},
		{name: "open_elsewhere", what: "another thread opens the file", elsewhere: true, calls: readsBy(call{number: unix.SYS_OPENAT, data: secretPath, args: [6]uint64{cwd, dataArgument}}),
			through: []passage{{backend: "subinterpreter", why: shared}, {backend: "process", stacks: []string{gate, programs}, why: noLayers}}},
		{name: "create_elsewhere", what: "another thread makes a file", elsewhere: true, calls: withData(unix.SYS_OPENAT, newPath, cwd, dataArgument, unix.O_CREAT|unix.O_WRONLY, 0o666),
			through: unreached()},
	},
}

var kernelFamily = family{
	name:  "reach",
	title: "Sockets and namespaces, by corrupted memory",
	probes: []probe{
		{name: "tcp", what: "connect", calls: connects(unix.AF_INET, unix.SOCK_STREAM, inet(tcp), 16), through: unnamed()},
		{name: "tcp6", what: "connect by IPv6", calls: connects(unix.AF_INET6, unix.SOCK_STREAM, inet6(tcp6, [16]byte{15: 1}), 28), through: unnamed()},
		{name: "v4_mapped", what: "connect by an IPv4 address in IPv6", calls: connects(unix.AF_INET6, unix.SOCK_STREAM, inet6(tcp, mapped), 28), through: unnamed()},
		{name: "udp", what: "a datagram", calls: sends(unix.AF_INET, unix.SOCK_DGRAM, 0, inet(udp), 16), through: unnamed()},
		{name: "fast_open", what: "data in the first packet", calls: sends(unix.AF_INET, unix.SOCK_STREAM, unix.MSG_FASTOPEN, inet(tcp), 16), through: unnamed()},
		{name: "mptcp", what: "connect by multipath TCP", calls: []call{
			{number: unix.SYS_SOCKET, args: [6]uint64{unix.AF_INET, unix.SOCK_STREAM | unix.SOCK_NONBLOCK, 262}},
			{number: unix.SYS_CONNECT, data: inet(tcp), args: [6]uint64{resultArgument, dataArgument, 16}}}, through: unnamed()},
		{name: "sctp_and_raw", refused: true, what: "a raw socket", calls: one(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_RAW, 1)},
		{name: "unix_path", what: "connect to a socket in the file system", calls: connects(unix.AF_UNIX, unix.SOCK_STREAM, local(func(c *canaries) string { return c.sockets.path }), 110), through: unjudged()},
		{name: "pair_to_path", what: "turn a socket pair to another address", calls: pair(
			call{number: unix.SYS_CONNECT, data: datagramPath, args: [6]uint64{pairArgument, dataArgument, 110}},
			call{number: unix.SYS_WRITE, args: [6]uint64{pairArgument, dataArgument, 8}}), through: unjudged()},
		{name: "pair_sends_to_path", what: "a datagram of a socket pair to a socket in the file system", calls: sendsToPath(), through: unjudged()},
		{name: "netlink", refused: true, what: "a netlink socket", calls: one(unix.SYS_SOCKET, unix.AF_NETLINK, unix.SOCK_RAW, 0)},
		{name: "packet", refused: true, what: "a packet socket", calls: one(unix.SYS_SOCKET, unix.AF_PACKET, unix.SOCK_RAW, 0)},
		{name: "vsock", refused: true, what: "a socket to the machine's host", calls: one(unix.SYS_SOCKET, unix.AF_VSOCK, unix.SOCK_STREAM, 0)},
		{name: "af_alg", refused: true, what: "the kernel's own cryptography", calls: one(unix.SYS_SOCKET, unix.AF_ALG, unix.SOCK_SEQPACKET, 0)},
		{name: "unshare", refused: true, what: "a user namespace of its own", calls: one(unix.SYS_UNSHARE, unix.CLONE_NEWUSER)},
		{name: "setns", refused: true, what: "another's namespace", calls: one(unix.SYS_SETNS, 0, 0)},
		{name: "bpf", refused: true, what: "load a program into the kernel", fatal: true, calls: one(unix.SYS_BPF, 5, bufferArgument, 128)},
		{name: "perf", refused: true, what: "count what the processor does", fatal: true, calls: one(unix.SYS_PERF_EVENT_OPEN, bufferArgument, 0, ^uint64(0), ^uint64(0), 0)},
		{name: "userfaultfd", refused: true, what: "stop the kernel in the middle of a copy", fatal: true, calls: one(unix.SYS_USERFAULTFD, 0)},
		{name: "keyring", refused: true, what: "the kernel's key ring", fatal: true, calls: one(unix.SYS_KEYCTL, 0, ^uint64(0), 0)},
		{name: "module", refused: true, what: "load a module", fatal: true, calls: one(unix.SYS_INIT_MODULE, bufferArgument, 0, bufferArgument)},
		{name: "connect_elsewhere", what: "another thread connects", elsewhere: true, calls: connects(unix.AF_INET, unix.SOCK_STREAM, inet(tcp), 16),
			through: []passage{{stacks: []string{gate}, why: noLayers}, {backend: "subinterpreter", stacks: []string{lsm}, why: unbound}}},
		{name: "pair_elsewhere", what: "another thread sends a datagram to a socket in the file system", elsewhere: true, calls: sendsToPath(), through: unreached()},
		{name: "unix_elsewhere", what: "another thread connects to a socket in the file system", elsewhere: true,
			calls:   connects(unix.AF_UNIX, unix.SOCK_STREAM, local(func(c *canaries) string { return c.sockets.path }), 110),
			through: unreached()},
	},
}
