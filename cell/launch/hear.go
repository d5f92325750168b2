package launch

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/wire"
	"github.com/pyisolate/pyisolate/internal/stack"
)

// hear gives the sink what the guest said. It runs on the host's reader, so a
// log is delivered before the operation that wrote it is answered.
func (c *handle) hear(m *wire.Msg) {
	sink := c.spec.Sink
	if m.GetRequest() == nil && !c.recorded(len(m.Payload)) {
		return
	}
	switch b := m.Body.(type) {
	case *wire.Control_Log:
		n := min(int(b.Log.MessageLen), len(m.Payload))
		if sink != nil {
			record := cell.LogRecord{Level: b.Log.Level, Message: string(m.Payload[:n])}
			if n < len(m.Payload) {
				record.Fields = m.Payload[n:]
			}
			sink.Log(record)
		}
	case *wire.Control_Metric:
		n := min(int(b.Metric.NameLen), len(m.Payload))
		if sink != nil {
			sink.Metric(cell.Sample{Name: string(m.Payload[:n]), Value: b.Metric.Value, Tags: tags(m.Payload[n:])})
		}
	case *wire.Control_Denial:
		if sink != nil {
			d := wire.ToDenial(b.Denial)
			// Whatever the host says: the node knows of whom and when it heard this, and itself tells
			// what the kernel and the broker have refused.
			d.Cell, d.At, d.Kernel, d.Broker = c.id, time.Now(), "", ""
			sink.Denied(*d)
		}
	case *wire.Control_Request:
		if !c.served.begin(len(m.Payload)) {
			c.host.kill("sent more requests than it had credit for")
			return
		}
		c.host.turns.heard()
		go c.serveRequest(m, b.Request)
	}
}

// recordSlack is how much more than a host the node lets through of one cell at once: what the
// host has let through over some time may come in one piece.
const recordSlack = 2

// recorded reports whether a record of n bytes goes on to the sink. What is too much is dropped
// and counted, as the host does; one that the host cannot have from its guest is the host's own.
func (c *handle) recorded(n int) bool {
	if n > c.served.record() {
		c.host.kill("sent a record that is larger than its cell's messages may be")
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := c.records.Take(time.Now(), n, recordSlack)
	if !taken {
		c.recordsLost++
	}
	return taken
}

// served are the requests under way, with the bytes of their payloads, and those of their answers, for which the
// host is not to blame.
type served struct {
	mu       sync.Mutex
	requests int
	bytes    int
	answers  int

	message int // the most that one answer may have: the limit that the host goes by
	most    int // the highest such limit that it has had: what it has sent may be from then
}

// queued is, under mu, how many bytes an honest host can have under way.
func (s *served) queued() int { return 2 * wire.QueueBytes(cell.Limits{MessageBytes: s.most}) }

// record is the most that one log or metric can have.
func (s *served) record() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return min(wire.FrameBytes(cell.Limits{MessageBytes: s.most}), wire.RecordBytes)
}

// widen lets the host send by a limit before it has it. A host that has refused it never had it: undo.
func (s *served) widen(message int) (undo func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	most := s.most
	s.most = max(most, message)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.most = most
	}
}

// narrow is told of the limit that the host has.
func (s *served) narrow(message int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.message = message
}

// begin reports false when an honest host would not have sent that. It can have sent
// twice what it may have unanswered: it learns of an answer before end does.
func (s *served) begin(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	s.bytes += n
	return s.requests <= 2*wire.MaxRequests && s.bytes <= s.queued()
}

// answer fails when the answer is larger than the guest may have, or finds too many before it
// that the host does not take.
func (s *served) answer(n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case n > s.message:
		return cell.Errorf(cell.Invalid, "the answer of %d bytes exceeds the message limit of %d", n, s.message)
	case s.bytes+s.answers+n > s.queued():
		return cell.Errorf(cell.Busy, "too many answers wait for the cell's host")
	}
	s.answers += n
	return nil
}

func (s *served) end(n, answer int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests--
	s.bytes -= n
	s.answers -= answer
}

// maxTags bounds the tags of one metric, as JSON: in memory they take many times that.
const maxTags = 64 << 10

// tags drops what is not a flat object of strings, or too large: the guest wrote it.
func tags(data []byte) map[string]string {
	if len(data) == 0 || len(data) > maxTags {
		return nil
	}
	var t map[string]string
	if (cell.Value{Type: cell.JSON, Data: data}).Decode(&t) != nil {
		return nil
	}
	return t
}

// serveRequest answers a guest's request under the context of its operation. It
// ends when the sink does.
func (c *handle) serveRequest(m *wire.Msg, r *wire.Request) {
	stack.Room()
	asked, answered := len(m.Payload), 0
	defer func() { c.served.end(asked, answered) }()
	ctx := c.operationContext(r.During)
	answer, v, err := &wire.Answer{}, cell.Value{}, error(nil)
	switch barred := c.barredBy(); {
	case barred != nil:
		err = barred
	case c.spec.Sink == nil:
		err = cell.Errorf(cell.PolicyDenied, "capability %s is not granted", r.Capability)
	default:
		v, err = c.spec.Sink.Request(ctx, cell.Request{Capability: r.Capability, Action: r.Action, Payload: value(r.Type, m.Payload)})
	}
	answer.Type = uint32(v.Type)
	if err == nil {
		err = c.served.answer(len(v.Data))
	}
	if err != nil {
		c.denied(r, err)
		answer.Error, v.Data = wire.FromError(err), nil
	}
	answered = len(v.Data)
	_ = c.host.send(c.wireID, m.Op, &wire.Control_Answer{Answer: answer}, v.Data)
}

// denied makes the evidence of a refusal known, before the guest hears of it.
func (c *handle) denied(r *wire.Request, err error) {
	var e *cell.Error
	if c.spec.Sink == nil || !errors.As(err, &e) || e.Kind != cell.PolicyDenied {
		return
	}
	d := cell.Denial{Capability: r.Capability, Action: r.Action, Broker: e.Message, At: time.Now()}
	if e.Denial != nil {
		d = *e.Denial
	}
	d.Cell = c.id
	c.spec.Sink.Denied(d)
}

// operationContext ends with the operation's own context, with the operation
// and with the cell.
func (c *handle) operationContext(op uint64) context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.pending[op]; p != nil {
		return p.requests.within(p.ctx)
	}
	ctx := c.requests.within(context.Background())
	select {
	case <-c.done:
		c.requests.over()
	default:
	}
	return ctx
}
