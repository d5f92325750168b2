package seal

import (
	"fmt"
	"io"
)

// Connect runs a handshake as the initiator over rw and returns the session. It
// reads and writes nothing beyond the handshake's three messages. The caller
// sets a deadline on rw before and closes rw on an error.
func Connect(rw io.ReadWriter, cfg Config) (*Session, error) {
	in, hello, err := NewInitiator(cfg)
	if err != nil {
		return nil, err
	}
	defer in.Destroy()
	if err := send(rw, kindHello, hello); err != nil {
		return nil, err
	}
	answer, err := readMessage(rw, kindAnswer)
	if err != nil {
		return nil, refused(err)
	}
	confirm, s, err := in.Finish(answer)
	if err != nil {
		return nil, err
	}
	if err := send(rw, kindConfirm, confirm); err != nil {
		s.Destroy()
		return nil, err
	}
	return s, nil
}

// Accept runs a handshake as the responder over rw and returns the session. It
// reads and writes nothing beyond the handshake's three messages, and writes
// nothing at all to a peer without the launch secret. The caller sets a deadline
// on rw before and closes rw on an error.
func Accept(rw io.ReadWriter, cfg Config) (*Session, error) {
	r, err := NewResponder(cfg)
	if err != nil {
		return nil, err
	}
	defer r.Destroy()
	hello, err := readMessage(rw, kindHello)
	if err != nil {
		return nil, refused(err)
	}
	answer, err := r.Answer(hello)
	if err != nil {
		return nil, err
	}
	if err := send(rw, kindAnswer, answer); err != nil {
		return nil, err
	}
	confirm, err := readMessage(rw, kindConfirm)
	if err != nil {
		return nil, refused(err)
	}
	return r.Finish(confirm)
}

func send(w io.Writer, k kind, msg []byte) error {
	if _, err := w.Write(msg); err != nil {
		return refused(fmt.Errorf("send %v: %w", k, err))
	}
	return nil
}
