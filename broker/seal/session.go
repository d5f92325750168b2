package seal

import (
	"errors"
	"sync/atomic"
)

// Session is an established channel, seen from one side. Out and In may be used
// by different goroutines.
type Session struct {
	Out *Sealer // seals what this side sends
	In  *Opener // opens what the peer sent
	// ID is the same on both sides, and no other session has it. It is not secret.
	ID [32]byte
	// Suite is the key exchange in use.
	Suite Suite
}

// newSession derives the session from a handshake in which everything was said.
func newSession(h *handshake, suite Suite, out, in string) (*Session, error) {
	said := h.said.sum()
	s := &Session{Suite: suite}
	expand(s.ID[:], h.keys.main[:], labelSession, said)
	ended := new(atomic.Bool)
	s.Out = &Sealer{
		direction: direction{ended: ended},
		clock:     h.cfg.clock, began: h.cfg.clock(),
		rekeyFrames: h.cfg.RekeyFrames, rekeyAfter: h.cfg.RekeyAfter,
	}
	s.In = &Opener{direction{ended: ended}}
	expand(s.Out.secret[:], h.keys.main[:], out, said)
	expand(s.In.secret[:], h.keys.main[:], in, said)
	if err := errors.Join(s.Out.start(&s.ID), s.In.start(&s.ID)); err != nil {
		s.Destroy()
		return nil, err
	}
	return s, nil
}

// Destroy ends the session and overwrites its keys. No Seal or Open may be under
// way. It may be called more than once.
func (s *Session) Destroy() {
	s.Out.Destroy()
	s.In.Destroy()
}
