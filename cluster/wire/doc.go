// Package wire is the one port that the nodes of a cluster talk to each other on: TLS by package
// pki in both directions, and streams for several users, told apart in the handshake (ALPN).
//
// [Listen] opens the port. A user takes what others open with [Wire.Listener] and opens a stream
// itself with [Wire.Dial], by the name of a node; [Wire.StreamLayer] is both, for Raft. Every
// [Conn] tells who is at the other end. Dial returns when the other node has accepted, so that its
// refusals are errors of Dial and not of the first read.
//
// [Join] is the stream for those who have no certificate yet. Whoever reads from it reads from a
// stranger. It has bounds of its own, and no connection on it lasts longer than [Limits.JoinTime].
//
// What the package guarantees against strangers: at most [Limits.Handshakes] cost memory or a
// descriptor at any time, and none for longer than [Limits.HandshakeTime]. When there are more, the
// oldest of the same address goes, or the oldest of all: one that is honest takes milliseconds. The
// price of flooding a node is paid before its certificates are looked at, per address.
//
// A node that is not allowed any more, or whose certificate has expired, loses its connections: at
// the next [Wire.Recheck], which also runs every [Limits.Recheck]. What was opened with an old
// certificate is opened again with the new one; users have to expect that connections end.
//
// Listen starts one goroutine that accepts and one that rechecks, and one for each handshake.
// [Wire.Close] ends them, and all connections. All methods are safe for concurrent use.
package wire
