// Package node puts a node together: the policy store, what brings policies to cells, the
// kernel's layers, the launcher of cells, their capabilities, and the API in front of them.
// `pyisolate-node serve` is this package with flags; a program of your own embeds a node with
// it (examples/embed).
//
//	func main() {
//		node.Init() // first of all: cells' hosts are this program, executed again
//		n, err := node.Open(ctx, node.Config{Data: "/var/lib/mine", Socket: "/run/mine/node.sock"})
//		…
//		err = n.Serve(ctx) // until ctx ends: then it drains and closes
//	}
//
// States: a node is starting within [Open], ready when Open has returned, draining when
// [Node.Drain] was called or the context of [Node.Serve] has ended, ended after [Node.Close].
// It listens from within Open on: /healthz answers at once, /readyz says what it waits for,
// calls that need no cell are answered, and spawns wait until cells can be started.
//
// A draining node starts no cells and answers Unavailable to who asks for one. Calls that are
// under way go on until none runs code any more or [Config.DrainTimeout] is over, and then all
// cells end.
//
// A data directory is one node's: Open refuses one that another user owns or may write, that
// another process has, or that a newer version of this program has written.
//
// In a cluster: a node whose data directory has [ClusterDir] takes part in the cluster that it is a
// member of. Its cells are claimed in the cluster's directory (package fabric), its policies are those
// of all, and calls about other nodes' cells are passed on. Without a valid lease, or with policies
// that may be old, it starts nothing, [Node.Readiness] says so, and when the lease has lapsed its
// cells are ended. Draining tells the others, who start no cells here any more. A process has
// one such node at a time.
//
// Open makes this process's memory unreadable to other processes of its user
// (PR_SET_DUMPABLE), and changes its umask for a moment while it makes sockets.
//
// Goroutines: those of the parts, one for each listener, and one for each cell. Close ends them
// and waits. All methods may be called by any goroutine.
package node
