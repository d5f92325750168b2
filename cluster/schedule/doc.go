// Package schedule chooses the node that a new cell starts on.
//
// [Choose] is a function of what it is given: it asks nobody, has no state and reads no clock, and
// gives the same answer for the same nodes in whatever order. What it is given is a hint: what
// nodes say of themselves by gossip, and what the directory says of their cells. The node that it
// names looks for itself whether it has room, and whoever asked chooses again without that node
// when it has not.
//
// A node that cannot have the cell is left out, with the reason: it takes none now, it is not the
// node that was wished for, or has not the labels, the backend, the layers, the Python, the
// memory or the room. Of the others, [Spread] takes the one with the fewest cells of the tenant,
// and then the least of its memory and its cells in use; [Pack] the one with the most in use that
// still has room. Where two are alike, a hash of the cell's name decides, so that not all go to
// the node whose name is first.
//
// Errors: *[Refused], with the reason of each node.
package schedule
