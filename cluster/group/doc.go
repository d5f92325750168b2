// Package group keeps the directory of cells on the nodes of a cluster, and a node's right to
// run what the directory says is its.
//
// A [Group] is one node's part in the Raft group of the [directory]. [Group.Propose] changes the
// directory from any node, [Group.Fence] makes what this node knows of it as new as the call, and
// [Group.Find] reads what it knows.
//
// A [Lease] is the node's session, kept by asking the leader again and again. While it is valid
// the node may run its cells. What is asked: when the answer does not come in time, the lease
// lapses a while before the leader would give the cells to others, and [Tenant.Lapsed] must end
// all guests within that while ([Config.Margin]). Whoever does something for a guest looks at
// [Lease.Valid] before.
//
// Time: leases are measured by a clock that counts from the machine's start, while it sleeps,
// too, and that nobody can set. It is assumed that such clocks of two machines do not drift by
// more than Margin in a lease; nothing else is assumed about time.
//
// Goroutines: Raft's, one that does the leader's work, and one for each Lease. [Group.Close] ends
// them. Methods may be called from any goroutine.
//
// Errors: those of [directory], and [ErrNoLeader] when nothing was proposed, [ErrUncertain] when
// it may have been, [ErrClosed].
package group
