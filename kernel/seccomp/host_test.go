package seccomp

import (
	"testing"

	"golang.org/x/sys/unix"
)

// What a host's filter says of the calls that matter, on each architecture that has them.
func TestHostFilter(t *testing.T) {
	const thread = threadFlags | unix.CLONE_SYSVSEM | unix.CLONE_SETTLS
	for name, c := range map[string]struct {
		call string
		args []uint64
		want Action
	}{
		"reads":                        {"read", nil, Allow},
		"writes to its channel":        {"write", nil, Allow},
		"sends on its channel":         {"sendto", nil, Allow},
		"starts a thread":              {"clone", []uint64{thread}, Allow},
		"forks":                        {"clone", []uint64{uint64(unix.SIGCHLD)}, Refused},
		"makes a namespace":            {"clone", []uint64{thread | unix.CLONE_NEWUSER}, Refused},
		"hides its flags":              {"clone3", nil, Missing},
		"leaves descriptors":           {"unshare", []uint64{unix.CLONE_FILES}, Allow},
		"leaves its user":              {"unshare", []uint64{unix.CLONE_NEWUSER}, Refused},
		"executes":                     {"execve", nil, Refused},
		"executes a descriptor":        {"execveat", nil, Refused},
		"opens to read":                {"openat", []uint64{0, 0, unix.O_RDONLY | unix.O_CLOEXEC | unix.O_DIRECTORY}, Allow},
		"makes a file":                 {"openat", []uint64{0, 0, unix.O_WRONLY | unix.O_CREAT}, Refused},
		"makes one without a name":     {"openat", []uint64{0, 0, unix.O_RDWR | unix.O_TMPFILE}, Refused},
		"empties a file":               {"openat", []uint64{0, 0, unix.O_WRONLY | unix.O_TRUNC}, Refused},
		"removes a file":               {"unlinkat", nil, Refused},
		"connects":                     {"connect", nil, Refused},
		"makes a socket":               {"socket", []uint64{unix.AF_UNIX}, Refused},
		"makes a pair":                 {"socketpair", []uint64{unix.AF_UNIX, unix.SOCK_STREAM | unix.SOCK_CLOEXEC}, Allow},
		"makes a pair of datagrams":    {"socketpair", []uint64{unix.AF_UNIX, unix.SOCK_DGRAM}, Refused},
		"makes a raw pair":             {"socketpair", []uint64{unix.AF_UNIX, unix.SOCK_RAW}, Refused},
		"preempts its own thread":      {"tgkill", []uint64{me, myThread, uint64(unix.SIGURG)}, Allow},
		"signals another":              {"tgkill", []uint64{me + 1, me + 1, uint64(unix.SIGKILL)}, Refused},
		"signals all":                  {"kill", []uint64{^uint64(0), uint64(unix.SIGKILL)}, Refused},
		"waits for no descriptor":      {"fcntl", []uint64{3, unix.F_SETFL, unix.O_NONBLOCK}, Allow},
		"lets one signal another":      {"fcntl", []uint64{3, unix.F_SETOWN, me + 1}, Refused},
		"lets one signal a group":      {"fcntl", []uint64{3, unix.F_SETOWN_EX}, Refused},
		"chooses the signal":           {"fcntl", []uint64{3, unix.F_SETSIG, uint64(unix.SIGKILL)}, Refused},
		"lets a socket signal":         {"ioctl", []uint64{3, 0x8901 /* FIOSETOWN */}, Refused},
		"lets a socket signal a group": {"ioctl", []uint64{3, 0x8902 /* SIOCSPGRP */}, Refused},
		"asks for signals":             {"ioctl", []uint64{3, 0x5452 /* FIOASYNC */}, Refused},
		"is this a terminal":           {"ioctl", []uint64{3, unix.TCGETS}, Allow},
		"seals its memory":             {"fcntl", []uint64{3, unix.F_ADD_SEALS}, Allow},
		"outlives the node":            {"prctl", []uint64{unix.PR_SET_PDEATHSIG, 0}, Refused},
		"lets itself be traced":        {"prctl", []uint64{unix.PR_SET_DUMPABLE, 1}, Refused},
		"names a tracer":               {"prctl", []uint64{unix.PR_SET_PTRACER}, Refused},
		"takes on no new privileges":   {"prctl", []uint64{unix.PR_SET_NO_NEW_PRIVS, 1}, Allow},
		"names a thread":               {"prctl", []uint64{unix.PR_SET_NAME}, Allow},
		"names a mapping":              {"prctl", []uint64{setVMA}, Allow},
		"reads a limit of its own":     {"prlimit64", []uint64{0, unix.RLIMIT_NOFILE, 0, 1}, Allow},
		"ends another by a limit":      {"prlimit64", []uint64{me + 1, unix.RLIMIT_CPU, 1}, Refused},
		"changes what a file says":     {"file_setattr", nil, Refused},
		"sets no delay":                {"setsockopt", []uint64{3, unix.IPPROTO_TCP, unix.TCP_NODELAY}, Allow},
		"routes by itself":             {"setsockopt", []uint64{3, unix.IPPROTO_IP, unix.IP_OPTIONS}, Refused},
		"loads a library":              {"mmap", []uint64{0, 4096, unix.PROT_READ | unix.PROT_EXEC, unix.MAP_PRIVATE}, Allow},
		"runs what it wrote":           {"mprotect", []uint64{0, 4096, unix.PROT_READ | unix.PROT_EXEC}, Refused},
		"has memory to write and run":  {"shmget", []uint64{0, 4096, 0o700}, Refused},
		"runs memory of others":        {"shmat", []uint64{0, 0, 0o100000 /* SHM_EXEC */}, Refused},
		"becomes root":                 {"setresuid", nil, Refused},
		"traces":                       {"ptrace", nil, KillProcess},
		"loads a program":              {"bpf", nil, KillProcess},
		"passes filters by":            {"io_uring_setup", nil, KillProcess},
		"mounts":                       {"mount", nil, KillProcess},
	} {
		for _, arch := range Arches {
			t.Run(name+"-"+string(arch), func(t *testing.T) {
				n, ok := arch.Number(c.call)
				if !ok {
					t.Skipf("%s has no %s", arch, c.call)
				}
				p, err := CompileHost(arch, 0)
				if err != nil {
					t.Fatal(err)
				}
				if got := eval(t, p.Fill(me, myThread), arch.Call(n, c.args...)); got != c.want {
					t.Errorf("%s gives %s, want %s", c.call, got, c.want)
				}
			})
		}
	}
}

