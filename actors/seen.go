package actors

import (
	"sync"
	"time"

	"github.com/pyisolate/pyisolate/cell"
)

// What a cell remembers of envelopes that change something and have an id.
const (
	seenIDs   = 1024
	seenFor   = 10 * time.Minute
	seenBytes = 1 << 20 // of answers, in all; older ones are not kept
)

// seen answers envelopes that come again, without doing them again.
type seen struct {
	mu    sync.Mutex
	of    map[ID]*done
	order []ID    // the oldest first
	data  []*done // those whose answers have bytes, the oldest first
	bytes int
}

// done is what became of an envelope.
type done struct {
	reply   Reply
	at      time.Time
	over    bool // it is answered
	waiting []func(Reply)
}

// first reports whether nobody has asked this before. Otherwise answer is called with what the
// first was answered, now or when that is known.
func (s *seen) first(id ID, now time.Time, answer func(Reply)) bool {
	s.mu.Lock()
	s.forget(now)
	d, known := s.of[id]
	if !known {
		if s.of == nil {
			s.of = map[ID]*done{}
		}
		s.of[id] = &done{at: now}
		s.order = append(s.order, id)
		s.mu.Unlock()
		return true
	}
	if !d.over {
		d.waiting = append(d.waiting, answer)
		s.mu.Unlock()
		return false
	}
	reply := d.reply
	s.mu.Unlock()
	answer(reply)
	return false
}

// forget makes room for one more. What is not answered is not forgotten; credit bounds how much
// that is.
func (s *seen) forget(now time.Time) {
	for len(s.order) > 0 {
		old := s.of[s.order[0]]
		if !old.over || len(s.order) < seenIDs && now.Sub(old.at) < seenFor {
			return
		}
		s.drop(old)
		delete(s.of, s.order[0])
		s.order = s.order[1:]
	}
}

// answered keeps an answer, and gives it to who asked the same meanwhile.
func (s *seen) answered(id ID, r Reply) {
	s.mu.Lock()
	d := s.of[id]
	if d == nil || d.over {
		s.mu.Unlock()
		return
	}
	d.over, d.reply = true, r
	if n := len(r.Value.Data); n > 0 {
		s.data, s.bytes = append(s.data, d), s.bytes+n
	}
	for s.bytes > seenBytes {
		s.drop(s.data[0])
		s.data = s.data[1:]
	}
	waiting := d.waiting
	d.waiting = nil
	s.mu.Unlock()
	for _, answer := range waiting {
		answer(r)
	}
}

// drop keeps no more of an answer than that there was one.
func (s *seen) drop(d *done) {
	if len(d.reply.Value.Data) == 0 {
		return
	}
	s.bytes -= len(d.reply.Value.Data)
	d.reply = Reply{Epoch: d.reply.Epoch, Err: cell.Errorf(cell.UnknownOutcome, "it was answered already, and the answer is not kept")}
}
