package actors

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/pyisolate/pyisolate/cell"
)

// What a cell remembers of envelopes that change something and have an id.
const (
	seenIDs   = 1024 // that are answered; credit bounds those that are not
	seenFor   = 10 * time.Minute
	seenBytes = 1 << 20 // of answers, in all; older ones are not kept
)

// seen answers envelopes that come again, without doing them again.
type seen struct {
	mu    sync.Mutex
	of    map[ID]*done
	order []ID // of those that are answered, in the order of their answers
	bare  int  // so many of order, the oldest, are without their answers
	bytes int  // of the answers that are kept
}

// done is what became of an envelope.
type done struct {
	reply   Reply
	at      time.Time // of the answer
	over    bool      // it is answered
	waiting []*request
}

// repeats reports whether an envelope came before. It is answered then as the first was, now or
// when that is known.
func (s *seen) repeats(r *request, now time.Time) bool {
	s.mu.Lock()
	s.forget(now)
	d := s.of[r.env.ID]
	if d == nil {
		s.mu.Unlock()
		return false
	}
	if !d.over {
		d.waiting = append(d.waiting, r)
		s.mu.Unlock()
		return true
	}
	reply := d.reply
	s.mu.Unlock()
	r.answer(reply)
	return true
}

// leave takes a request out of those that wait for what they repeat, or returns false.
func (s *seen) leave(r *request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.of[r.env.ID]
	if d == nil {
		return false
	}
	i := slices.Index(d.waiting, r)
	if i >= 0 {
		d.waiting = slices.Delete(d.waiting, i, i+1)
	}
	return i >= 0
}

// begin remembers an envelope that repeats none.
func (s *seen) begin(id ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.of = map[ID]*done{}
	}
	s.of[id] = &done{}
}

// undone forgets an envelope whose body was not begun after all, and returns those that wait for
// its answer.
func (s *seen) undone(id ID) []*request {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.of[id]
	if d == nil || d.over {
		return nil
	}
	delete(s.of, id)
	return d.waiting
}

// answered keeps an answer, and gives it to who asked the same meanwhile.
func (s *seen) answered(id ID, r Reply, now time.Time) {
	s.mu.Lock()
	d := s.of[id]
	if d == nil || d.over {
		s.mu.Unlock()
		return
	}
	d.over, d.reply, d.at = true, r, now
	s.order, s.bytes = append(s.order, id), s.bytes+kept(r)
	s.forget(now)
	for ; s.bytes > seenBytes; s.bare++ {
		s.drop(s.of[s.order[s.bare]])
	}
	waiting := d.waiting
	d.waiting = nil
	s.mu.Unlock()
	for _, w := range waiting {
		w.answer(r)
	}
}

// carry returns what goes with the cell: what is answered. What is not is held here, and is asked
// again where the cell is.
func (s *seen) carry(now time.Time) []Answered {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(now)
	all := make([]Answered, len(s.order))
	for i, id := range s.order {
		d := s.of[id]
		all[i] = Answered{ID: id, Ago: max(0, now.Sub(d.at)), Reply: Reply{Epoch: d.reply.Epoch, Value: d.reply.Value, Err: d.reply.Err}}
	}
	return all
}

// load is the opposite, before anything is asked.
func (s *seen) load(all []Answered, now time.Time) {
	for _, a := range all {
		s.begin(a.ID)
		s.answered(a.ID, a.Reply, now.Add(-a.Ago))
	}
}

// forget leaves out answers that are too many, or too old.
func (s *seen) forget(now time.Time) {
	for len(s.order) > 0 {
		old := s.of[s.order[0]]
		if len(s.order) <= seenIDs && now.Sub(old.at) < seenFor {
			return
		}
		if s.bare > 0 {
			s.bare--
		} else {
			s.bytes -= kept(old.reply)
		}
		delete(s.of, s.order[0])
		s.order = s.order[1:]
	}
}

var errNotKept = cell.Errorf(cell.UnknownOutcome, "it was answered already, and the answer is not kept")

// drop keeps no more of an answer than that there was one.
func (s *seen) drop(d *done) {
	n := kept(d.reply)
	if n == 0 {
		return // that it went well takes no room
	}
	s.bytes -= n
	d.reply = Reply{Epoch: d.reply.Epoch, Err: errNotKept}
}

// kept is how many bytes an answer holds: the value, and all that an error says.
func kept(r Reply) int {
	n := len(r.Value.Data)
	if r.Err == nil {
		return n
	}
	n += len(r.Err.Error())
	var e *cell.Error
	if errors.As(r.Err, &e) {
		n += len(e.Type) + len(e.Traceback)
		if d := e.Denial; d != nil {
			n += len(d.Cell) + len(d.Capability) + len(d.Action) + len(d.Rule) + len(d.Kernel) + len(d.Broker)
		}
	}
	return n
}
