// Package policystore keeps policy documents, their history, the tokens that may change
// them and the record of who did, on a Raft log: one node by itself without any
// configuration, several with a [Cluster].
//
// The API server and whoever embeds the node open one [Store] for each data directory.
// Documents are given by name, [Name] says how names look. Every change makes a new,
// immutable [Version] with the next number; a deletion is a version without text, and a
// rollback is a new version with an old one's text.
//
// What it guarantees:
//
//   - A change that was answered without error is on the disk, in the Raft log and in the
//     state, and survives a crash at any moment. A change that was answered with
//     [ErrUncertain], or whose context ended, may have been made: ask again with the same
//     request id, and it is made once.
//   - State depends on the log alone: the leader stamps the time, limits are constants, and
//     a node's own configuration decides nothing. Tenants have shares of the limits, and old
//     versions make room for new ones. Nodes that applied the same entries have
//     equal [Digest]s.
//   - Every change names its principal, whose authority is judged when it asks and again when
//     the change is applied, and leaves a record in a hash chain that [Store.VerifyAudit]
//     walks.
//   - Reads see every change answered before they began, at whatever node, unless they ask to
//     be [Stale].
//   - Any node of a cluster takes changes. They are made by the leader, and once, however often
//     nodes have to ask for them: what is repeated is known by its request id.
//   - A node that does not know that its policies are the newest says so ([Store.Fresh]), and
//     one that meets an entry or a snapshot of a newer version stops applying and says that.
//   - Watching costs the writer nothing: a watcher that falls behind the events that are kept
//     is told [ErrCompacted].
//   - Damage to a file is found when it is opened and named in a [CorruptError]; nothing that
//     was acknowledged disappears silently.
//
// What a node of a cluster says is believed as far as any of them could put it on the log: which
// principal asks. Whether that one may, and whether a document is right, the leader judges again.
//
// Goroutines: those of Raft, one that follows leadership, one that compacts a large log, in a cluster
// one that keeps fresh, and one for each change or fenced read that is under way. [Store.Close] ends
// them all and waits.
// All methods may be called from any goroutine.
//
// The state file, the log, its entries, snapshots and what nodes ask each other carry format
// versions; what is of a newer one is [ErrNewer]. An entry is written in the oldest format that can
// say it. Within version 1, fields may be added to records but not moved.
package policystore
