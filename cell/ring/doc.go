// Package ring is the host's end of the shared memory a cell is reached
// through: one [Region] per cell, a pair of byte rings, an interrupt word and a
// few counters. The cell's end is written in C (cell/cpython/ring.h); the two
// files are two views of one layout and change together.
//
// The cell is hostile. The host keeps its own copy of every counter it owns,
// reads the cell's words once, checks them and copies a payload out before
// anybody looks at it. Whatever does not add up is [ErrProtocol]; the caller
// answers it by killing the cell. A region never blocks one cell's host side on
// another cell's behaviour.
//
// Threading: any goroutine may Send; frames do not mix. Frames are consumed by
// one goroutine at a time: the owner of the cell runs [Region.Serve], and a
// goroutine that has just sent may look for its answer itself with
// [Region.Poll], which saves the wake-up of the other. Close makes every
// blocked call return [ErrClosed]; Free gives the memory back and must come
// after the cell's end, because the cell writes to this memory and to the bell.
//
// Compatibility: the layout carries a magic number and belongs to one build of
// the binary; both ends are always of the same build.
package ring
