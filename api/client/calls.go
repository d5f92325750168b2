package client

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"

	"connectrpc.com/connect"
	"go.opentelemetry.io/otel/propagation"

	"github.com/pyisolate/pyisolate/api/fault"
)

// errorsOf makes the errors of calls what the node had.
type errorsOf struct{}

var _ connect.Interceptor = errorsOf{}

// WrapUnary implements connect.Interceptor.
func (errorsOf) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
		response, err := next(ctx, r)
		return response, answered(err)
	}
}

// WrapStreamingClient implements connect.Interceptor.
func (errorsOf) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		return stream{next(ctx, spec)}
	}
}

// WrapStreamingHandler implements connect.Interceptor; clients have none.
func (errorsOf) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

// stream is a stream whose errors are the node's.
type stream struct{ connect.StreamingClientConn }

// Receive implements connect.StreamingClientConn.
func (s stream) Receive(message any) error {
	err := s.StreamingClientConn.Receive(message)
	if errors.Is(err, io.EOF) { // the end, which package connect looks for
		return err
	}
	return answered(err)
}

// Send implements connect.StreamingClientConn.
func (s stream) Send(message any) error {
	err := s.StreamingClientConn.Send(message)
	if errors.Is(err, io.EOF) { // Receive says why
		return err
	}
	return answered(err)
}

// CloseRequest implements connect.StreamingClientConn.
func (s stream) CloseRequest() error { return answered(s.StreamingClientConn.CloseRequest()) }

func answered(err error) error {
	var unreachable *unreachableError
	if errors.As(err, &unreachable) {
		return unreachable
	}
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) { // who answered was perhaps no node
		return &unreachableError{untrusted}
	}
	return fault.Answered(err)
}

// headers of each call: the token, "" for none, and the caller's place in its trace.
type headers struct{ token string }

var _ connect.Interceptor = headers{}

// WrapUnary implements connect.Interceptor.
func (h headers) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
		h.set(ctx, r.Header())
		return next(ctx, r)
	}
}

// WrapStreamingClient implements connect.Interceptor.
func (h headers) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		c := next(ctx, spec)
		h.set(ctx, c.RequestHeader())
		return c
	}
}

// WrapStreamingHandler implements connect.Interceptor.
func (h headers) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

// set leaves a trace that the caller has named himself.
func (h headers) set(ctx context.Context, of http.Header) {
	if h.token != "" {
		of.Set("Authorization", "Bearer "+h.token)
	}
	if of.Get("Traceparent") == "" {
		propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(of))
	}
}
