// Package rafttest is for tests of Raft groups in which the lead is to go to a node, or on its way there for
// as long as the test likes.
package rafttest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/internal/await"
)

// ErrHeld is of what was held.
var ErrHeld = errors.New("it was held for too long")

// Lead is what tells another node to lead, as a transport's TimeoutNow does by Send. Nothing is held of the zero
// value's. It is safe for concurrent use.
type Lead struct {
	mu   sync.Mutex
	held <-chan struct{} // until it is closed
	told func()          // that something is held
}

// Hold has whoever is told to lead not hear of it. told is closed when there is such a one, and ErrHeld is the
// answer once release is called.
func (l *Lead) Hold() (told <-chan struct{}, release func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	held, heard := make(chan struct{}), make(chan struct{})
	l.held, l.told = held, sync.OnceFunc(func() { close(heard) })
	return heard, sync.OnceFunc(func() { close(held) })
}

// Send calls send, unless it is held.
func (l *Lead) Send(send func() error) error {
	l.mu.Lock()
	held, told := l.held, l.told
	l.mu.Unlock()
	if held == nil {
		return send()
	}
	told()
	<-held
	return ErrHeld
}

// Elect has a node lead in Raft, as another one wishes by its transport. What only a leader does it may not do yet.
func Elect(t testing.TB, by raft.Transport, id string, node *raft.Raft) {
	t.Helper()
	await.That(t, id+" is elected", func() bool {
		q := &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax}}
		if err := by.TimeoutNow(raft.ServerID(id), raft.ServerAddress(id), q, &raft.TimeoutNowResponse{}); err != nil {
			return false
		}
		return await.Within(time.Second, func() bool { return node.State() == raft.Leader })
	})
}

// GivesAway has a node that leads give the lead away, and whoever it tells not hear of that until release is called.
// A busy machine may have lost the lead before: again has the node lead once more.
func GivesAway(t testing.TB, l *Lead, node *raft.Raft, again func()) (release func()) {
	t.Helper()
	told, release := l.Hold()
	defer func() {
		if t.Failed() {
			release()
		}
	}()
	await.That(t, "it gives the lead away", func() bool {
		if node.State() != raft.Leader {
			again()
		}
		_ = node.LeadershipTransfer()
		return await.Within(time.Second, func() bool {
			select {
			case <-told:
				return true
			default:
				return false
			}
		})
	})
	return release
}
