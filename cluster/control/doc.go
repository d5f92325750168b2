// Package control lets a node ask another one something and wait for the answer: to renew a
// certificate, to do at the leader what only the leader can. Requests and answers are bytes; what
// is in them is between those who [Control.Handle] and those who [Control.Ask].
//
// It is HTTP/2 on a stream of package wire. A handler is told which node asks, by its certificate,
// and has to decide what that node may ask for: a certificate says who somebody is, not what it
// may do.
//
// An error of Ask says what is known. [ErrNotDone]: no handler began, so that it can be tried
// elsewhere or again; [ErrTurnedAway], which is one, if that is the node's own answer. A [*Refusal]: the handler answered with an error. Anything else: the
// connection was lost, or the caller's time was up, and it may have been done. Nothing is ever sent
// twice.
//
// There is one connection to each node that is asked, opened when it is needed, and another for topics
// that are [Urgent]. One on which nothing comes back is given up after four seconds. A handler's context ends when the one who
// asks gives up, or is gone.
//
// One node has at most 64 requests under way at another, fewer of a topic that says so, and 64 more
// that are urgent. Requests and answers have at most
// [MaxSize] bytes.
//
// [Open] starts one goroutine that accepts; the HTTP server and client have theirs.
// [Control.Close] ends all and waits for the handlers. Methods are safe for concurrent use.
package control
