package actors

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell"
)

func seenID(i int) ID { return ID([]byte(fmt.Sprintf("%016d", i))) }

// ask has an envelope come, and returns what it was answered at once, if it was.
func (s *seen) ask(id ID, now time.Time) (reply Reply, repeats bool) {
	r := &request{env: Envelope{ID: id}, end: func() {}, leave: func() {}, replied: make(chan Reply, 1)}
	if !s.repeats(r, now) {
		s.begin(id)
		return reply, false
	}
	select {
	case reply = <-r.replied:
	default:
	}
	return reply, true
}

// What a cell remembers of envelopes is bounded in number, time and bytes; what is not answered
// is not forgotten.
func TestSeenForgets(t *testing.T) {
	now := time.Unix(1000, 0)
	answer := func(s *seen, id int, r Reply) {
		s.ask(seenID(id), now)
		s.answered(seenID(id), r, now)
	}
	traceback := &cell.Error{Kind: cell.GuestError, Message: "m", Traceback: string(make([]byte, seenBytes))}
	for _, c := range []struct {
		name  string
		do    func(*seen)
		known bool // id 0, still
		kept  bool // and so its answer
	}{
		{"little", func(s *seen) { s.ask(seenID(1), now) }, true, true},
		{"as many as it remembers", func(s *seen) {
			for i := range seenIDs {
				answer(s, i+1, Reply{})
			}
		}, false, false},
		{"as many, one under way", func(s *seen) {
			s.ask(seenID(seenIDs+1), now)
			for i := range seenIDs {
				answer(s, i+1, Reply{})
			}
		}, false, false},
		{"many under way", func(s *seen) {
			for i := range 2 * seenIDs {
				s.ask(seenID(i+1), now)
			}
		}, true, true},
		{"a long time", func(s *seen) { s.ask(seenID(1), now.Add(seenFor)) }, false, false},
		{"many bytes", func(s *seen) { answer(s, 1, Reply{Value: cell.BytesValue(make([]byte, seenBytes))}) }, true, false},
		{"a long error", func(s *seen) { answer(s, 1, Reply{Err: traceback}) }, true, false},
		{"a long error in another", func(s *seen) { answer(s, 1, Reply{Err: fmt.Errorf("start it: %w", traceback)}) }, true, false},
		{"a long error that is none of a cell's", func(s *seen) { answer(s, 1, Reply{Err: errors.New(traceback.Traceback)}) }, true, false},
		{"many bytes, and then many", func(s *seen) {
			for i := range 3 * seenIDs {
				answer(s, i+1, Reply{Value: cell.BytesValue(make([]byte, seenBytes/16))})
			}
			for i := range seenIDs {
				answer(s, -i-1, Reply{})
			}
		}, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := new(seen)
			answer(s, 0, Reply{Value: cell.BytesValue([]byte("x"))})
			c.do(s)
			holds := 0
			for _, id := range s.order[s.bare:] {
				holds += kept(s.of[id].reply)
			}
			if holds != s.bytes || s.bytes > seenBytes || len(s.order) > seenIDs {
				t.Errorf("%d answers, %d bytes, %d are counted", len(s.order), holds, s.bytes)
			}
			got, known := s.ask(seenID(0), now)
			if known != c.known {
				t.Fatalf("it is known: %t", known)
			}
			if c.known && (string(got.Value.Data) == "x") != c.kept {
				t.Errorf("%+v", got)
			}
			if c.known && !c.kept && cell.KindOf(got.Err) != cell.UnknownOutcome {
				t.Errorf("%v", got.Err)
			}
		})
	}
}

// What is under way is known for as long as it takes, and holds up nothing.
func TestSeenUnderWay(t *testing.T) {
	now := time.Unix(1000, 0)
	s := new(seen)
	s.ask(seenID(0), now)
	for i := range 100 * seenIDs {
		s.ask(seenID(i+1), now)
		s.answered(seenID(i+1), Reply{}, now)
	}
	if n := len(s.of); n > seenIDs+1 {
		t.Errorf("%d are remembered", n)
	}
	if _, repeats := s.ask(seenID(0), now.Add(2*seenFor)); !repeats {
		t.Error("one that is under way is forgotten")
	}
}
