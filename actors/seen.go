package actors

import (
	"sync"

	"github.com/pyisolate/pyisolate/cell"
)

// What a cell remembers of envelopes that change something.
const (
	seenIDs   = 4096
	seenBytes = 1 << 20 // of answers, in all
)

// seen answers envelopes that come again, without doing them again.
type seen struct {
	mu    sync.Mutex
	of    map[ID]*done
	order []ID // the oldest first
	bytes int
}

// done is what became of an envelope.
type done struct {
	reply   Reply
	over    bool // it is answered
	waiting []func(Reply)
}

// first reports whether nobody has asked this before. Otherwise answer is called with what the
// first was answered, now or when that is known.
func (s *seen) first(id ID, answer func(Reply)) bool {
	s.mu.Lock()
	d, known := s.of[id]
	if !known {
		s.remember(id)
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

func (s *seen) remember(id ID) {
	if s.of == nil {
		s.of = map[ID]*done{}
	}
	s.of[id] = &done{}
	s.order = append(s.order, id)
	for len(s.order) > seenIDs {
		old := s.of[s.order[0]]
		if !old.over { // what is not answered is not forgotten; credit bounds how many there are
			break
		}
		s.bytes -= len(old.reply.Value.Data)
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
	if s.bytes+len(r.Value.Data) > seenBytes {
		d.reply = Reply{Epoch: r.Epoch, Err: cell.Errorf(cell.UnknownOutcome, "it was answered already, and the answer is not kept")}
	}
	s.bytes += len(d.reply.Value.Data)
	waiting := d.waiting
	d.waiting = nil
	s.mu.Unlock()
	for _, answer := range waiting {
		answer(r)
	}
}
