// Package host is what runs inside a host process: it serves many cells of one
// tenant over one [wire.Conn]. The node starts the process and package
// cell/launch speaks to it; [Main] is its whole life, [Serve] the same on a
// connection of the caller's choice.
//
// An [Executor] makes the other end of a cell's ring: a thread with a
// sub-interpreter, or a process that is forked or executed. The host knows nothing about Python; it
// moves frames between the rings and the connection, and enforces every limit
// that can be enforced from outside: deadlines, CPU budgets, queue lengths,
// output bytes, log rates. Guests are hostile: what does not add up ends the
// cell, and one cell's flood blocks only that cell.
//
// Goroutines: one reads the connection and never blocks on a cell. Each cell
// has a drain (takes frames out), and when it has ended a watcher (gives its
// resources back). All end before Serve returns, except those held by a worker
// that is stuck in C; then the process is about to end.
//
// An operation that is interrupted is answered with the reason. A cell that
// does not obey within the grace is killed; a worker that cannot be killed makes
// the host retire: it takes no more claims and ends when its other cells have,
// or their grace is over.
package host
