package host_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/wire"
)

// requestsOf waits until the cell has asked n times and returns how many of the
// requests reached the node.
func (n *node) requestsOf(id, asked uint64) (reached int) {
	n.t.Helper()
	for n.report(id).Requests < asked {
	}
	for _, m := range n.seen {
		if m.Cell == id && m.GetRequest() != nil {
			reached++
		}
	}
	return reached
}

func (n *node) answersOf(id uint64, payload string) {
	n.t.Helper()
	for _, m := range n.seen {
		if m.Cell == id && m.GetRequest() != nil {
			n.send(id, m.Op, &wire.Control_Answer{Answer: &wire.Answer{}}, payload)
		}
	}
}

// A guest that asks without end has so many requests under way, and so many bytes,
// and no other cell of the host notices.
func TestRequestFloodIsTheCellsOwn(t *testing.T) {
	for name, c := range map[string]struct {
		source       string
		asked, reach uint64
	}{
		"by number": {"beg 1000", 1000, wire.MaxRequests},
		"by bytes":  {"beg 40 1000000", 40, 16},
	} {
		t.Run(name, func(t *testing.T) {
			n := serve(t, 2)
			n.claim(1, cell.Limits{})
			n.claim(2, cell.Limits{})
			n.runs(1, 2, 0, c.source)
			if got := n.requestsOf(1, c.asked); got != int(c.reach) {
				t.Errorf("%d of %d requests reached the node, want %d", got, c.asked, c.reach)
			}
			n.answersOf(1, strings.Repeat("x", 1<<20))
			n.runs(2, 2, 0, "post 1")
			if err := n.outcome(2, 2); err != nil {
				t.Errorf("the other cell: %v", err)
			}
		})
	}
}

// A guest that asks and does not read its answers ends, before they fill the host.
func TestAnswersThatAreNotRead(t *testing.T) {
	n := serve(t, 2)
	n.claim(1, cell.Limits{})
	n.claim(2, cell.Limits{})
	n.runs(1, 2, 0, "pester 100000")
	if e := n.ended(1); e.State != string(cell.Crashed) || !strings.Contains(e.Reason, "answers wait to be read") {
		t.Errorf("it ended as %s: %s", e.State, e.Reason)
	}
	n.runs(2, 2, 0, "post 1")
	if err := n.outcome(2, 2); err != nil {
		t.Errorf("the other cell: %v", err)
	}
}

// What others send to a guest that asks for it and does not take it is refused.
func TestUnreadAnswersCountAsTheInbox(t *testing.T) {
	n := serve(t, 1)
	n.claim(1, cell.Limits{})
	n.runs(1, 2, 0, "hoard 100\nspin")
	value := strings.Repeat("x", 1<<20)
	for op := range uint64(40) {
		n.send(1, 10+op, &wire.Control_Send{Send: &wire.Send{}}, value)
		err := n.outcome(1, 10+op)
		if errors.Is(err, cell.Busy) {
			if op < 16 {
				t.Errorf("value %d is refused: %v", op, err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Error("40 MiB wait for a guest that reads nothing")
}

// Operations that wait are bounded by bytes, too.
func TestWaitingOperationsAreBoundedInBytes(t *testing.T) {
	n := serve(t, 1)
	n.claim(1, cell.Limits{})
	n.runs(1, 2, 0, "post 1\nspin")
	n.await("post", func(m *wire.Msg) bool { return m.GetPost() != nil })
	large := "post 1 " + strings.Repeat("#", 1<<20-100)
	for op := uint64(3); op < 40; op++ {
		n.runs(1, op, 0, large)
	}
	if err := n.outcome(1, 39); !errors.Is(err, cell.Busy) || !strings.Contains(err.Error(), "bytes wait") {
		t.Errorf("an operation after 36 MiB: %v", err)
	}
}
