package seccomp

import (
	"testing"

	"golang.org/x/sys/unix"
)

const (
	glibcThread = 0x3d0f00 // what pthread_create gives clone
	noSupport   = Action(unix.SECCOMP_RET_ERRNO | uint32(unix.EAFNOSUPPORT))
	garbage     = uint64(0xdeadbeef) << 32 // upper halves, which the kernel ignores for int
)

// TestArguments is about calls that depend on theirs. An empty backend is both.
func TestArguments(t *testing.T) {
	type args = []uint64
	for name, c := range map[string]struct {
		call   string
		args   args
		grants Grant
		want   Action
		only   Backend
	}{
		"a thread":                           {"clone", args{glibcThread}, Threads, Allow, ""},
		"a thread, not granted":              {"clone", args{glibcThread}, Network | Write, Refused, ""},
		"a process":                          {"clone", args{uint64(unix.SIGCHLD)}, Threads, Refused, ""},
		"a process that shares memory":       {"clone", args{unix.CLONE_VM | unix.CLONE_VFORK | uint64(unix.SIGCHLD)}, Threads, Refused, ""},
		"a thread in a user namespace":       {"clone", args{glibcThread | unix.CLONE_NEWUSER}, Threads, Refused, ""},
		"a thread in a network namespace":    {"clone", args{glibcThread | unix.CLONE_NEWNET}, Threads, Refused, ""},
		"a thread in a time namespace":       {"clone", args{glibcThread | unix.CLONE_NEWTIME}, Threads, Refused, ""},
		"a traced thread":                    {"clone", args{glibcThread | unix.CLONE_PTRACE}, Threads, Refused, ""},
		"a thread, garbage above the flags":  {"clone", args{garbage | glibcThread}, Threads, Allow, ""},
		"namespaces by clone3":               {"clone3", args{1, 2}, AllGrants, Missing, ""},
		"memory":                             {"mmap", args{0, 4096, unix.PROT_READ | unix.PROT_WRITE, unix.MAP_PRIVATE | unix.MAP_ANONYMOUS}, 0, Allow, ""},
		"memory for code":                    {"mmap", args{0, 4096, unix.PROT_READ | unix.PROT_EXEC, unix.MAP_PRIVATE | unix.MAP_ANONYMOUS}, 0, Refused, ""},
		"code of a file":                     {"mmap", args{0, 4096, unix.PROT_READ | unix.PROT_EXEC, unix.MAP_PRIVATE}, 0, Allow, ""},
		"writable code of a file":            {"mmap", args{0, 4096, unix.PROT_READ | unix.PROT_WRITE | unix.PROT_EXEC, unix.MAP_PRIVATE}, 0, Refused, ""},
		"data stays data":                    {"mprotect", args{0, 4096, unix.PROT_READ | unix.PROT_EXEC}, AllGrants, Refused, ""},
		"a thread's stack":                   {"mprotect", args{0, 4096, unix.PROT_READ | unix.PROT_WRITE}, 0, Allow, ""},
		"ring of a signal":                   {"fcntl", args{3, unix.F_SETOWN, me}, 0, Refused, ""},
		"signal number":                      {"fcntl", args{3, unix.F_SETSIG, 9}, 0, Refused, ""},
		"lease":                              {"fcntl", args{3, unix.F_SETLEASE, 0}, 0, Refused, ""},
		"duplicate":                          {"fcntl", args{3, unix.F_DUPFD_CLOEXEC, 3}, 0, Allow, ""},
		"duplicate, garbage above":           {"fcntl", args{3, garbage | unix.F_DUPFD_CLOEXEC, 3}, 0, Allow, ""},
		"is it a terminal":                   {"ioctl", args{3, unix.TCGETS}, 0, Allow, ""},
		"type into the terminal":             {"ioctl", args{0, unix.TIOCSTI}, AllGrants, Refused, ""},
		"type, garbage above":                {"ioctl", args{0, garbage | unix.TIOCSTI}, AllGrants, Refused, ""},
		"paste into the console":             {"ioctl", args{0, unix.TIOCLINUX}, AllGrants, Refused, ""},
		"signals of a descriptor":            {"ioctl", args{0, 0x5452 /* FIOASYNC */}, AllGrants, Refused, ""},
		"name a thread":                      {"prctl", args{unix.PR_SET_NAME}, 0, Allow, ""},
		"be dumpable":                        {"prctl", args{unix.PR_SET_DUMPABLE, 1}, AllGrants, Refused, ""},
		"seccomp by prctl":                   {"prctl", args{unix.PR_SET_SECCOMP}, AllGrants, Refused, ""},
		"tracer by prctl":                    {"prctl", args{unix.PR_SET_PTRACER}, AllGrants, Refused, ""},
		"outlive the parent":                 {"prctl", args{unix.PR_SET_PDEATHSIG, 0}, AllGrants, Refused, ""},
		"a further filter":                   {"seccomp", args{unix.SECCOMP_SET_MODE_FILTER, 0}, 0, Allow, ""},
		"for all threads of a cell":          {"seccomp", args{unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC}, 0, Allow, Process},
		"for all threads of a tenant":        {"seccomp", args{unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC}, 0, Refused, SubInterpreter},
		"a listener":                         {"seccomp", args{unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER}, 0, Refused, ""},
		"strict mode":                        {"seccomp", args{unix.SECCOMP_SET_MODE_STRICT}, 0, Refused, ""},
		"read a limit":                       {"prlimit64", args{0, unix.RLIMIT_AS, 0, 1}, 0, Allow, ""},
		"read another's limit":               {"prlimit64", args{me + 7, unix.RLIMIT_AS, 0, 1}, 0, Refused, ""},
		"set the host's limit":               {"prlimit64", args{0, unix.RLIMIT_NOFILE, 0x1000}, 0, Refused, SubInterpreter},
		"set it, low half of pointer zero":   {"prlimit64", args{0, unix.RLIMIT_NOFILE, 1 << 32}, 0, Refused, SubInterpreter},
		"set the cell's limit":               {"prlimit64", args{0, unix.RLIMIT_NOFILE, 0x1000}, 0, Allow, Process},
		"wake one's own thread":              {"tgkill", args{me, myThread, WakeSignal}, 0, Allow, ""},
		"abort":                              {"tgkill", args{me, myThread, uint64(unix.SIGABRT)}, 0, Allow, ""},
		"end one's own process":              {"tgkill", args{me, myThread, uint64(unix.SIGKILL)}, 0, Refused, ""},
		"wake a sibling":                     {"tgkill", args{me, myThread + 1, WakeSignal}, 0, Refused, SubInterpreter},
		"wake the cell from another thread":  {"tgkill", args{me, myThread + 1, WakeSignal}, 0, Allow, Process},
		"signal another process":             {"tgkill", args{me + 1, myThread, WakeSignal}, 0, Refused, ""},
		"signal by an unfilled hole's value": {"tgkill", args{nobody, nobody, WakeSignal}, 0, Refused, ""},
		"TCP":                                {"socket", args{unix.AF_INET, unix.SOCK_STREAM | unix.SOCK_CLOEXEC}, Network, Allow, ""},
		"UDP over IPv6":                      {"socket", args{unix.AF_INET6, unix.SOCK_DGRAM, unix.IPPROTO_UDP}, Network, Allow, ""},
		"TCP, not granted":                   {"socket", args{unix.AF_INET, unix.SOCK_STREAM}, Threads | Write, Refused, ""},
		"raw":                                {"socket", args{unix.AF_INET, unix.SOCK_RAW}, AllGrants, noSupport, ""},
		"MPTCP":                              {"socket", args{unix.AF_INET, unix.SOCK_STREAM, 262}, AllGrants, noSupport, ""},
		"SCTP":                               {"socket", args{unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP}, AllGrants, noSupport, ""},
		"Unix":                               {"socket", args{unix.AF_UNIX, unix.SOCK_STREAM}, AllGrants, noSupport, ""},
		"netlink":                            {"socket", args{unix.AF_NETLINK, unix.SOCK_DGRAM}, AllGrants, noSupport, ""},
		"packet":                             {"socket", args{unix.AF_PACKET, unix.SOCK_DGRAM}, AllGrants, noSupport, ""},
		"vsock":                              {"socket", args{unix.AF_VSOCK, unix.SOCK_STREAM}, AllGrants, noSupport, ""},
		"kernel crypto":                      {"socket", args{unix.AF_ALG, unix.SOCK_SEQPACKET}, AllGrants, noSupport, ""},
		"a pair":                             {"socketpair", args{unix.AF_UNIX, unix.SOCK_STREAM}, 0, Allow, ""},
		"a pair of packets in turn":          {"socketpair", args{unix.AF_UNIX, unix.SOCK_SEQPACKET | unix.SOCK_NONBLOCK}, 0, Allow, ""},
		"a pair of datagrams":                {"socketpair", args{unix.AF_UNIX, unix.SOCK_DGRAM | unix.SOCK_CLOEXEC}, AllGrants, Refused, ""},
		"a pair of datagrams, garbage above": {"socketpair", args{unix.AF_UNIX, garbage | unix.SOCK_DGRAM}, AllGrants, Refused, ""},
		"a raw pair, which is of datagrams":  {"socketpair", args{unix.AF_UNIX, unix.SOCK_RAW}, AllGrants, Refused, ""},
		"a pair of something else":           {"socketpair", args{unix.AF_INET, unix.SOCK_STREAM}, AllGrants, Refused, ""},
		"fast open by sendto":                {"sendto", args{3, 0, 0, unix.MSG_FASTOPEN}, AllGrants, Refused, ""},
		"sendto":                             {"sendto", args{3, 0, 0, unix.MSG_NOSIGNAL}, 0, Allow, ""},
		"fast open by sendmsg":               {"sendmsg", args{3, 0, unix.MSG_FASTOPEN}, AllGrants, Refused, ""},
		"fast open by sendmmsg":              {"sendmmsg", args{3, 0, 1, unix.MSG_FASTOPEN}, AllGrants, Refused, ""},
		"no delay":                           {"setsockopt", args{3, unix.IPPROTO_TCP, unix.TCP_NODELAY}, 0, Allow, ""},
		"reuse an address":                   {"setsockopt", args{3, unix.SOL_SOCKET, unix.SO_REUSEADDR}, 0, Allow, ""},
		"keep alive, garbage above":          {"setsockopt", args{3, garbage | unix.SOL_SOCKET, garbage | unix.SO_KEEPALIVE}, 0, Allow, ""},
		"the resolver's errors":              {"setsockopt", args{3, unix.IPPROTO_IP, unix.IP_RECVERR}, Network, Allow, ""},
		"the resolver's errors, IPv6":        {"setsockopt", args{3, unix.IPPROTO_IPV6, unix.IPV6_RECVERR}, Network, Allow, ""},
		"IPv6 only":                          {"setsockopt", args{3, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY}, Network, Allow, ""},
		"a route":                            {"setsockopt", args{3, unix.IPPROTO_IP, unix.IP_OPTIONS}, AllGrants, Refused, ""},
		"a route, garbage above":             {"setsockopt", args{3, garbage | unix.IPPROTO_IP, garbage | unix.IP_OPTIONS}, AllGrants, Refused, ""},
		"a route, IPv6":                      {"setsockopt", args{3, unix.IPPROTO_IPV6, unix.IPV6_RTHDR}, AllGrants, Refused, ""},
		"a route, old IPv6":                  {"setsockopt", args{3, unix.IPPROTO_IPV6, unix.IPV6_2292RTHDR}, AllGrants, Refused, ""},
		"options of hops":                    {"setsockopt", args{3, unix.IPPROTO_IPV6, unix.IPV6_HOPOPTS}, AllGrants, Refused, ""},
		"options of the destination":         {"setsockopt", args{3, unix.IPPROTO_IPV6, unix.IPV6_DSTOPTS}, AllGrants, Refused, ""},
		"options of the route":               {"setsockopt", args{3, unix.IPPROTO_IPV6, unix.IPV6_RTHDRDSTOPTS}, AllGrants, Refused, ""},
		"all options of old":                 {"setsockopt", args{3, unix.IPPROTO_IPV6, unix.IPV6_2292PKTOPTIONS}, AllGrants, Refused, ""},
		"a source of choice":                 {"setsockopt", args{3, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO}, AllGrants, Refused, ""},
		"a device of choice":                 {"setsockopt", args{3, unix.SOL_SOCKET, unix.SO_BINDTODEVICE}, AllGrants, Refused, ""},
		"a multicast group":                  {"setsockopt", args{3, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP}, AllGrants, Refused, ""},
		"a packet filter":                    {"setsockopt", args{3, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER}, AllGrants, Refused, ""},
		"a protocol on top":                  {"setsockopt", args{3, unix.IPPROTO_TCP, unix.TCP_ULP}, AllGrants, Refused, ""},
		"working directory of all":           {"chdir", nil, AllGrants, Refused, SubInterpreter},
		"working directory of its own":       {"chdir", nil, 0, Allow, Process},
		"make a directory":                   {"mkdirat", nil, Write, Allow, ""},
		"make a symbolic link":               {"symlinkat", nil, AllGrants, Refused, ""},
		"make a hard link":                   {"linkat", nil, AllGrants, Refused, ""},
		"make a directory, not granted":      {"mkdirat", nil, Threads | Network, Refused, ""},
	} {
		t.Run(name, func(t *testing.T) {
			everyProgram(t, func(t *testing.T, o Options) {
				if c.only != "" && c.only != o.Backend {
					return
				}
				o.Grants = c.grants
				n, ok := o.Arch.Number(c.call)
				if !ok {
					t.Skipf("%s has no %s", o.Arch, c.call)
				}
				if got := eval(t, compiled(t, o), o.Arch.Call(n, c.args...)); got != c.want {
					t.Errorf("%s%v: %s, want %s", c.call, c.args, got, c.want)
				}
			})
		})
	}
}

