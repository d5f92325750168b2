// Package commitnews tells followers of a Raft group at once what its leader has committed.
//
// Raft tells them with the next entry, or when none has come for CommitTimeout and up to twice that: until then
// a follower does not know what a client of the leader's does already. What is sent here is what Raft sends
// then, an AppendEntries without entries, so it needs nothing of the others. It names the last committed entry
// as the one that comes before, so a follower takes it only where its log has that one, and with it all that
// came before; and the term of that entry, in which this node leads, so one of a later term refuses it.
package commitnews

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Once is a transport that also has one on which nothing is tried again.
type Once interface{ Once() raft.Transport }

// Teller of one group. Its methods may be called from any goroutine.
type Teller struct {
	raft      *raft.Raft
	log       raft.LogStore
	transport raft.Transport
	header    raft.RPCHeader

	end     chan struct{} // closed by Close
	telling sync.WaitGroup

	mu    sync.Mutex
	ended bool
	news  map[raft.ServerID]uint64 // what a node is to be told after what it is told now; 0: nothing
}

// New makes one for a node, whose id in the group is given.
func New(r *raft.Raft, log raft.LogStore, transport raft.Transport, id raft.ServerID) *Teller {
	header := raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(id), Addr: transport.EncodePeer(id, transport.LocalAddr())}
	if t, ok := transport.(Once); ok {
		transport = t.Once()
	}
	return &Teller{raft: r, log: log, transport: transport, header: header, end: make(chan struct{}), news: map[raft.ServerID]uint64{}}
}

// Committed is called when this node, which leads, has applied an entry that it proposed. It does not wait. A node that
// takes long is told of the latest entry only.
func (t *Teller) Committed(index uint64) {
	future := t.raft.GetConfiguration()
	if future.Error() != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return
	}
	for _, s := range future.Configuration().Servers {
		if string(s.ID) == string(t.header.ID) {
			continue
		}
		last, busy := t.news[s.ID]
		t.news[s.ID] = max(last, index)
		if !busy {
			t.telling.Go(func() { t.tell(s) })
		}
	}
}

// tell tells a node until there is nothing new.
func (t *Teller) tell(s raft.Server) {
	for index := t.next(s.ID); index != 0; index = t.next(s.ID) {
		if args := t.message(index); args != nil {
			t.send(s, args)
		}
	}
}

// send sends a message, and again while the node does not have the entry yet: the leader commits what a majority has.
// Who has not taken it by then hears of it from Raft.
func (t *Teller) send(s raft.Server, args *raft.AppendEntriesRequest) {
	for _, pause := range again {
		var answer raft.AppendEntriesResponse
		if err := t.transport.AppendEntries(s.ID, s.Address, args, &answer); err != nil || answer.Success || answer.Term != args.Term || pause == 0 {
			return
		}
		select {
		case <-time.After(pause):
		case <-t.end:
			return
		}
	}
}

// again is how long to wait after each message for the next: less in all than Raft waits. 0: it was the last.
var again = [...]time.Duration{2 * time.Millisecond, 4 * time.Millisecond, 0}

// next is what a node is to be told, or 0 when that is nothing, and nobody tells it.
func (t *Teller) next(id raft.ServerID) (index uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if index = t.news[id]; index == 0 || t.ended {
		delete(t.news, id)
		return 0
	}
	t.news[id] = 0
	return index
}

// message is nil if this node does not lead in the entry's term.
func (t *Teller) message(index uint64) *raft.AppendEntriesRequest {
	var entry raft.Log
	if t.raft.State() != raft.Leader || t.log.GetLog(index, &entry) != nil || entry.Term != t.raft.CurrentTerm() {
		return nil
	}
	return &raft.AppendEntriesRequest{RPCHeader: t.header, Term: entry.Term,
		PrevLogEntry: index, PrevLogTerm: entry.Term, LeaderCommitIndex: index}
}

// Close ends it, and waits for the transport's calls.
func (t *Teller) Close() {
	t.mu.Lock()
	if !t.ended {
		t.ended = true
		close(t.end)
	}
	t.mu.Unlock()
	t.telling.Wait()
}
