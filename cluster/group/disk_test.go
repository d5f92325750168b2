package group

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/internal/await"
)

// nobody is the peers of a node that knows none.
type nobody struct{}

// Ask implements Peers.
func (nobody) Ask(context.Context, string, []byte) ([]byte, error) { return nil, ErrNoLeader }

// said is what a logger wrote.
type said struct {
	mu  sync.Mutex
	all bytes.Buffer
}

// Write implements io.Writer.
func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.Write(b)
}

// tells reports whether it was written.
func (s *said) tells(what string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(s.all.String(), what)
}

// A node whose log cannot be written says so when it is asked for its vote, gives none, and can be closed.
func TestTermThatCannotBeStored(t *testing.T) {
	log := &said{}
	_, transport := raft.NewInmemTransport("n0")
	g, err := Open(Config{Dir: t.TempDir(), Node: "n0", Transport: transport, Peers: nobody{}, Logger: slog.New(slog.NewTextHandler(log, nil))})
	must(t, err)
	must(t, g.log.Close())

	_, other := raft.NewInmemTransportWithTimeout("n1", time.Minute)
	other.Connect("n0", transport)
	header := raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte("n1"), Addr: []byte("n1")}
	var vote raft.RequestVoteResponse
	voted := make(chan error, 1)
	go func() {
		voted <- other.RequestVote("n0", "n0", &raft.RequestVoteRequest{RPCHeader: header, Term: 5}, &vote)
	}()
	await.That(t, "it says that its log cannot be written", func() bool { return log.tells("the directory's log cannot be written") })
	must(t, g.Close())
	if err := <-voted; err == nil && vote.Granted {
		t.Error("it gave a vote that it does not remember")
	}
}
