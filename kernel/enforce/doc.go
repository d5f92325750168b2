// Package enforce is the node's half of the kernel's layers: what is put around a cell from
// outside, while Landlock and seccomp are put on by the cell itself.
//
// An [Enforcer] has the guard's programs and the tree of control groups, as far as this
// kernel and this user have them. [Enforcer.Enroll] takes in a host when it has started,
// [Enforcer.Seat] a thread or process of it that is to become a cell, before any guest runs
// there: it is bound in the guard, by a policy that gives what Python itself needs, and a
// process gets a group of its own. [Seat.Put] gives the seat its cell's policy and limits,
// at the claim and at every change: one word is published, some files are written.
//
// A host may lie about which of its threads is which cell: it can exchange the policies of
// its own cells, which are all of one tenant. Tasks of others it cannot name: [Find] looks
// among the host's own threads and descendants only.
//
// [Seat.Close] takes everything away. The cell's number in the guard is used again only when
// its task is gone; until then it denies everything.
//
// An Enforcer with programs owns a goroutine that reads their events, until Close. An Enforcer and
// its Seats are safe for concurrent use.
package enforce
