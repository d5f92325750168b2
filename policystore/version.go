package policystore

import "time"

// Version is one immutable state of a policy.
type Version struct {
	Name string
	// Number counts a policy's versions, without gaps: from 1, but for a policy that is made
	// after its tenant had a deleted one forgotten, from above that one's.
	Number uint64
	// Index is of the Raft log entry that made it; it orders versions of all policies.
	Index uint64
	// Hash is the SHA-256 of Text; zero when Deleted.
	Hash [32]byte
	// Text is the document as it was given. Listings and histories leave it out.
	Text    []byte
	Author  string
	Comment string
	// Time is when the leader proposed it; it never goes back from one index to the next.
	Time time.Time
	// Deleted marks a version that removed the policy.
	Deleted bool
	// Source is where the text came from: "" for a put, "rollback:N" for a rollback to
	// version N, and what [PutRequest.Source] said.
	Source string
}

// PutRequest makes a new version.
type PutRequest struct {
	Name string
	Text []byte // 1 byte to MaxText
	// Expect, when not nil, is the number that the newest version must have: 0 for a
	// policy that does not exist or is deleted.
	Expect *uint64
	// Comment says why: at most 1 KiB.
	Comment string
	// RequestID makes repeating the request harmless: the version that the first one made
	// is answered. At most 128 bytes, "" for none; per token, or name and tenant of a
	// principal without one; the last 4,096 of all
	// are remembered. Using one for something else is ErrInvalid.
	RequestID string
	// Source is where the text was fetched from, if it was: at most 2 KiB.
	Source string
}

// DeleteRequest makes a version without text, after which the policy does not exist.
// Fields are as in [PutRequest].
type DeleteRequest struct {
	Name      string
	Expect    *uint64
	Comment   string
	RequestID string
}

// RollbackRequest makes a new version with the text of version To.
// Other fields are as in [PutRequest].
type RollbackRequest struct {
	Name      string
	To        uint64
	Expect    *uint64
	Comment   string
	RequestID string
}

// rollbackSource begins the source of a version that a rollback made.
const rollbackSource = "rollback:"

// Consistency is what a read may miss.
type Consistency uint8

const (
	// Linearizable reads see every change that was answered, at any node, before they began. In a
	// cluster they cost a question to the leader, which asks a majority.
	Linearizable Consistency = iota
	// Stale reads see what this node has applied, and ask nobody: the index of a version or
	// listing says how old that is, [Store.Staleness] how old at most.
	Stale
)

// ListRequest chooses policies.
type ListRequest struct {
	Prefix string // of names
	After  string // names after this one
	Limit  int    // 0 is all
	// Deleted includes policies whose newest version is a deletion.
	Deleted bool
	// Of is whose policies are listed, as far as he may read them; nil: all are.
	Of *Principal
}

// Listing is the newest versions, by name, without texts.
type Listing struct {
	Versions []Version
	// Index is of the last change the listing can have seen: watch from here.
	Index uint64
	// More is true when Limit cut the listing: ask again after the last name.
	More bool
}
