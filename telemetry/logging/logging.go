package logging

import (
	"context"
	"fmt"
	"io"
	"log/slog"
)

// Formats of lines.
const (
	Text = "text"
	JSON = "json"
)

// New returns a logger that writes lines of a format to w, of records at level or above.
func New(w io.Writer, format string, level slog.Leveler) (*slog.Logger, error) {
	o := &slog.HandlerOptions{Level: level, ReplaceAttr: replace}
	switch format {
	case Text:
		return slog.New(handler{slog.NewTextHandler(w, o)}), nil
	case JSON:
		return slog.New(handler{slog.NewJSONHandler(w, o)}), nil
	}
	return nil, fmt.Errorf("log format %q: write %s or %s", format, Text, JSON)
}

// With has records that are logged with the context name a cell of a tenant.
func With(ctx context.Context, tenant, cell string) context.Context {
	return context.WithValue(ctx, subjectKey{}, subject{tenant, cell})
}

type subjectKey struct{}

type subject struct{ tenant, cell string }
