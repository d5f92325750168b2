package seal

import (
	"fmt"
	"slices"
)

// Responder is the host's side of one handshake. After an error nothing but
// Destroy makes sense, and it has been done.
type Responder struct {
	handshake
	suite Suite // zero until Answer
}

// NewResponder begins to wait for a peer's first message.
func NewResponder(cfg Config) (*Responder, error) {
	r := &Responder{}
	if err := r.start(cfg); err != nil {
		return nil, err
	}
	return r, nil
}

// Answer takes the peer's first message and returns the answer for it. Whatever
// does not come from a holder of the launch secret is refused before the key
// exchange sees it.
func (r *Responder) Answer(hello []byte) (answer []byte, err error) {
	if r.over || r.suite != 0 {
		r.Destroy()
		return nil, errOver
	}
	answer, err = r.reply(hello)
	if err != nil {
		r.Destroy()
		return nil, refused(err)
	}
	return answer, nil
}

func (r *Responder) reply(msg []byte) ([]byte, error) {
	h, err := decodeHello(msg)
	if err != nil {
		return nil, err
	}
	r.said.add(unsigned(msg))
	if err := sameCode(r.keys.helloCode(r.said), h.code); err != nil {
		return nil, fmt.Errorf("hello: %w", err)
	}
	r.said.add(h.code)
	for _, s := range h.suites {
		if !slices.Contains(r.cfg.Suites, s) {
			return nil, fmt.Errorf("peer offers %v, the policy here allows %v", h.suites, r.cfg.Suites)
		}
	}
	return r.exchange(h.suites[0], h.share)
}

func (r *Responder) exchange(s Suite, share []byte) ([]byte, error) {
	shared, own, err := kems[s].encapsulate(r.cfg.random, share)
	if err != nil {
		return nil, err
	}
	r.keys.join(shared)
	random, err := r.random()
	if err != nil {
		return nil, err
	}
	msg := (&answer{suite: s, random: random, share: own}).encode()
	r.said.add(msg)
	sum := r.keys.answerCode(r.said)
	r.said.add(sum)
	r.suite = s
	return append(msg, sum...), nil
}

// Finish takes the peer's last message and returns the session.
func (r *Responder) Finish(confirm []byte) (*Session, error) {
	if r.over || r.suite == 0 {
		r.Destroy()
		return nil, errOver
	}
	defer r.Destroy()
	got, err := decodeConfirm(confirm)
	if err != nil {
		return nil, refused(err)
	}
	r.said.add(unsigned(confirm))
	if err := sameCode(r.keys.confirmCode(r.said), got); err != nil {
		return nil, refused(fmt.Errorf("confirm: %w", err))
	}
	r.said.add(got)
	s, err := newSession(&r.handshake, r.suite, labelHostToNode, labelNodeToHost)
	if err != nil {
		return nil, refused(err)
	}
	return s, nil
}

// Destroy gives the handshake up and overwrites its secrets. It may be called
// more than once, and does not touch a session that came of it.
func (r *Responder) Destroy() {
	r.over = true
	r.keys.erase()
}
