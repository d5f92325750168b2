// Package enroll gives nodes their certificates: to a new node in exchange for a join token, and to
// a node whose certificate has lived two thirds of its life.
//
// [Serve] answers new nodes, on the stream wire.Join. It reads one petition of at most
// [MaxPetition] bytes from each, and leaves to [Config.Admit] whether the node is let in: that has to
// redeem the invitation in the state that all nodes share before it signs. A stranger is told why
// the token did not do, but for that nothing of the cluster.
//
// [Join] is the new node's side. The key is made here and stays here. When the answer is lost,
// Join asks again for the same key, which [pki.Invite.Redeem] permits.
//
// [Keep] renews a node's certificate for as long as it runs, with [SignedBy], which asks nodes that
// is the caller's, such as by package control; the other side signs for the name that asks.
//
// Serve runs until its listener is closed, and ends its goroutines, one for each new node, before it
// returns. The other functions start none.
package enroll
