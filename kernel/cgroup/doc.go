// Package cgroup makes control groups for hosts and cells, bounds processor time, memory
// and tasks in them, and removes them again.
//
// [Open] finds out by doing it, per controller, where groups can be made: in the version 2
// hierarchy if the controller can be had there, else in its version 1 hierarchy; in the
// group that this process is in, else at the hierarchy's root. Machines with both versions
// are ordinary. What was tried, and what the kernel answered, is kept as evidence.
//
// # Lifetime
//
// All groups of a [Tree] lie in one directory per hierarchy that has the tree's name.
// Groups outlive the process that made them: after a restart, [Tree.List] names those that
// are there, and each is either adopted ([Tree.Adopt]) or removed. [Tree.Sweep] removes
// those that nobody wants. [Group.Remove] kills what is left in a group, waits until the
// kernel has let go of it, and removes it in every hierarchy. [Tree.Close] removes the
// tree's own directories once they are empty; it never kills.
//
// A group that could be made only in part is taken back: [Tree.Create] fails closed, with
// [ErrNoController] when a limit is asked for that no hierarchy can hold.
//
// The package starts no goroutine. A Tree and a Group are safe for concurrent use.
package cgroup
