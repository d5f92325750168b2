package server

import (
	"sync"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
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

type saying struct {
	item *pb.StreamResponse
	size int
}

func newSayings() *sayings { return &sayings{more: make(chan struct{})} }

// add keeps item, whose texts have about size bytes.
func (s *sayings) add(item *pb.StreamResponse, size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = append(s.kept, saying{item, size})
	s.bytes += size
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
func (s *sayings) from(at uint64) (items []*pb.StreamResponse, lost, next uint64, more <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.next - uint64(len(s.kept))
	if at < first {
		at, lost = first, first-at
	}
	for _, one := range s.kept[at-first:] {
		items = append(items, one.item)
	}
	return items, lost, s.next, s.more
}
