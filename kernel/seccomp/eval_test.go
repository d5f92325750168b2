package seccomp

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

var update = flag.Bool("update", false, "write the golden files")

const (
	me       = 4242
	myThread = 4243
)

// compiled is a program with its holes filled for me and myThread.
func compiled(t testing.TB, o Options) Program {
	t.Helper()
	p, err := Compile(o)
	if err != nil {
		t.Fatal(err)
	}
	return p.Fill(me, myThread)
}

func eval(t testing.TB, p Program, c Call) Action {
	t.Helper()
	a, err := p.Eval(c)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func everyProgram(t *testing.T, test func(t *testing.T, o Options)) {
	for _, arch := range Arches {
		for _, backend := range Backends {
			t.Run(string(backend)+"-"+string(arch), func(t *testing.T) {
				test(t, Options{Backend: backend, Arch: arch})
			})
		}
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is another (run the test with -update if that is meant):\n%s", file, diff)
	}
}

// TestGoldenPrograms pins the assembled instructions, with every grant.
func TestGoldenPrograms(t *testing.T) {
	everyProgram(t, func(t *testing.T, o Options) {
		o.Grants = AllGrants
		p, err := Compile(o)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, fmt.Sprintf("program-%s-%s.txt", o.Backend, o.Arch), p.String())
	})
}

// TestGoldenVerdicts walks every number of each architecture, and pins the verdict
// without grants and with each, with arguments of zero and of all ones.
func TestGoldenVerdicts(t *testing.T) {
	everyProgram(t, func(t *testing.T, o Options) {
		names := o.Arch.names()
		programs := map[Grant]Program{}
		grants := []Grant{0, Threads, Network, Write}
		for _, g := range grants {
			o.Grants = g
			programs[g] = compiled(t, o)
		}
		var b strings.Builder
		for n := 0; n <= o.Arch.last()+1; n++ {
			name := cmp.Or(names[n], "-")
			fmt.Fprintf(&b, "%d %s:", n, name)
			ones := ^uint64(0)
			base := [2]Action{eval(t, programs[0], o.Arch.Call(n)), eval(t, programs[0], o.Arch.Call(n, ones, ones, ones, ones, ones, ones))}
			fmt.Fprintf(&b, " %s %s", base[0], base[1])
			for i, g := range grants[1:] {
				with := [2]Action{eval(t, programs[g], o.Arch.Call(n)), eval(t, programs[g], o.Arch.Call(n, ones, ones, ones, ones, ones, ones))}
				if with != base {
					fmt.Fprintf(&b, "; with %s: %s %s", grantNames[i].name, with[0], with[1])
				}
			}
			b.WriteByte('\n')
		}
		golden(t, fmt.Sprintf("verdicts-%s-%s.txt", o.Backend, o.Arch), b.String())
	})
}

// TestTreeEqualsTable holds the assembled search to the table, call by call.
func TestTreeEqualsTable(t *testing.T) {
	everyProgram(t, func(t *testing.T, o Options) {
		for g := range AllGrants + 1 {
			o.Grants = g
			p := compiled(t, o)
			of, err := decisions(o)
			if err != nil {
				t.Fatal(err)
			}
			for n := 0; n < 1024; n++ {
				want, known := of[n]
				if !known {
					want.action = Refused
					if n > o.Arch.last() {
						want.action = Missing
					}
				}
				if want.clauses != nil {
					continue // TestArguments
				}
				if got := eval(t, p, o.Arch.Call(n)); got != want.action {
					t.Errorf("grants %d: call %d: %s, want %s", g, n, got, want.action)
				}
			}
		}
	})
}

// TestForeign: calls of other instruction sets kill, whatever their number.
func TestForeign(t *testing.T) {
	const i386, arm = unix.AUDIT_ARCH_I386, unix.AUDIT_ARCH_ARM
	everyProgram(t, func(t *testing.T, o Options) {
		o.Grants = AllGrants
		p := compiled(t, o)
		for n := int32(0); n < 1024; n++ {
			for _, arch := range []uint32{i386, arm, unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_AARCH64, 0} {
				if arch == o.Arch.audit() {
					continue
				}
				if got := eval(t, p, Call{Number: n, Arch: arch}); got != KillProcess {
					t.Errorf("call %d of architecture %#x: %s", n, arch, got)
				}
			}
			want := Missing // arm64 has no x32
			if o.Arch == AMD64 {
				want = KillProcess
			}
			if got := eval(t, p, o.Arch.Call(x32Bit|int(n))); got != want {
				t.Errorf("call %d of x32: %s, want %s", n, got, want)
			}
		}
		for _, n := range []int32{-1, -0x80000000, 0x7fffffff} {
			if got := eval(t, p, Call{Number: n, Arch: o.Arch.audit()}); got == Allow {
				t.Errorf("call %d is allowed", n)
			}
		}
	})
}

// TestNever: what must be fatal on both backends, with every grant.
func TestNever(t *testing.T) {
	everyProgram(t, func(t *testing.T, o Options) {
		o.Grants = AllGrants
		p := compiled(t, o)
		check := func(names string, allowed func(Action) bool) {
			for name := range fields(names) {
				if n, ok := o.Arch.Number(name); ok {
					if got := eval(t, p, o.Arch.Call(n)); !allowed(got) {
						t.Errorf("%s: %s", name, got)
					}
				}
			}
		}
		check(`io_uring_setup io_uring_enter io_uring_register bpf ptrace process_vm_readv process_vm_writev perf_event_open
			keyctl add_key request_key userfaultfd mount umount2 move_mount open_tree fsopen fsconfig fsmount pivot_root
			init_module finit_module kexec_load open_by_handle_at iopl ioperm modify_ldt`, func(a Action) bool { return a == KillProcess })
		check(`unshare setns execve execveat fork vfork kill tkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_send_signal pidfd_open
			chroot setuid setresuid setgid setgroups capset chmod fchmod fchmodat chown setxattr mknod mknodat sethostname
			memfd_create shmget semget msgget mq_open inotify_init1 signalfd4 timer_create setpriority sched_setaffinity
			sched_setscheduler sync syncfs clock_settime splice tee vmsplice pkey_mprotect nice setpgid setsid`,
			func(a Action) bool { return a == Refused })
		check("clone3", func(a Action) bool { return a == Missing })
	})
}

func TestTableNames(t *testing.T) {
	seen := map[string]int{}
	for i, r := range table {
		if r.why == "" {
			t.Errorf("rule %d (%s) says no why", i, r.names)
		}
		if r.never && (r.fails != 0 || r.when != nil || r.needs != 0) || r.fails != 0 && r.when != nil {
			t.Errorf("rule %d (%s) has parts that exclude each other", i, r.names)
		}
		for name := range fields(r.names) {
			if _, ok := numbers[name]; !ok && !slices.Contains([]string{"nfsservctl"}, name) {
				t.Errorf("%s: no architecture has it", name)
			}
			seen[name]++
		}
	}
	for name, n := range seen {
		if n > len(Backends) {
			t.Errorf("%s is in %d rules", name, n)
		}
	}
}
