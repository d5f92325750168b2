// Package checkpoint keeps cells' states: sealed, so that whoever reads the disk or the wire
// learns nothing and changes nothing unnoticed; and under names that are hashes of what they
// name.
//
// A [Writer] seals a state as it comes, in pieces, with constant memory; a [Reader] opens it and
// gives no byte that it has not verified. What is sealed it treats as bytes: only a cell knows
// what they mean. A [Ring] has the keys, a key for each tenant, and a [Store] the files.
//
// The format, PYISOCK2:
//
//	magic "PYISOCK2" | length of the header, 4 bytes, big endian | header, JSON | chunks
//
// A chunk is the next [Header.Chunk] bytes under ChaCha20-Poly1305; the last may be shorter. Its
// nonce is 7 bytes of zero, the chunk's number in 4, and 1 for the last or 0; the authenticated
// data is the SHA-256 of all that stands before the first chunk. So chunks cannot be left out,
// exchanged, repeated or moved to another header. The key is derived by HKDF-SHA-256
// from the tenant's key or, of an export, from a secret that is sealed to the recipient
// (HPKE with X25519 and ML-KEM-768); salt is the header's, so that no two files have the same
// key; cell and epoch are part of it. Inside is one zstd or S2 stream, or the state as it is.
//
// To another node a checkpoint goes as it is, while it is sealed ([Archive.SealMirrored]) and with its key
// ([Ring.Share], [Ring.Adopt]). There an [Arrival] verifies it as it comes, and goes on where a stream broke
// off. What others count on is held and pinned ([Archive.Hold], [Archive.Pin]).
//
// Compatibility: a format has a number, and each release reads all that earlier ones wrote
// from PYISOCK2 on; testdata has a file of each. A state can be restored where Python has the same
// ABI as the header's, see [Header.Python].
//
// Goroutines: none that outlive a call. A Writer, a Reader and a Sealing are for one goroutine; a Ring, a
// Store, an Archive and an Arrival for any.
//
// Errors: [ErrFormat], [ErrKey], [ErrDamaged], [ErrTruncated], [ErrTooLarge], [ErrMismatch],
// [ErrNotFound], [ErrFull], [ErrOffset] and [ErrPinned], with what was wrong in the text.
package checkpoint
