package members

import (
	"bytes"
	"context"
	"log"
	"log/slog"
)

// stdLogger makes memberlist's lines records of l, with "component" gossip.
func stdLogger(l *slog.Logger) *log.Logger {
	return log.New(sink{l.With("component", "gossip")}, "", 0)
}

type sink struct{ to *slog.Logger }

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
func (s sink) Write(line []byte) (int, error) {
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
