package seal

import "errors"

var (
	// ErrHandshake: the handshake was refused or could not be completed. The
	// text says which check failed and is for the local log only: the caller
	// closes the transport and tells the peer nothing.
	ErrHandshake = errors.New("seal: handshake refused")
	// ErrEnded: the session is over, because of a frame that is not the next
	// one of this session, a spent counter, or Destroy. It stays so.
	ErrEnded = errors.New("seal: session ended")
	// ErrTooLarge: the plaintext exceeds MaxPlaintext. Nothing was sealed and
	// the session goes on.
	ErrTooLarge = errors.New("seal: plaintext too large")
	// ErrOverlap: the plaintext lies in the part of dst that Seal writes to, but
	// not where the frame's own plaintext goes. Nothing was sealed and the
	// session goes on.
	ErrOverlap = errors.New("seal: plaintext overlaps the frame")
	// ErrSecret: the launch secret is missing, too short, all zero, or was
	// destroyed, as every handshake does with its own.
	ErrSecret = errors.New("seal: no launch secret")
	// ErrConfig: a Config or the name of a suite is not valid.
	ErrConfig = errors.New("seal: invalid configuration")
)
