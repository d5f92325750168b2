// Package numa places hosts on the nodes of a machine whose memory is not all equally near:
// a host's processors and its memory are then of one node.
//
// [Read] says which nodes there are for this process. [Topology.ParsePlacement] takes what
// an operator writes, "auto", "node 1" or "1", and refuses a node that is not there: the
// kernel would not, when it is told of one that might come. [Topology.Pick] chooses the node,
// and [Topology.On] starts a process there:
//
//	topology, err := numa.Read()
//	node, err := topology.Pick(placement, hosts)
//	err = topology.On(node.ID, cmd.Start)
//
// A process inherits both from the thread that forks it, so they hold before it has
// another thread, and for all that it starts. Its processors are bound to the node. Its memory
// prefers the node and comes from others once that is full: a binding would let the kernel end
// a host for want of memory while there is some left.
//
// Placement makes hosts faster and confines nobody. A process may choose other processors
// and nodes as far as its control group's cpuset goes, if its filter lets it; those of cells
// do not.
//
// The package starts no goroutine. A Topology is plain data, as of when it was read, and
// safe for concurrent use.
package numa
