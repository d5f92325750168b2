package policystore

import (
	"errors"
	"fmt"

	"github.com/pyisolate/pyisolate/policystore/internal/wire"
)

// relayFormat begins what nodes ask each other, and the answers.
const relayFormat = 1

// question is what a node wants of another one. Numbers are on the wire; they never change.
type question uint8

const (
	askCommit  question = 1 // to commit a command; of the leader
	askIndex   question = 2 // up to where to apply, to know what the leader knows
	askApplied question = 3 // up to where the node has applied; of any
	askTerm    question = 4 // in which of Raft's terms it is; of any
)

// request is a question, for askCommit with the encoded command, and Raft's term at whoever asks.
type request struct {
	question question
	command  []byte
	term     uint64
}

// Changes tells whether a request, as [Cluster.Forward] has them, asks for a change.
func Changes(request []byte) bool { return len(request) > 1 && question(request[1]) == askCommit }

// maxRequest bounds a request, in bytes: a command with the longest text, and what is around it.
const maxRequest = MaxText + 16<<10

func (q request) encode() []byte {
	w := wire.Writer{B: make([]byte, 0, 16+len(q.command))}
	w.Byte(relayFormat)
	w.Byte(byte(q.question))
	w.Bytes(q.command)
	w.Uint(q.term)
	return w.B
}

func decodeRequest(b []byte) (request, error) {
	r := wire.NewReader(b)
	if format := r.Byte(); r.Err() == nil && format != relayFormat {
		return request{}, newer("a request", format, relayFormat)
	}
	q := request{question: question(r.Byte()), command: r.Bytes(maxRequest), term: r.Uint()}
	if err := r.Done(); err != nil {
		return request{}, err
	}
	if q.question < askCommit || q.question > askTerm {
		return request{}, fmt.Errorf("%w: question %d", ErrNewer, q.question)
	}
	return q, nil
}

// answer is an outcome, or the index that was asked for, and Raft's term at whoever answers.
type answer struct {
	outcome
	kind string // of the error, "" for none
	text string
}

// kinds are the errors that keep their identity on the way to another node. Their names are on
// the wire; they never change.
var kinds = []struct {
	name string
	err  error
}{
	// An error that is several of these is the first.
	{"uncertain", ErrUncertain}, {"no-leader", ErrNotLeader}, {"closed", ErrClosed}, {"failed", ErrFailed},
	{"not-found", ErrNotFound}, {"conflict", ErrConflict}, {"denied", ErrDenied}, {"invalid", ErrInvalid},
	{"limited", ErrLimited}, {"clock", ErrClock}, {"newer", ErrNewer}, {"corrupt", ErrCorrupt},
}

// otherKind is an error that is none of those.
const otherKind = "other"

const (
	maxKind = 32
	// maxAnswerText bounds an error's text, in bytes; what is longer is cut.
	maxAnswerText = 64 << 10
)

func answerWith(o outcome) answer {
	a := answer{outcome: o}
	if o.err == nil {
		return a
	}
	a.kind, a.text = otherKind, o.err.Error()
	for _, k := range kinds {
		if errors.Is(o.err, k.err) {
			a.kind = k.name
			break
		}
	}
	a.text = a.text[:min(len(a.text), maxAnswerText)]
	return a
}

func (a answer) encode() []byte {
	var w wire.Writer
	w.Byte(relayFormat)
	w.String(a.kind)
	w.String(a.text)
	w.Uint(a.index)
	w.Uint(a.term)
	w.Bool(a.judged)
	w.String(a.version.Name)
	w.Bytes(encodeVersion(a.version))
	w.Bytes(tokenRecord{info: a.token}.encodeIfAny())
	return w.B
}

// maxVersionRecord bounds an encoded version.
const maxVersionRecord = 4 << 10

// decodeAnswer reads another node's answer; its error is in the outcome.
func decodeAnswer(b []byte) (outcome, error) {
	r := wire.NewReader(b)
	if format := r.Byte(); r.Err() == nil && format != relayFormat {
		return outcome{}, newer("an answer", format, relayFormat)
	}
	a := answer{kind: r.String(maxKind), text: r.String(maxAnswerText)}
	a.index, a.term, a.judged = r.Uint(), r.Uint(), r.Bool()
	name, version, token := r.String(maxName), r.Bytes(maxVersionRecord), r.Bytes(maxTokenRecord)
	err := r.Done()
	if err == nil {
		a.version, err = decodeVersion(name, version)
	}
	if err == nil && len(token) > 0 {
		var t tokenRecord
		t, err = decodeToken(token)
		a.token = t.info
	}
	if err != nil {
		return outcome{}, err
	}
	a.err = a.failure()
	return a.outcome, nil
}

// failure is the error that the other node had.
func (a answer) failure() error {
	if a.kind == "" {
		return nil
	}
	for _, k := range kinds {
		if k.name == a.kind {
			return &told{k.err, a.text}
		}
	}
	return errors.New(a.text)
}

// told is an error of a kind that says what another one said without being that.
type told struct {
	kind error
	text string
}

func (e *told) Error() string { return e.text }
func (e *told) Unwrap() error { return e.kind }

// newer is the error for a format that this version does not know.
func newer(what string, format, known byte) error {
	return fmt.Errorf("%w: %s of format %d; this node's version knows %d: update it", ErrNewer, what, format, known)
}
