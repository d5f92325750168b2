package host

import (
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/ring"
	"github.com/pyisolate/pyisolate/cell/wire"
)

// requests are the guest's questions that the node has not answered, with the bytes
// of each.
type requests struct {
	asked map[uint64]int
	bytes int
}

// ask notes a request, under mu, or reports why it may not leave. Answers that the
// guest does not read count as requests: they take as much memory.
func (g *guest) ask(id uint64, n int) *cell.Error {
	r := &g.requests
	_, twice := r.asked[id]
	most := wire.QueueBytes(g.limits)
	switch {
	case twice || len(r.asked)+g.unread.answers >= wire.MaxRequests:
		return cell.Errorf(cell.Busy, "%d requests are unanswered", len(r.asked))
	case r.bytes+n > most:
		return cell.Errorf(cell.Busy, "unanswered requests have %d bytes; %d is the most", r.bytes, most)
	}
	r.asked[id] = n
	r.bytes += n
	return nil
}

// answered reports, under mu, whether that was asked.
func (r *requests) answered(id uint64) bool {
	n, asked := r.asked[id]
	r.bytes -= n
	delete(r.asked, id)
	return asked
}

// request forwards the guest's question; the node answers each one.
func (g *guest) request(f ring.Frame) error {
	parts, err := split(f.Payload, 0, 2)
	if err != nil {
		return err
	}
	if len(parts[0]) > maxName || len(parts[1]) > maxName {
		return g.answer(f.ID, ring.Error, errorBody(cell.Errorf(cell.Invalid, "names of a request are %d bytes at most", maxName)))
	}
	g.mu.Lock()
	g.count.Requests++
	refusal := g.refusal // a thread's that outlives what it was of
	if refusal == nil {
		refusal = g.ask(f.ID, len(parts[2]))
	}
	during := uint64(0)
	if g.current != nil {
		during = g.current.id
	}
	g.mu.Unlock()
	if refusal != nil {
		return g.answer(f.ID, ring.Error, errorBody(refusal))
	}
	g.srv.send(g.id, f.ID, &wire.Control_Request{Request: &wire.Request{
		Capability: wire.Text(string(parts[0]), maxName), Action: wire.Text(string(parts[1]), maxName),
		Type: uint32(contentType(f.Flags)), During: during}}, parts[2])
	return nil
}

func (g *guest) answerRequest(m *wire.Msg, a *wire.Answer) {
	flags, payload := flagsOf(a.Type), m.Payload
	if a.Error != nil {
		flags, payload = ring.Error, errorBody(wire.ToError(a.Error))
	}
	g.mu.Lock()
	asked := g.requests.answered(m.Op)
	if asked && a.Error != nil && cell.Kind(a.Error.Kind) == cell.PolicyDenied {
		g.count.Denials++
	}
	if g.unread.bytes+len(payload) > wire.QueueBytes(g.limits) {
		flags = ring.Error
		payload = errorBody(cell.Errorf(cell.Busy, "answers of %d bytes wait to be read", g.unread.bytes))
	}
	g.mu.Unlock()
	if !asked {
		return
	}
	_ = g.answer(m.Op, flags, payload)
}
