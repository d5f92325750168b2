package cluster

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/internal/commitnews"
)

// patientTransport is a transport on which entries for a node that cannot be reached are tried again
// and again. Raft itself pauses longer after each failure, up to ten seconds: for so long a node
// that is back would not hear of anything. Heartbeats and votes fail at once, as they have to.
type patientTransport struct {
	*raft.NetworkTransport
	// waits tells whether entries for a node are worth waiting for: this node leads, and the other is
	// to follow.
	waits func(node string) bool
	stuck time.Duration // when a pipeline is taken for one that nobody takes answers from

	mu   sync.Mutex
	term uint64 // the highest that this node has led in
}

var (
	_ raft.Transport   = (*patientTransport)(nil)
	_ raft.WithClose   = (*patientTransport)(nil)
	_ raft.WithPreVote = (*patientTransport)(nil)
	_ commitnews.Once  = (*patientTransport)(nil)
)

// retryPause is between attempts.
const retryPause = 100 * time.Millisecond

// batchBytes is how much of the log a message has, unless its first entry alone has more. It has to
// arrive within raftTime.
const batchBytes = 1 << 20

// maxLate is how often a message that does not arrive in time is sent. Then it is Raft's: by now the
// log may begin later, and what the other lacks be in a snapshot, whose time is by its size.
const maxLate = 3

// stuckTime is longer than an answer takes that comes at all.
const stuckTime = 2 * raftTime

func patient(t *raft.NetworkTransport, waits func(node string) bool) *patientTransport {
	return &patientTransport{NetworkTransport: t, waits: waits, stuck: stuckTime}
}

// AppendEntries implements raft.Transport. It gives up when this node does not lead any more, as when
// it ends, or leads in another term, or the other is no member; or is reached and too slow.
func (t *patientTransport) AppendEntries(id raft.ServerID, at raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	cut(args)
	for late := 0; ; time.Sleep(retryPause) {
		err := t.NetworkTransport.AppendEntries(id, at, args, resp)
		if err == nil || isHeartbeat(args) || !t.goesOn(args.Term, string(id)) {
			return err
		}
		if len(args.Entries) > 0 && isLate(err) {
			if late++; late == maxLate {
				return err
			}
		}
	}
}

// Once implements commitnews.Once.
func (t *patientTransport) Once() raft.Transport { return t.NetworkTransport }

// cut leaves a message what one may have. Raft goes on with the first entry that it has not sent.
func cut(a *raft.AppendEntriesRequest) {
	room := batchBytes
	for i, e := range a.Entries {
		if room -= len(e.Data); room < 0 && i > 0 {
			a.Entries = a.Entries[:i]
			return
		}
	}
}

// isLate tells what took too long on a connection from what found none. The encoding's errors have a
// cause and do not unwrap.
func isLate(err error) bool {
	var coded interface{ Cause() error }
	if errors.As(err, &coded) {
		err = coded.Cause()
	}
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// AppendEntriesPipeline implements raft.Transport.
func (t *patientTransport) AppendEntriesPipeline(id raft.ServerID, at raft.ServerAddress) (raft.AppendPipeline, error) {
	p, err := t.NetworkTransport.AppendEntriesPipeline(id, at)
	if err != nil {
		return nil, err
	}
	return &pipeline{p, t.stuck}, nil
}

// pipeline is one that does not get stuck. Raft stops taking answers from a pipeline when one of them
// says that this node leads no more; whoever adds to it just then would wait for ever, and Raft's
// end for him.
type pipeline struct {
	raft.AppendPipeline
	stuck time.Duration
}

// AppendEntries implements raft.AppendPipeline.
func (p *pipeline) AppendEntries(args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	cut(args)
	limit := time.AfterFunc(p.stuck, func() { _ = p.Close() })
	defer limit.Stop()
	return p.AppendPipeline.AppendEntries(args, resp)
}

// Close implements raft.WithClose. It ends connections, too, which Raft's own leaves to the others.
func (t *patientTransport) Close() error {
	err := t.NetworkTransport.Close()
	t.CloseStreams()
	return err
}

// goesOn tells whether what was not sent in a term is still to be.
func (t *patientTransport) goesOn(term uint64, node string) bool {
	t.mu.Lock()
	t.term = max(t.term, term)
	last := term == t.term
	t.mu.Unlock()
	return last && t.waits(node)
}

// isHeartbeat is how Raft's own transport tells them.
func isHeartbeat(a *raft.AppendEntriesRequest) bool {
	return a.PrevLogEntry == 0 && a.PrevLogTerm == 0 && len(a.Entries) == 0 && a.LeaderCommitIndex == 0
}

// raftLogger has what Raft's transport says among the messages for those who look closely: a node
// that is down is told of elsewhere, once.
func raftLogger(l *slog.Logger) hclog.Logger {
	if !l.Enabled(context.Background(), slog.LevelDebug) {
		return hclog.New(&hclog.LoggerOptions{Output: io.Discard})
	}
	return hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, DisableTime: true, Output: debugWriter{l}})
}

type debugWriter struct{ to *slog.Logger }

// Write implements io.Writer.
func (w debugWriter) Write(b []byte) (int, error) {
	w.to.Debug("raft", "message", string(b))
	return len(b), nil
}
