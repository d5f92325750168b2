// Package seal is the authenticated, encrypted channel between a node (the
// initiator) and one of its hosts (the responder). It turns byte slices into
// byte slices and knows no transport; [Connect] and [Accept] run the handshake
// over whatever is an io.ReadWriter. docs/protocol.md describes every byte.
//
// The two sides share a 32-byte launch [Secret], which the node makes for one
// host and hands over when it starts it. A handshake of three messages combines
// it with an ephemeral key exchange, by default the hybrid X-Wing (X25519 and
// ML-KEM-768), and gives a [Session]: a [Sealer] for one direction and an
// [Opener] for the other. Both sides have then proved that they know the
// secret, saw the same messages and allow the same [Suite].
//
// What it guarantees:
//
//   - A handshake that was changed, replayed, reflected, cut short or extended,
//     that offers or answers a suite the local policy does not allow, or that
//     comes from a peer without the secret, fails with [ErrHandshake] before
//     any frame is accepted. The peer is told nothing; the caller closes.
//   - An Opener returns the frames of its session and direction, each once, in
//     order, unchanged. Anything else ends the session for good, in both
//     directions, with [ErrEnded].
//   - Sizes are checked before anything is allocated, and no input panics.
//   - Keys are replaced after 2^32 frames or an hour, and secrets are
//     overwritten when they have served.
//
// What it does not: it hides neither the number, size and time of frames nor
// that there is a channel. A session has the secrets of a peer that is itself
// compromised.
//
// # Overwritten secrets
//
// Secrets are overwritten where this package keeps them, and inside the key
// objects of the libraries it uses. Go gives no more than that: a goroutine's
// stack may have been copied when it grew, registers are spilled, and hash
// states and temporaries inside the standard library and circl stay on the
// heap until the memory is used again. Whoever can read the process's memory
// during a session has the session's keys in any case.
//
// # Threading
//
// The package starts no goroutine. A Sealer and an Opener each belong to one
// goroutine at a time; the two of one session are independent. Nothing else is
// safe for concurrent use unless it says so.
//
// # Compatibility
//
// The protocol has a version, and its test vectors are in testdata. A change of
// a single byte on the wire is a new version; there is no negotiation of it.
package seal
