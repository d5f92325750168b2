package logging

import (
	"context"
	"log/slog"

	"github.com/pyisolate/pyisolate/telemetry/trace"
)

// handler adds what the context knows, and cleans messages; attributes are cleaned by replace.
type handler struct{ next slog.Handler }

var _ slog.Handler = handler{}

// Enabled implements slog.Handler.
func (h handler) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

// Handle implements slog.Handler.
func (h handler) Handle(ctx context.Context, r slog.Record) error {
	r.Message = Clean(Redact(r.Message))
	if s, ok := ctx.Value(subjectKey{}).(subject); ok {
		r.AddAttrs(slog.String("tenant", s.tenant), slog.String("cell", s.cell))
	}
	if id := trace.ID(ctx); id != "" {
		r.AddAttrs(slog.String("trace", id))
	}
	return h.next.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h handler) WithAttrs(a []slog.Attr) slog.Handler { return handler{h.next.WithAttrs(a)} }

// WithGroup implements slog.Handler.
func (h handler) WithGroup(name string) slog.Handler { return handler{h.next.WithGroup(Clean(name))} }
