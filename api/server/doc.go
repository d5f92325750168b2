// Package server answers the calls of the node's API: cells, policies, tokens, nodes and events,
// over the Connect, gRPC and gRPC-Web protocols; health, reflection and an OpenAPI document;
// and the pages that it is given.
//
// `pyisolate-node serve` makes one [Server] and lets it listen on a unix socket. Whoever
// embeds the node can give its handler a listener of their own. A server owns the actors of
// its cells, and reaches a cell in no other way: [Server.Actors] are for who registers the
// capability send, and for messages of an embedding program.
//
// What it guarantees:
//
//   - Every call has a [rule]: the least role, the most time. Nothing of a request's body is
//     read before it is known who asks, and that he may, and that there is room.
//   - On a unix socket the kernel says who asks. Root and the node's own user are admins; a
//     process that the node has started, or that is in other namespaces, as guests' are, is
//     not taken for the user that it runs as. Others show a token. Failed tokens are
//     limited by where they come from.
//   - A principal of a tenant reaches that tenant's policies and cells, and reads shared
//     policies.
//   - A call without a deadline ends when its token does, whoever else fails to show one.
//   - One principal has no more of what calls, bytes of requests and of answers, and cells there may be than it
//     leaves free, nor have a tenant's all together: whoever comes next finds some. A client that sends slowly, or takes nothing
//     of its answer, is not waited for.
//   - A cell is confined by its policy from its first instruction on. Each newer version
//     reaches it in order; when one cannot be put in force, all of the one before stays.
//   - What a guest says is made valid before it goes into an answer: it breaks none.
//   - In a cluster (Config.Fabric) it answers for the cells of all nodes: it passes calls on to the
//     node that has the cell, in the name of who called, once, or where the client wishes so again
//     until it is known what came of it. What another node passes on (Server.ServeNodes) is for this
//     one and goes no further.
//   - A request with a request_id is done once, for as long as its cell remembers it.
//   - Quarantine, Kill and Close wait for nothing that a cell has to do.
//   - Cells end when the server does.
//   - A panic is an error of its call. Errors have the words of package fault.
//
// Goroutines: the actors'; one for each incarnation of a cell, which waits for its end, and for each call those of package
// http and at most one more. [Server.Close] ends them.
package server
