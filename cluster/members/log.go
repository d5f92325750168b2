package members

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
)

// sink makes memberlist's lines records of a logger, until it is closed: memberlist does not wait for
// its goroutines when it is shut down, and those that end later have a word to say.
type sink struct {
	to *slog.Logger

	mu     sync.RWMutex
	closed bool
}

// newSink writes to l, with "component" gossip.
func newSink(l *slog.Logger) *sink { return &sink{to: l.With("component", "gossip")} }

// close returns when nothing is written, and nothing will be.
func (s *sink) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

// Levels as memberlist writes them. Its errors are about single packets and connections, which
// strangers can send: they are no more than warnings here.
var levels = []struct {
	prefix string
	level  slog.Level
}{
	{"[DEBUG] ", slog.LevelDebug}, {"[INFO] ", slog.LevelDebug}, {"[WARN] ", slog.LevelInfo},
	{"[ERR] ", slog.LevelWarn}, {"[ERROR] ", slog.LevelWarn},
}

// Write takes one line.
func (s *sink) Write(line []byte) (int, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return len(line), nil
	}
	text, level := bytes.TrimSpace(line), slog.LevelInfo
	for _, l := range levels {
		if rest, ok := bytes.CutPrefix(text, []byte(l.prefix)); ok {
			text, level = rest, l.level
			break
		}
	}
	text = bytes.TrimPrefix(text, []byte("memberlist: "))
	s.to.Log(context.Background(), level, string(text))
	return len(line), nil
}
