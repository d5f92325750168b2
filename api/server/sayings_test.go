package server

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
)

func logItem(message string, size int) saying {
	return saying{log: &pb.Log{Message: message}, size: size}
}

func TestSayings(t *testing.T) {
	for _, c := range []struct {
		name       string
		add, size  int
		kept, lost int
	}{
		{"none", 0, 0, 0, 0},
		{"few", 3, 10, 3, 0},
		{"too many", maxSayings + 5, 1, maxSayings, 5},
		{"too large together", 5, maxSayingsBytes / 2, 2, 3},
		{"each too large", 2, 2 * maxSayingsBytes, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSayings()
			_, _, _, more := s.from(0)
			for i := range c.add {
				s.add(logItem(fmt.Sprint(i), c.size))
			}
			select {
			case <-more:
				if c.add == 0 {
					t.Error("more has come of nothing")
				}
			default:
				if c.add > 0 {
					t.Error("nobody is told that more has come")
				}
			}
			items, lost, next, _ := s.from(0)
			if len(items) != c.kept || int(lost) != c.lost || int(next) != c.add {
				t.Fatalf("%d items, %d lost, next %d; want %d, %d, %d", len(items), lost, next, c.kept, c.lost, c.add)
			}
			if c.kept > 0 && items[len(items)-1].inLogs().GetLog().GetMessage() != fmt.Sprint(c.add-1) {
				t.Errorf("the last is %v", items[len(items)-1].log)
			}
			if items, lost, _, _ := s.from(next); len(items) != 0 || lost != 0 {
				t.Errorf("again %d items, %d lost", len(items), lost)
			}
		})
	}
}

// One log or metric is cut to what all may have: the latest is kept whatever it has.
func TestOneSayingIsBounded(t *testing.T) {
	large, tags := strings.Repeat("é", maxSayingsBytes), map[string]string{}
	for i := range maxSayingsBytes / tagBytes {
		tags[fmt.Sprint(i)] = "b"
	}
	for name, c := range map[string]struct {
		say  func(*sayings)
		good func(*pb.LogsResponse) bool
	}{
		"message": {func(s *sayings) { s.log(cell.LogRecord{Level: "info", Message: large, Fields: []byte("{}")}) },
			func(r *pb.LogsResponse) bool {
				m := r.GetLog().GetMessage()
				return len(m) > maxSayingsBytes-8 && strings.HasPrefix(large, m) && r.GetLog().GetFields() == ""
			}},
		"fields": {func(s *sayings) { s.log(cell.LogRecord{Level: "info", Message: "short", Fields: []byte(large)}) },
			func(r *pb.LogsResponse) bool {
				return r.GetLog().GetMessage() == "short" && r.GetLog().GetFields() == ""
			}},
		"tags": {func(s *sayings) { s.metric(cell.Sample{Name: "m", Tags: tags}) },
			func(r *pb.LogsResponse) bool {
				n := len(r.GetMetric().GetTags())
				return n > len(tags)/2 && n < len(tags)
			}},
		"name": {func(s *sayings) { s.metric(cell.Sample{Name: large, Tags: map[string]string{"a": "b"}}) },
			func(r *pb.LogsResponse) bool { return len(r.GetMetric().GetName()) > maxSayingsBytes-8 }},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSayings()
			c.say(s)
			items, _, _, _ := s.from(0)
			sent := items[0].inLogs()
			if n := proto.Size(sent); n > maxSayingsBytes+100 || items[0].size > maxSayingsBytes || !c.good(sent) {
				t.Errorf("%d bytes, taken for %d: %.100s", n, items[0].size, sent)
			}
		})
	}
}

// A guest's words are not trusted to be UTF-8, which messages must be.
func TestResidentMakesTextValid(t *testing.T) {
	if got := text("a\xffb"); got != "a\uFFFDb" || strings.Contains(got, "\xff") {
		t.Errorf("got %q", got)
	}
}
