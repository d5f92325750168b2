package client

import (
	"context"
	"crypto/tls"
	"errors"
	"io"

	"connectrpc.com/connect"

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

// bearer is the token of each call; "" is none.
type bearer string

var _ connect.Interceptor = bearer("")

// WrapUnary implements connect.Interceptor.
func (b bearer) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
		if b != "" {
			r.Header().Set("Authorization", "Bearer "+string(b))
		}
		return next(ctx, r)
	}
}

// WrapStreamingClient implements connect.Interceptor.
func (b bearer) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		c := next(ctx, spec)
		if b != "" {
			c.RequestHeader().Set("Authorization", "Bearer "+string(b))
		}
		return c
	}
}

// WrapStreamingHandler implements connect.Interceptor.
func (b bearer) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}
