package server

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/pyisolate/pyisolate/api/fault"
	"github.com/pyisolate/pyisolate/policystore"
)

// alarm ends what a client keeps waiting. Over HTTP/2 each deadline that is set is a message to
// the connection's goroutine, and so one is set only when time is over.
type alarm struct {
	end func(time.Time) error // sets a deadline

	mu    sync.Mutex
	timer *time.Timer // nil before the first
	armed bool
	due   time.Time // when it goes off
	off   bool      // the exchange is over: the connection is somebody else's
}

// arm has the alarm go off in so long.
func (a *alarm) arm(within time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.armed, a.due = true, time.Now().Add(within)
	if a.timer == nil {
		a.timer = time.AfterFunc(within, a.ring)
		return
	}
	a.timer.Reset(within)
}

func (a *alarm) ring() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.armed && !a.off && !time.Now().Before(a.due) { // or it rang for what ended meanwhile, and will again
		_ = a.end(time.Unix(1, 0)) // not every connection has deadlines
	}
}

func (a *alarm) disarm() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.armed = false; a.timer != nil {
		a.timer.Stop()
	}
}

// over is called when the handler returns.
func (a *alarm) over() {
	a.disarm()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.off = true
}

// patient writes an answer to a client that has a time for each piece of it: one that takes
// nothing holds a call, and its slot, no longer.
type patient struct {
	http.ResponseWriter
	control *http.ResponseController
	second  bool // HTTP/2
	within  time.Duration
	written bool // something that is not flushed
	writing alarm
	reading alarm
}

func newPatient(w http.ResponseWriter, r *http.Request, within time.Duration) *patient {
	c := http.NewResponseController(w)
	if r.ProtoMajor < 2 { // the connection has the deadline of the request before
		_ = c.SetWriteDeadline(time.Time{})
	}
	return &patient{ResponseWriter: w, control: c, second: r.ProtoMajor >= 2, within: within,
		writing: alarm{end: c.SetWriteDeadline}, reading: alarm{end: c.SetReadDeadline}}
}

// Unwrap is for http.ResponseController.
func (p *patient) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// Write implements http.ResponseWriter.
func (p *patient) Write(b []byte) (int, error) {
	p.writing.arm(p.within)
	defer p.writing.disarm()
	p.written = true
	return p.ResponseWriter.Write(b)
}

// Flush implements http.Flusher.
func (p *patient) Flush() {
	p.writing.arm(p.within)
	defer p.writing.disarm()
	p.written = p.control.Flush() != nil // Write tells of what it cannot
}

// settle has a client over HTTP/2 take a short answer while its call has a slot: package http sends it when the
// handler has returned, and waits for as long as the client wants none.
func (p *patient) settle(r *http.Request) {
	if p.second && p.written && !peerOf(r.Context()).isOwn() {
		p.Flush()
	}
}

// close is for the rest, which package http reads and writes when the handler has returned. Over
// HTTP/2 there is none of an answer that is flushed but trailers, which need nothing of the client.
func (p *patient) close() {
	p.writing.over()
	p.reading.over()
	if p.second && !p.written {
		return
	}
	_ = p.control.SetWriteDeadline(time.Now().Add(p.within))
	if !p.second { // package http reads what nobody has read of the request, before it takes the next
		_ = p.control.SetReadDeadline(time.Now().Add(min(p.within, openCall)))
	}
}

// body is a request's: what of it is read is counted, in all and for whoever sends it, until
// the call ends.
type body struct {
	io.ReadCloser
	left    int64 // that the call may have, yet
	held    int64
	room    *slots // nil: nobody counts them
	who     holders
	arrived func() // nil, or to be called when all of it is read
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, limited(errTooLarge)
	}
	if b.room != nil && n > 0 {
		if !b.room.take(b.who, int64(n)) {
			return 0, limited(errTooManyBytes)
		}
		b.held += int64(n)
	}
	if b.arrived != nil && errors.Is(err, io.EOF) {
		b.arrived()
		b.arrived = nil
	}
	return n, err
}

// release gives back what is held.
func (b *body) release() {
	if b.held > 0 {
		b.room.give(b.who, b.held)
	}
}

var (
	errTooLarge     = fmt.Errorf("%w: the request is larger than any of its kind", policystore.ErrLimited)
	errTooManyBytes = fmt.Errorf("%w: too many bytes of requests are under way; try again later", policystore.ErrLimited)
)

// limited is an error as package connect passes it on.
func limited(err error) error {
	answer, _ := fault.Answer(err)
	return answer
}
