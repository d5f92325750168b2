// Package launch is the node's side of host processes: it starts one host per
// tenant and backend, claims cells in it and gives the caller a [cell.Cell].
//
// A host that dies takes its cells with it: they answer CellGone with the reason,
// and the next host starts after a backoff. A host that retires gets no new
// cells and another takes its place at once. A host that does not answer when it
// must is killed.
//
// Goroutines: the launcher has one locked thread that starts processes, because
// a host dies with the thread that started it. Each host has a reader, which
// calls the sinks of its cells, and a waiter. All end with Close.
package launch
