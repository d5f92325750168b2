// Package members tells which nodes are there, by gossip: hashicorp/memberlist, sealed with keys of
// the cluster.
//
// It is a hint, and never more. Whoever has a key can say anything about anybody; who a node is,
// package pki says, and who belongs to the cluster, Raft. So what comes from here may make a node
// look, dial or propose, and what comes of that is decided elsewhere. That somebody is missing here
// takes nothing from it.
//
// [Start] takes part. [Members.Watch] begins with who is there and goes on with what changes.
// What a node says of itself is a [Meta], of at most [MaxMeta] bytes. Nodes that do not answer are
// reported as failed within three seconds, after others were asked to try as well.
//
// Gossip alone does not heal a cluster that fell into two: each half forgets the other. So members
// go to [Config.Seeds] again and again, all their life, and join at those that they do not see.
//
// Keys are AES-256. A rotation has three steps, each after all nodes have done the one before:
// [Members.AddKey], [Members.UseKey], [Members.RemoveKey]. The id of the cluster is outside each
// packet and bound to it: what comes from another cluster is dropped before it is opened.
//
// Against those who have no key: packets that do not open are dropped; at most 32 connections are
// looked at at a time, each for two seconds.
//
// Start starts memberlist's goroutines, one that joins again, and one that bounds connections.
// [Members.Close] ends them; those of memberlist may take a moment longer, and log nothing by then. All methods are safe for concurrent use.
package members
