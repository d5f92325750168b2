package group

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/internal/logged"
)

// nobody is the peers of a node that knows none.
type nobody struct{}

// Ask implements Peers.
func (nobody) Ask(context.Context, string, []byte) ([]byte, error) { return nil, ErrNoLeader }

// A node whose log cannot be written says so when it is asked for its vote, gives none, and can be closed.
func TestTermThatCannotBeStored(t *testing.T) {
	log := &logged.Text{}
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
	await.That(t, "it says that its log cannot be written", func() bool { return strings.Contains(log.String(), "the directory's log cannot be written") })
	must(t, g.Close())
	if err := <-voted; err == nil && vote.Granted {
		t.Error("it gave a vote that it does not remember")
	}
}
