// Package probe finds out what this kernel lets this process use, by using it: it loads
// and attaches small eBPF programs, puts Landlock and seccomp on threads that end with
// it, makes a control group, a namespace, an io_uring. It never concludes from a version,
// a configuration or a list: a kernel that lists "bpf" among its security modules may
// still refuse every program, and one that loads them may never call them.
//
// [Host] probes once and keeps the answer, [Run] probes afresh. Each [Row] of the
// [Features] says what was tried and what the kernel answered, so that doctor, spawn and
// a cell's confinement report show the same evidence.
//
// A probe leaves nothing behind: what it makes is closed, detached and removed before it
// returns. It changes nothing for other threads or processes, and the eBPF programs it
// attaches judge one thread of its own only. It takes some tens of milliseconds.
//
// Goroutines and threads end before Run returns.
package probe