// TestUnfilled: a hole that nobody filled lets no process be signalled.
func TestUnfilled(t *testing.T) {
	everyProgram(t, func(t *testing.T, o Options) {
		p, err := Compile(o)
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Holes()) == 0 {
			t.Fatal("the program has no holes")
		}
		n, _ := o.Arch.Number("tgkill")
		for _, pid := range []uint64{0, 1, me} {
			if got := eval(t, p, o.Arch.Call(n, pid, pid, WakeSignal)); got != Refused {
				t.Errorf("tgkill(%d): %s", pid, got)
			}
		}
	})
}

// TestGrantsOnlyAdd: no grant takes anything away, nor changes what is fatal.
func TestGrantsOnlyAdd(t *testing.T) {
	everyProgram(t, func(t *testing.T, o Options) {
		least := compiled(t, o)
		o.Grants = AllGrants
		most := compiled(t, o)
		for n := range 1024 {
			for _, c := range []Call{o.Arch.Call(n), o.Arch.Call(n, 1, 1, 1, 1, 1, 1), o.Arch.Call(n, glibcThread)} {
				a, b := eval(t, least, c), eval(t, most, c)
				if a == Allow && b != Allow || (a == KillProcess) != (b == KillProcess) {
					t.Errorf("%+v: %s, with all grants %s", c, a, b)
				}
			}
		}
	})
}
