package trace

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/propagation"
	otel "go.opentelemetry.io/otel/trace"
)

// Header is where clients put the trace that a request is part of, in HTTP's headers and gRPC's
// metadata.
const Header = "Traceparent"

var propagator propagation.TraceContext

// Extract puts the client's trace into the context, if there is a valid one.
func Extract(ctx context.Context, h http.Header) context.Context {
	if h.Get(Header) == "" {
		return ctx
	}
	return propagator.Extract(ctx, propagation.HeaderCarrier(h))
}

// ID is the id of the context's trace, 32 hexadecimal digits; "" where there is none.
func ID(ctx context.Context) string {
	s := otel.SpanContextFromContext(ctx)
	if !s.HasTraceID() {
		return ""
	}
	return s.TraceID().String()
}

// Parent is the context's place in its trace as a traceparent, "" where there is none. It is what
// actors.Envelope carries.
func Parent(ctx context.Context) string {
	if !otel.SpanContextFromContext(ctx).IsValid() {
		return ""
	}
	h := propagation.MapCarrier{}
	propagator.Inject(ctx, h)
	return h.Get("traceparent")
}

// Within puts a traceparent into a context that has no trace of its own; what is not one changes
// nothing.
func Within(ctx context.Context, parent string) context.Context {
	if parent == "" || otel.SpanContextFromContext(ctx).IsValid() {
		return ctx
	}
	return propagator.Extract(ctx, propagation.MapCarrier{"traceparent": parent})
}
