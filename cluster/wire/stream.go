package wire

import (
	"errors"
	"slices"
	"strings"
)

// Stream is what a connection is for.
type Stream string

const (
	// Policy is the Raft group of the policy store.
	Policy Stream = "raft/policy"
	// Directory is the Raft group of the directory.
	Directory Stream = "raft/directory"
	// Actors is for messages between cells.
	Actors Stream = "actors"
	// Control is for what nodes ask of each other: renewal, forwarded writes.
	Control Stream = "control"
	// API is for calls of clients that a node passes on to the one that runs the cell.
	API Stream = "api"
	// Join is for nodes without a certificate, and the only one for them.
	Join Stream = "join"
)

var streams = []Stream{Policy, Directory, Actors, Control, API, Join}

// protocol is what begins all names in ALPN. A node of another version has another.
const protocol = "pyisolate/1/"

func (s Stream) alpn() string { return protocol + string(s) }

func streamOf(alpn string) (Stream, bool) {
	name, ok := strings.CutPrefix(alpn, protocol)
	return Stream(name), ok && slices.Contains(streams, Stream(name))
}

// Why a connection did not come about, beside what package pki says.
var (
	// ErrClosed: the wire, or its listener, is closed.
	ErrClosed = errors.New("wire is closed")
	// ErrBusy: the other node has as many connections from this one as it takes, or is not
	// keeping up with accepting them. Try again later.
	ErrBusy = errors.New("the node takes no more connections now")
	// ErrNoStream: the other node does not serve this stream, or not yet.
	ErrNoStream = errors.New("the node does not serve this stream")
)

// answer is the byte that a node sends when it has decided on a connection.
type answer byte

const (
	accepted answer = 'a'
	busy     answer = 'b'
	absent   answer = 'n'
	rejected answer = 'r'
)

// err is what an answer means to whoever connected.
func (a answer) err() error {
	switch a {
	case accepted:
		return nil
	case busy:
		return ErrBusy
	case absent:
		return ErrNoStream
	}
	return errors.New("the node refuses the connection; its log says why")
}

// answerTo is the answer that an error is told with.
func answerTo(err error) answer {
	switch {
	case err == nil:
		return accepted
	case errors.Is(err, ErrBusy):
		return busy
	case errors.Is(err, ErrNoStream), errors.Is(err, ErrClosed):
		return absent
	}
	return rejected
}