// Another architecture's calls, and x32's, end the host as they end a cell.
func TestHostFilterKnowsOneArchitecture(t *testing.T) {
	p, err := CompileHost(AMD64, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := eval(t, p.Fill(me, myThread), ARM64.Call(0)); got != KillProcess {
		t.Errorf("arm64: %s", got)
	}
	if got := eval(t, p.Fill(me, myThread), AMD64.Call(x32Bit|39)); got != KillProcess {
		t.Errorf("x32: %s", got)
	}
}

// What the cells of a host are granted, the host is.
func TestHostFilterWithGrants(t *testing.T) {
	for name, c := range map[string]struct {
		grant Grant
		call  string
		args  []uint64
		want  Action
	}{
		"makes a file":     {Write, "openat", []uint64{0, 0, unix.O_WRONLY | unix.O_CREAT}, Allow},
		"removes one":      {Write, "unlinkat", nil, Allow},
		"makes a link":     {Write, "symlinkat", nil, Refused},
		"makes a device":   {Write, "mknodat", nil, Refused},
		"network by write": {Write, "connect", nil, Refused},
		"makes a socket":   {Network, "socket", []uint64{unix.AF_INET6, unix.SOCK_STREAM | unix.SOCK_CLOEXEC}, Allow},
		"a raw one":        {Network, "socket", []uint64{unix.AF_INET, unix.SOCK_RAW}, Refused},
		"a packet one":     {Network, "socket", []uint64{unix.AF_PACKET, unix.SOCK_DGRAM}, Refused},
		"connects":         {Network, "connect", nil, Allow},
		"listens":          {Network, "listen", nil, Refused},
		"write by network": {Network, "unlinkat", nil, Refused},
	} {
		p, err := CompileHost(AMD64, c.grant)
		if err != nil {
			t.Fatal(err)
		}
		n, _ := AMD64.Number(c.call)
		if got := eval(t, p.Fill(me, myThread), AMD64.Call(n, c.args...)); got != c.want {
			t.Errorf("%s: %s gives %s, want %s", name, c.call, got, c.want)
		}
	}
}
