// Package raftlog is what Raft keeps on the disk: its log and stable values in one bbolt file
// ([Log]), what a node has promised to the others and to itself after a restart; and its
// snapshots ([Snapshots]), a file each.
//
// Package policystore opens both for each data directory and hands them to Raft, which calls
// them from its own goroutines; this package has none.
//
// It guarantees that what StoreLogs, DeleteRange and the setters return without error
// is on the disk, all of it or nothing, and that damage is found: [Open] checks the file's
// structure, that the entries from the first to the last are all there, and each entry's
// checksum, and names what is wrong in a [Damage]. The log has no gaps ([Log.IsMonotonic]):
// Raft then empties it when a snapshot is installed, instead of leaving a gap that could not
// be told from a loss.
//
// What it cannot see by itself is that a file was exchanged for an older copy of itself. The
// state that was made from the log knows how far it had come; policystore compares.
//
// Snapshots are read whole when their directory is opened. Raft's own snapshot store leaves out
// what it cannot read, and nothing protects its descriptions; here both are damage.
//
// The file's format is in its header. Entries have a format of their own, so that new ones
// can stand beside old ones.
package raftlog
