// Package kernel is the room of what the kernel enforces. It has no code itself:
//
//   - probe finds out, by doing it, what this kernel lets this process use
//   - policy is what a cell may do, as plain data
//   - seccomp makes the system-call filter of a cell
//   - landlock makes the file, port and scope rules of a cell's thread
//   - cgroup makes, finds again and removes the control groups of hosts and cells
//   - guard holds the eBPF programs that judge each thread by its cell's policy
//   - contract compiles assertions about what a cell does to eBPF programs for those hooks
//   - notify judges, where the guard does not, what a thread opens and changes by path
//   - numa places hosts on the nodes of a machine
//   - enforce is the node's half: it binds cells to the guard and puts them into groups
//   - measure takes figures of what the guard and notify cost
//   - stack compiles a policy into the strongest of these that the kernel has, and
//     reports what holds and what does not
//
// Whoever starts cells uses stack, and probe for its reports; cell/cpython applies
// what they made as bytes and descriptors, so that C code which must not allocate can.
// The room builds without cgo and imports nothing else of ours.
package kernel
