package server

import "context"

type traceKey struct{}

// traceOf is the trace context that a call came with, as W3C's traceparent has it; "" without.
func traceOf(ctx context.Context) string {
	parent, _ := ctx.Value(traceKey{}).(string)
	return parent
}

// maxTrace is how long a traceparent is that is carried on.
const maxTrace = 128

// withTrace keeps what a request says of its trace.
func withTrace(ctx context.Context, parent string) context.Context {
	if parent == "" || len(parent) > maxTrace {
		return ctx
	}
	return context.WithValue(ctx, traceKey{}, parent)
}
