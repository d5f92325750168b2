// Package seccomp makes the system-call filters of cells. One table says which calls a
// cell of each backend may make; [Compile] assembles it into a classic BPF program for
// one architecture, and nothing else decides.
//
// A program is an allow-list. What is on it is allowed, some of it only with certain
// arguments. A call that no Python and no C library makes (ptrace, bpf, mount,
// io_uring_setup, …) kills the process, as do those of another instruction set: i386 and
// x32. Everything else fails with EPERM, but clone3, whose flags no filter can see, and
// numbers younger than the table: those fail with ENOSYS, upon which C libraries take an
// older call. What needs a [Grant] fails with EPERM without it.
//
// # On which thread, and when
//
// A filter belongs to the thread that installs it and to what that thread starts, and it
// can never be taken off. A cell of backend "subinterpreter" installs it on its own
// thread, after its descriptors, user, capabilities and Landlock rules are in order. A
// cell of backend "process" does so before it has a second thread: memory is common to
// all threads, so one without a filter would act for the guest. A second, narrower
// program may follow at the claim, with [AllThreads]; the strictest answer of all counts.
//
// The other threads of a host of "subinterpreter" cells have no filter by this. A guest
// that can write memory may make those act for it: what a tenant's host process may do
// has to be bounded as a whole, too.
//
// # Installing it from C
//
// [Program.MarshalBinary] gives what a C cell needs, in the machine's byte order:
//
//	struct {
//	  uint32_t magic;               // 0x31434553, "SEC1"
//	  uint16_t length, holes;       // of the two arrays
//	  struct { uint16_t at, what; } hole[holes];   // what: 1 getpid(), 2 gettid()
//	  struct sock_filter program[length];
//	}
//
// The cell stores its own process or thread number, as it sees it itself, into program
// [at].k of each hole, and installs the program:
//
//	struct sock_fprog f = {length, program};
//	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
//	syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &f);
//
// Nothing of this allocates or calls into a library that might. A hole that is not filled
// matches no process: forgetting it makes the program stricter.
//
// The package starts no goroutine. A Program is immutable and safe for concurrent use.
package seccomp
