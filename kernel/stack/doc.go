// Package stack compiles a policy into the strongest stack of kernel layers that this
// kernel has, and says honestly what of the policy they hold.
//
// A policy puts duties on the kernel: judge files, judge addresses, bound processor time
// and so on. Each [Duty] is held by a layer, by the first of its list that is active:
//
//   - system calls: seccomp
//   - files: the guard's LSM programs; or the node, asked by a filter, where rules may be
//     replaced; or Landlock where it can hold every rule. Rules with globs only the node holds
//   - network: the guard's programs; or seccomp, which gives no sockets, where the policy has
//     no network
//   - threads: seccomp, and a control group where there is a number
//   - processor, memory, tasks: a control group, which a thread does not have to itself
//   - opens, connections, bytes and processor in total: the guard's programs
//
// The [Mode] says what becomes of a duty that no layer holds. [Hardened] fails with
// [ErrUnheld] and names it: nothing runs. [Dev] goes on and records it. [Compatibility]
// leaves out the filters that programs may trip over, seccomp and Landlock, on purpose, and
// records that, too. The [Report] goes with the cell into its status, logs and metrics.
//
// What comes out is plain data: a program and a ruleset for the cell to put on, limits for
// its group, and whether it is to be bound in the guard. In this order: descriptors, the guard's
// binding, the control group, Landlock, user and capabilities, seccomp last.
//
// [Requirements] are what hardened mode needs whatever the policy; doctor checks them.
//
// The package starts no goroutine; Compile is safe for concurrent use.
package stack
