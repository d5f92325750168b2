package host_test

import (
	"testing"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/wire"
)

// What is sent to a cell whose recv was interrupted stays for the next one: if the
// operation was over by then, and if the answer was on its way to it.
func TestInterruptedRecvTakesNothing(t *testing.T) {
	for name, source := range map[string]string{"nothing had come": "recv -1", "with a time-out": "recv 60", "it had come": "miss"} {
		t.Run(name, func(t *testing.T) {
			n := serve(t, 1)
			n.claim(1, cell.Limits{QueueItems: 1})
			n.runs(1, 2, 0, "log on\n"+source)
			n.await("log", func(m *wire.Msg) bool { return m.GetLog() != nil })
			n.send(1, 2, &wire.Control_Interrupt{Interrupt: &wire.Interrupt{Kind: uint32(cell.Timeout)}}, "")
			if source != "miss" {
				_ = n.outcome(1, 2)
			}
			n.send(1, 3, &wire.Control_Send{Send: &wire.Send{}}, `"x"`)
			if err := n.outcome(1, 3); err != nil {
				t.Fatal(err)
			}
			n.runs(1, 4, 0, "recv 0\nrecv 0")
			for _, want := range []string{`"x"`, "null"} {
				if m := n.await("post", func(m *wire.Msg) bool { return m.GetPost() != nil }); string(m.Payload) != want {
					t.Errorf("the next recv gets %s, want %s", m.Payload, want)
				}
				n.send(1, 0, &wire.Control_Credit{Credit: &wire.Credit{Items: 1, Bytes: 100}}, "")
			}
		})
	}
}
