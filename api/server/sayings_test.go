package server

import (
	"fmt"
	"strings"
	"testing"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
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

// A guest's words are not trusted to be UTF-8, which messages must be.
func TestResidentMakesTextValid(t *testing.T) {
	if got := text("a\xffb"); got != "a\uFFFDb" || strings.Contains(got, "\xff") {
		t.Errorf("got %q", got)
	}
}
