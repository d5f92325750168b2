package server

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/pyisolate/pyisolate/api/fault"
	"github.com/pyisolate/pyisolate/policystore"
)

// patient writes an answer to a client that has a time for each piece of it: one that takes
// nothing holds a call, and its slot, no longer.
type patient struct {
	http.ResponseWriter
	control *http.ResponseController
	within  time.Duration
}

func newPatient(w http.ResponseWriter, within time.Duration) *patient {
	return &patient{w, http.NewResponseController(w), within}
}

// Unwrap is for http.ResponseController.
func (p *patient) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// Write implements http.ResponseWriter.
func (p *patient) Write(b []byte) (int, error) {
	p.begin()
	defer p.end()
	return p.ResponseWriter.Write(b)
}

// Flush implements http.Flusher.
func (p *patient) Flush() {
	p.begin()
	defer p.end()
	_ = p.control.Flush() // Write tells of what it cannot
}

// begin is also for the rest, which package http writes when the handler has returned.
// Not every connection has deadlines.
func (p *patient) begin() { _ = p.control.SetWriteDeadline(time.Now().Add(p.within)) }

func (p *patient) end() { _ = p.control.SetWriteDeadline(time.Time{}) }

// body is a request's: what of it is read is counted, in all and for whoever sends it, until
// the call ends.
type body struct {
	io.ReadCloser
	left    int64 // that the call may have, yet
	held    int64
	room    *slots
	who     holders
	arrived func() // nil, or to be called when all of it is read
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, limited("the request is larger than any of its kind")
	}
	if n > 0 && !b.room.take(b.who, int64(n)) {
		return 0, limited("too many bytes of requests are under way; try again later")
	}
	b.held += int64(n)
	if b.arrived != nil && errors.Is(err, io.EOF) {
		b.arrived()
		b.arrived = nil
	}
	return n, err
}

// release gives back what is held.
func (b *body) release() { b.room.give(b.who, b.held) }

func limited(words string) error {
	answer, _ := fault.Answer(fmt.Errorf("%w: %s", policystore.ErrLimited, words))
	return answer
}
