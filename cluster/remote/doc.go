// Package remote lets actors of one node be asked by another: what is asked of a cell that runs
// elsewhere goes there in an envelope, and the answer comes back. It is what the nodes of a
// cluster hang on actors.System; it decides nothing about who runs what.
//
// Who may speak: connections are made and accepted by somebody else (package cluster/wire), who
// has authenticated both ends by certificates. What this package adds is that a node with a
// certificate can do no more than ask: of all that protoactor's remote would let it do, two of
// its messages pass, to one address, with our three types inside. Everything else ends the connection
// and is counted ([Stats]). The actors of cells are in another actor system, which no message
// from outside is addressed to.
//
// At most once: an envelope is sent once. When the connection is lost before the answer, the
// outcome is unknown, and the error says so. An envelope that is Acknowledged is sent again,
// with the same id, while the node that it first reached still runs; the cell does it once.
// An envelope is for one life of the receiving node, and is not done by a later one.
//
// Order: what one goroutine asks of one node after the other arrives in that order, as long as the
// connection lasts. There is one connection for each direction of each pair of nodes.
//
// Time: deadlines travel as what is left of them, so that clocks need not agree. The time on the
// way is not counted; a connection on which nothing comes through ends after 15 s.
//
// Backpressure: a link to a node has room for so much that is not sent, and so many questions
// that are not answered; whoever would exceed it is answered Busy at once. A node that is not
// there is dialled in the background, with pauses; who asks meanwhile is told at once.
//
// Topics: each node tells the others which topics are heard on it, and what is published goes to
// nodes where it is heard, once for each. What is published while two nodes are not connected is not
// delivered there.
//
// Goroutines: one for each link that is dialled or up, one for each envelope that is being
// answered, those of protoactor and gRPC, one that accepts and one that keeps links to the peers.
// [Remote.Close] ends all and waits for them.
//
// Errors are of package cell's vocabulary: Busy (not sent, try again), UnknownOutcome (sent, not
// answered), and whatever the cell answers.
package remote
