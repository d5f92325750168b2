package telemetry

import (
	"context"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/telemetry/trace"
)

// Interceptor counts and traces calls of the API. It is to be the first, so that it sees what
// clients are answered.
func (o *Observer) Interceptor() connect.Interceptor { return calls{o} }

type calls struct{ observer *Observer }

var _ connect.Interceptor = calls{}

// WrapUnary implements connect.Interceptor.
func (c calls) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	if c.observer == nil {
		return next
	}
	return func(ctx context.Context, r connect.AnyRequest) (_ connect.AnyResponse, err error) {
		ctx, end := c.observer.call(ctx, r.Spec().Procedure, r.Header())
		defer func() { end(err) }() // also when something panics
		return next(ctx, r)
	}
}

// WrapStreamingClient implements connect.Interceptor; servers have none.
func (c calls) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler implements connect.Interceptor.
func (c calls) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	if c.observer == nil {
		return next
	}
	return func(ctx context.Context, s connect.StreamingHandlerConn) (err error) {
		ctx, end := c.observer.call(ctx, s.Spec().Procedure, s.RequestHeader())
		defer func() { end(err) }()
		return next(ctx, s)
	}
}

func (o *Observer) call(ctx context.Context, procedure string, h http.Header) (context.Context, func(error)) {
	began := time.Now()
	ctx, span := o.Tracer.Serve(trace.Extract(ctx, h), procedure)
	o.Metrics.Procedure(procedure) // that has a handler
	o.Metrics.Serving(1)
	return ctx, func(err error) {
		code := codeOf(err)
		span.Text("rpc.code", code)
		span.End(err)
		o.Metrics.Serving(-1)
		o.Metrics.Called(procedure, code, time.Since(began), trace.ID(ctx))
	}
}

// Refused counts a call that was answered before it was looked at: for the API's gate, which knows
// that there is such a procedure.
func (o *Observer) Refused(procedure string, err error) {
	if o != nil {
		o.Metrics.Procedure(procedure)
		o.Metrics.Called(procedure, codeOf(err), 0, "")
	}
}

func codeOf(err error) string {
	if err == nil {
		return "ok"
	}
	return connect.CodeOf(err).String()
}
