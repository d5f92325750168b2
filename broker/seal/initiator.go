package seal

import (
	"fmt"
)

// Initiator is the node's side of one handshake. After an error nothing but
// Destroy makes sense, and it has been done.
type Initiator struct {
	handshake
	key privateKey
}

// NewInitiator begins a handshake and returns the first message for the peer.
func NewInitiator(cfg Config) (in *Initiator, hello []byte, err error) {
	in = &Initiator{}
	if err := in.start(cfg); err != nil {
		return nil, nil, err
	}
	hello, err = in.greet()
	if err != nil {
		in.Destroy()
		return nil, nil, refused(err)
	}
	return in, hello, nil
}

func (in *Initiator) greet() ([]byte, error) {
	key, share, err := kems[in.cfg.Suites[0]].generate(in.cfg.random)
	if err != nil {
		return nil, err
	}
	in.key = key
	random, err := in.random()
	if err != nil {
		return nil, err
	}
	msg := (&hello{suites: in.cfg.Suites, random: random, share: share}).encode()
	in.said.add(msg)
	sum := in.keys.helloCode(in.said)
	in.said.add(sum)
	return append(msg, sum...), nil
}

// Finish takes the peer's answer and returns the last message for the peer and
// the session. The peer has proved itself; frames may follow the message at once.
func (in *Initiator) Finish(answer []byte) (confirm []byte, s *Session, err error) {
	if in.over {
		return nil, nil, errOver
	}
	defer in.Destroy()
	a, err := decodeAnswer(answer)
	if err != nil {
		return nil, nil, refused(err)
	}
	if a.suite != in.cfg.Suites[0] {
		return nil, nil, refused(fmt.Errorf("peer answers with %v, the offer was %v", a.suite, in.cfg.Suites))
	}
	shared, err := in.key.decapsulate(a.share)
	if err != nil {
		return nil, nil, refused(err)
	}
	in.keys.join(shared)
	in.said.add(unsigned(answer))
	if err := sameCode(in.keys.answerCode(in.said), a.code); err != nil {
		return nil, nil, refused(fmt.Errorf("answer: %w", err))
	}
	in.said.add(a.code)

	confirm = encodeConfirm()
	in.said.add(confirm)
	sum := in.keys.confirmCode(in.said)
	in.said.add(sum)
	s, err = newSession(&in.handshake, a.suite, labelNodeToHost, labelHostToNode)
	if err != nil {
		return nil, nil, refused(err)
	}
	return append(confirm, sum...), s, nil
}

// Destroy gives the handshake up and overwrites its secrets. It may be called
// more than once, and does not touch a session that came of it.
func (in *Initiator) Destroy() {
	in.over = true
	in.keys.erase()
	if in.key != nil {
		in.key.erase()
		in.key = nil
	}
}
