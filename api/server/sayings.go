package server

import (
	"sync"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/wire"
)

// Of what a cell says beside its posts, the latest are kept: so many, and so many bytes.
const (
	maxSayings      = 1000
	maxSayingsBytes = 256 << 10
)

// sayings are the logs, metrics and denials of one cell. Adding never waits, whoever reads.
type sayings struct {
	mu    sync.Mutex
	kept  []saying
	bytes int
	next  uint64        // number of the one that comes next
	more  chan struct{} // closed when it comes
}

// saying is one of them: valid as a message, whatever the guest has said.
type saying struct {
	log    *pb.Log
	metric *pb.Metric
	denial *pb.Denial
	size   int // of its texts, about
}

func newSayings() *sayings { return &sayings{more: make(chan struct{})} }

// tagBytes is what a tag takes beside its texts.
const tagBytes = 64

func (s *sayings) log(l cell.LogRecord) {
	room := budget(maxSayingsBytes)
	out := &pb.Log{Level: room.text(l.Level), Message: room.text(l.Message), At: timestamppb.Now()}
	if len(l.Fields) <= int(room) { // a part of them would be no JSON
		out.Fields = room.text(string(l.Fields))
	}
	s.add(saying{log: out, size: room.spent()})
}

func (s *sayings) metric(m cell.Sample) {
	room := budget(maxSayingsBytes)
	out := &pb.Metric{Name: room.text(m.Name), Value: m.Value, Tags: map[string]string{}, At: timestamppb.Now()}
	for k, v := range m.Tags {
		if len(k)+len(v)+tagBytes <= int(room) {
			room -= tagBytes
			out.Tags[room.text(k)] = room.text(v)
		}
	}
	s.add(saying{metric: out, size: room.spent()})
}

func (s *sayings) denied(d cell.Denial) {
	s.add(saying{denial: fault.FromDenial(&d), size: len(d.Capability) + len(d.Action) + len(d.Rule) + len(d.Kernel) + len(d.Broker)})
}

// budget is what one of the sayings may still take: the latest is kept whatever it has, so it
// is cut to what all may have.
type budget int

// text takes of the budget what a text has, and returns as much of it as there was room for, valid
// for a message.
func (b *budget) text(t string) string {
	if len(t) > int(*b) {
		t = wire.Text(t, int(*b))
	}
	*b -= budget(len(t))
	return text(t)
}

func (b budget) spent() int { return maxSayingsBytes - int(b) }

func (s *sayings) add(one saying) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = append(s.kept, one)
	s.bytes += one.size
	for len(s.kept) > maxSayings || s.bytes > maxSayingsBytes && len(s.kept) > 1 {
		s.bytes -= s.kept[0].size
		s.kept[0] = saying{}
		s.kept = s.kept[1:]
	}
	s.next++
	close(s.more)
	s.more = make(chan struct{})
}

// from returns what is kept from number at on, how many are missing before it, the number to
// ask with next, and what is closed when there is more.
func (s *sayings) from(at uint64) (items []saying, lost, next uint64, more <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.next - uint64(len(s.kept))
	if at < first {
		at, lost = first, first-at
	}
	return append(items, s.kept[at-first:]...), lost, s.next, s.more
}

// inStream is a saying as Stream sends it.
func (s saying) inStream() *pb.StreamResponse {
	switch {
	case s.log != nil:
		return &pb.StreamResponse{Item: &pb.StreamResponse_Log{Log: s.log}}
	case s.metric != nil:
		return &pb.StreamResponse{Item: &pb.StreamResponse_Metric{Metric: s.metric}}
	}
	return &pb.StreamResponse{Item: &pb.StreamResponse_Denial{Denial: s.denial}}
}

// inLogs is a saying as Logs sends it.
func (s saying) inLogs() *pb.LogsResponse {
	switch {
	case s.log != nil:
		return &pb.LogsResponse{Item: &pb.LogsResponse_Log{Log: s.log}}
	case s.metric != nil:
		return &pb.LogsResponse{Item: &pb.LogsResponse_Metric{Metric: s.metric}}
	}
	return &pb.LogsResponse{Item: &pb.LogsResponse_Denial{Denial: s.denial}}
}
