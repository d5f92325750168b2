package actors

import (
	"fmt"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell"
)

// What a cell remembers of envelopes is bounded in number, time and bytes; what is not answered
// is not forgotten.
func TestSeenForgets(t *testing.T) {
	now := time.Unix(1000, 0)
	id := func(i int) ID { return ID([]byte(fmt.Sprintf("%016d", i))) }
	for _, c := range []struct {
		name  string
		do    func(*seen)
		known bool // id 0, still
		kept  bool // and so its answer
	}{
		{"little", func(s *seen) { s.first(id(1), now, nil) }, true, true},
		{"as many as it remembers", func(s *seen) {
			for i := range seenIDs {
				s.first(id(i+1), now, nil)
			}
		}, false, false},
		{"a long time", func(s *seen) { s.first(id(1), now.Add(seenFor), nil) }, false, false},
		{"many bytes", func(s *seen) {
			s.first(id(1), now, nil)
			s.answered(id(1), Reply{Value: cell.BytesValue(make([]byte, seenBytes))})
		}, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := new(seen)
			s.first(id(0), now, nil)
			s.answered(id(0), Reply{Value: cell.BytesValue([]byte("x"))})
			c.do(s)
			var got Reply
			first := s.first(id(0), now, func(r Reply) { got = r })
			if first == c.known {
				t.Fatalf("it is known: %t", !first)
			}
			if c.known && (string(got.Value.Data) == "x") != c.kept {
				t.Errorf("%+v", got)
			}
			if c.known && !c.kept && cell.KindOf(got.Err) != cell.UnknownOutcome {
				t.Errorf("%v", got.Err)
			}
			if s.bytes > seenBytes {
				t.Errorf("%d bytes", s.bytes)
			}
		})
	}
	s := new(seen)
	for i := range seenIDs + 10 {
		s.first(id(i), now, nil)
	}
	if s.first(id(0), now.Add(2*seenFor), func(Reply) {}) {
		t.Error("one that is under way is forgotten")
	}
}
