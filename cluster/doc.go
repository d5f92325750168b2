// Package cluster is a node's part in a cluster: it puts together what the packages below it do, and
// nothing of a cluster is anywhere else.
//
// [Found] makes a cluster of one node and [Join] makes a node one of it, both in a directory of a
// node that does not run. [Open] takes part, and [Cluster.Close] ends that. What a caller gets:
//
//   - [Cluster.Group]: the directory of cells and the roster of nodes, agreed on by Raft;
//     [Cluster.Lease]: the node's right to run cells; see package group.
//   - [Cluster.Attach] and [Cluster.Via]: the cells of other nodes; see package remote.
//   - [Cluster.Policies] and [Cluster.Govern]: the policies' group.
//   - [Cluster.Wire] and [Cluster.Control]: streams to other nodes, and questions.
//   - [Cluster.Members], [Cluster.Status], [Cluster.Invite], [Cluster.Remove], [Cluster.Leave],
//     [Cluster.RotateKeys]: what operators do. Each works on any node.
//
// Who is a node: the roster says so, by the hash of the key in its certificate. A change of it is in
// force on a node when the node knows of it: then connections of those who are none end. A node
// keeps the roster it knew last on its disk, since what it has of Raft's log means nothing before
// a leader has said how much of it was agreed. A node that comes back may have missed
// that others have other keys, or that there are others: until it has caught up it takes a member's
// certificate that lapses later than those it knows, and asks those it knows for their roster.
//
// Who votes: the leader adds nodes that answer to the group, and lets up to five vote that have
// caught up, an odd number where it can be; the policies' group follows. Nobody is removed for not
// answering. One that is to be removed is retired first: the groups let go of it, and then it is cut
// off, never the other way round.
//
// Who signs: those who vote have the authority's key. Others pass on what only they can do.
//
// Gossip says who seems to be there. It makes this node ask, and decides nothing.
//
// Files, in Config.Dir: node.json (its addresses; without it the directory is nobody's),
// identity.pem, authority.pem (of those who vote), roster.json, directory/ (Raft's). All are for the
// owner alone.
//
// Goroutines: those of the packages it opens, and one each that does what the roster says, renews the
// certificate, catches up, leads, follows gossip, and answers new nodes. Close ends all. Methods are
// safe for concurrent use, from when Open has returned; callbacks of Config may come before.
//
// Errors: those of packages group, roster, pki and enroll, and the ones declared here.
package cluster
