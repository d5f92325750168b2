package policystore

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// raftLogger makes Raft's messages records of l, with "component" raft. What Raft warns of when
// a node is alone, such as that nobody answers, is no more than information.
func raftLogger(l *slog.Logger, alone bool) hclog.Logger {
	h := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "raft", Output: io.Discard, Level: hclog.Off})
	h.RegisterSink(&sink{l.With("component", "raft"), alone})
	return h
}

// sink passes messages on. hclog calls it for all levels.
type sink struct {
	to    *slog.Logger
	alone bool
}

var slogLevels = map[hclog.Level]slog.Level{
	hclog.Info: slog.LevelInfo, hclog.Warn: slog.LevelWarn, hclog.Error: slog.LevelError,
}

// Accept implements hclog.SinkAdapter.
func (s *sink) Accept(_ string, level hclog.Level, msg string, args ...any) {
	to, ok := slogLevels[level]
	if !ok {
		to = slog.LevelDebug
	}
	switch {
	case s.alone && to == slog.LevelWarn:
		to = slog.LevelInfo
	case to > slog.LevelDebug && repeated[msg]:
		to = slog.LevelDebug
	}
	ctx := context.Background()
	if !s.to.Enabled(ctx, to) {
		return
	}
	for i, a := range args {
		if f, ok := a.(hclog.Format); ok && len(f) > 0 {
			args[i] = formatted(f)
		}
	}
	s.to.Log(ctx, to, msg, args...)
}

// repeated is what Raft says over and over about a node that is down. That it is down, others say.
var repeated = map[string]bool{
	"failed to heartbeat to": true, "failed to contact": true, "failed to appendEntries to": true,
	"failed to pipeline appendEntries": true, "failed to make requestVote RPC": true,
	"failed to start pipeline replication to": true,
	"failed to get previous log":              true, // here, of news that is ahead of its entry
}

// formatted is what hclog.Fmt was given, as text.
func formatted(f hclog.Format) string {
	format, ok := f[0].(string)
	if !ok {
		return fmt.Sprint(f...)
	}
	return fmt.Sprintf(format, f[1:]...)
}
