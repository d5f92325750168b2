package seal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The handshake messages. Every one begins with the same eight bytes:
//
//	0  4  magic "PYSL"
//	4  1  protocol version, 1
//	5  1  kind, which also says who speaks
//	6  2  length of the rest, little-endian
//
// and ends with a code of 32 bytes. Changing any of this is a new version.
const (
	magic   = "PYSL"
	version = 1

	preambleSize = 8
	randomSize   = 32
	codeSize     = 32
)

type kind uint8

const (
	kindHello   kind = 1 // node to host
	kindAnswer  kind = 2 // host to node
	kindConfirm kind = 3 // node to host
)

func (k kind) String() string {
	switch k {
	case kindHello:
		return "hello"
	case kindAnswer:
		return "answer"
	case kindConfirm:
		return "confirm"
	}
	return fmt.Sprintf("message of kind %d", uint8(k))
}

// maxBody returns the largest length the rest of a message can have: that of a
// message with every suite and the largest share.
func (k kind) maxBody() int {
	xwing := kems[XWing]
	switch k {
	case kindHello:
		return 1 + len(kems) + randomSize + xwing.shareSize() + codeSize
	case kindAnswer:
		return 1 + randomSize + xwing.answerSize() + codeSize
	case kindConfirm:
		return codeSize
	}
	return 0
}

var errShape = errors.New("not a message of this protocol")

// preamble returns the start of a message whose rest has n bytes.
func preamble(k kind, n int) []byte {
	b := make([]byte, 0, preambleSize+n)
	b = append(b, magic...)
	b = append(b, version, byte(k))
	return binary.LittleEndian.AppendUint16(b, uint16(n))
}

// bodySize checks the start of a message of kind k and returns the length of its
// rest, which is no more than the kind can have.
func bodySize(b []byte, k kind) (int, error) {
	if len(b) < preambleSize || string(b[:4]) != magic {
		return 0, errShape
	}
	if b[4] != version {
		return 0, fmt.Errorf("peer speaks version %d, want %d; use one build on both sides", b[4], version)
	}
	if kind(b[5]) != k {
		return 0, fmt.Errorf("peer sent %v, want %v", kind(b[5]), k)
	}
	n := int(binary.LittleEndian.Uint16(b[6:]))
	if n > k.maxBody() {
		return 0, fmt.Errorf("%v of %d bytes, at most %d are possible", k, n, k.maxBody())
	}
	return n, nil
}

// split returns the rest of a message of kind k without its code, and the code.
func split(msg []byte, k kind) (body, code []byte, err error) {
	n, err := bodySize(msg, k)
	if err != nil {
		return nil, nil, err
	}
	if n < codeSize || len(msg) != preambleSize+n {
		return nil, nil, fmt.Errorf("%v of %d bytes says %d", k, len(msg), preambleSize+n)
	}
	at := len(msg) - codeSize
	return msg[preambleSize:at], msg[at:], nil
}

// unsigned returns a message without its code, which covers all of it.
func unsigned(msg []byte) []byte { return msg[:len(msg)-codeSize] }

// hello is the initiator's first message. Slices refer to the message.
type hello struct {
	suites []Suite // all it allows, ascending; the share belongs to the first
	random []byte
	share  []byte
	code   []byte
}

// encode returns the message without its code, and room for it.
func (h *hello) encode() []byte {
	b := preamble(kindHello, 1+len(h.suites)+randomSize+len(h.share)+codeSize)
	b = append(b, byte(len(h.suites)))
	for _, s := range h.suites {
		b = append(b, byte(s))
	}
	b = append(b, h.random...)
	return append(b, h.share...)
}

func decodeHello(msg []byte) (*hello, error) {
	body, code, err := split(msg, kindHello)
	if err != nil {
		return nil, err
	}
	suites, rest, err := decodeOffer(body)
	if err != nil {
		return nil, err
	}
	if want := randomSize + kems[suites[0]].shareSize(); len(rest) != want {
		return nil, fmt.Errorf("hello for %v has a share of another length", suites[0])
	}
	return &hello{suites: suites, random: rest[:randomSize], share: rest[randomSize:], code: code}, nil
}

// decodeOffer takes the list of suites from the front of b. There is one way to
// write a set of suites: ascending, each once.
func decodeOffer(b []byte) (suites []Suite, rest []byte, err error) {
	if len(b) == 0 || b[0] == 0 || int(b[0]) > len(kems) || len(b) <= int(b[0]) {
		return nil, nil, fmt.Errorf("%w: list of suites", errShape)
	}
	n := int(b[0])
	for _, id := range b[1 : 1+n] {
		s := Suite(id)
		if _, ok := kems[s]; !ok {
			return nil, nil, fmt.Errorf("peer offers an unknown %v", s)
		}
		if len(suites) > 0 && s <= suites[len(suites)-1] {
			return nil, nil, fmt.Errorf("%w: suites out of order", errShape)
		}
		suites = append(suites, s)
	}
	return suites, b[1+n:], nil
}

// answer is the responder's message.
type answer struct {
	suite  Suite
	random []byte
	share  []byte
	code   []byte
}

func (a *answer) encode() []byte {
	b := preamble(kindAnswer, 1+randomSize+len(a.share)+codeSize)
	b = append(b, byte(a.suite))
	b = append(b, a.random...)
	return append(b, a.share...)
}

func decodeAnswer(msg []byte) (*answer, error) {
	body, code, err := split(msg, kindAnswer)
	if err != nil {
		return nil, err
	}
	if len(body) == 0 {
		return nil, fmt.Errorf("%w: answer without a suite", errShape)
	}
	s, rest := Suite(body[0]), body[1:]
	k, ok := kems[s]
	if !ok {
		return nil, fmt.Errorf("peer answers with an unknown %v", s)
	}
	if want := randomSize + k.answerSize(); len(rest) != want {
		return nil, fmt.Errorf("answer for %v has a share of another length", s)
	}
	return &answer{suite: s, random: rest[:randomSize], share: rest[randomSize:], code: code}, nil
}

// encodeConfirm returns the initiator's second message without its code.
func encodeConfirm() []byte { return preamble(kindConfirm, codeSize) }

func decodeConfirm(msg []byte) (code []byte, err error) {
	body, code, err := split(msg, kindConfirm)
	if err != nil {
		return nil, err
	}
	if len(body) != 0 {
		return nil, fmt.Errorf("%w: confirm with %d bytes more", errShape, len(body))
	}
	return code, nil
}

// readMessage reads one message of kind k and not a byte more. What it allocates
// is bounded by the kind, not by what the peer claims.
func readMessage(r io.Reader, k kind) ([]byte, error) {
	msg := make([]byte, preambleSize, preambleSize+k.maxBody())
	if _, err := io.ReadFull(r, msg); err != nil {
		return nil, fmt.Errorf("read %v: %w", k, err)
	}
	n, err := bodySize(msg, k)
	if err != nil {
		return nil, err
	}
	msg = msg[:preambleSize+n]
	if _, err := io.ReadFull(r, msg[preambleSize:]); err != nil {
		return nil, fmt.Errorf("read %v: %w", k, err)
	}
	return msg, nil
}
