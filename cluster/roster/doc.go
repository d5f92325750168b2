// Package roster says who belongs to a cluster: its nodes and where they are, the invitations that
// are open, and the keys of its gossip; kept on the same Raft log as the directory of cells.
//
// [State] is what the log makes of it. Like the directory's it depends on the entries alone: the
// time at which an invitation lapses is the proposer's, in the entry.
//
// What it guarantees: a name is one node's, by the public key that it joined with or has renewed; a
// node that was removed does not come back under its old keys; an invitation lets in one node; a
// gossip key is used before an older one goes.
//
// [State.Allow] is for connections: whether a certificate is one that the cluster still knows.
package roster
