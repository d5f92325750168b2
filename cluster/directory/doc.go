// Package directory says which node runs which cell: a record for each cell that all nodes
// agree on, kept on a Raft log.
//
// [State] is what the log makes of it: it depends on the entries alone, reads no clock and asks
// nobody. Every change is a [Command] that names the epoch it is about, so that one that comes
// late, twice or from a node that was declared dead changes nothing.
//
// A node takes part with a session ([Open]), which it keeps by a lease; when the lease has
// lapsed the leader ends the session ([End]), and its cells are given to a node that has a
// copy of their checkpoint, or suspended. So is a cell that its owner cannot run ([Yield]); a node that has
// yielded it gets it again only by [Adopt], or with another checkpoint. A lapsed session never comes back: the node opens
// another, and finds that its cells are not its own any more.
//
// What State guarantees, whatever is applied in whatever order:
//
//   - A cell has one owner at a time, and every change of owner has a higher epoch. Epochs of a
//     name are never used again, also not after it was released.
//   - The owner of a cell, and the target of its migration, have sessions that are open.
//   - When a move comes to nothing, the checkpoint that counted before it counts again, and its copies do.
//   - A checkpoint that a cell needs keeps at least one copy, and of a frozen cell source
//     and target both have one.
//
// That a cell runs at one place only takes more: nodes start what is committed to be theirs,
// and stop before their lease has lapsed. The model in the tests has both, drives this very
// State, and looks at all interleavings of three nodes, of which some are stopped or crash. It has the
// guest that a source holds frozen, and a message that is on its way to the cell: without faults it is done
// once, wherever the cell is when it comes.
//
// Errors say why nothing changed: [ErrStale] is the answer to whoever was overtaken.
package directory
