// Package fabrictest runs a cluster of real nodes for tests: each is a process of the built
// program with a data directory of its own, on a network whose links can be cut and made bad.
//
// [New] makes the places and [Fabric.Form] a cluster on them. [Plan] draws faults from a seed and
// [Fabric.Do] has one happen: links are cut, one way too, slowed and made lossy; nodes are stopped
// and go on, killed, ended and started again. A [Workload] calls the nodes meanwhile, every one at
// its own socket, which no fault of the network reaches: so a node that is cut off is still asked,
// and gives itself away if it does what it must not.
//
// What clients saw is a [History]. It is judged by [History.Check]: policies and counters of cells
// must be what they would be if there were one client at a time, and a cell must have run at one
// place at a time, which guests attest themselves with the machine's clock. [Fabric.Converge] waits
// until all nodes are whole and agree, and [Fabric.Close] tells about processes that are left.
//
// Nodes are in network namespaces where that is permitted (package netlab), and at addresses
// 127.0.0.N otherwise: then no link can be cut, and faults of links are left out and said.
//
// Nothing here is used by the program itself. Methods of Fabric and Node are safe for concurrent
// use, but for those that start and end the same node.
package fabrictest
