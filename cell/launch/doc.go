// Package launch is the node's side of host processes: it starts one host per
// tenant and backend, claims cells in it and gives the caller a [cell.Cell].
//
// A host that dies takes its cells with it: they answer CellGone with the reason,
// and the next host starts after a backoff. A host that retires gets no new
// cells and another takes its place at once. A host that does not answer when it
// must is killed, and one that has had no cell for a while is ended; the next spawn
// starts another.
//
// Where the node is root, each process cell runs as a user of its own (see [Users]),
// and a host of threads without capabilities. What the machine refuses a cell does
// without: [Stats] and the cell's report say so.
//
// Goroutines: the launcher has one locked thread that starts processes, because
// a host dies with the thread that started it. Each host has a reader, which
// calls the sinks of its cells, and a waiter. All end with Close.
package launch
