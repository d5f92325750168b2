package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/api/fault"
	"github.com/pyisolate/pyisolate/policystore"
)

// answers turns what handlers return into what clients read, for all calls.
type answers struct{ logger *slog.Logger }

var _ connect.Interceptor = (*answers)(nil)

// WrapUnary implements connect.Interceptor.
func (a *answers) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
		response, err := next(ctx, r)
		if err == nil {
			err = unreadOf(ctx).keep(response.Any())
		}
		return response, a.answer(ctx, r.Spec(), err)
	}
}

// WrapStreamingClient implements connect.Interceptor; servers have none.
func (a *answers) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler implements connect.Interceptor.
func (a *answers) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, c connect.StreamingHandlerConn) error {
		return a.answer(ctx, c.Spec(), next(ctx, unreadStream{c, unreadOf(ctx)}))
	}
}

// answer is err for the client. What it is not told, the log is. The result is nil as an
// error when err is.
func (a *answers) answer(ctx context.Context, call connect.Spec, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); errors.Is(cause, fault.ErrUnavailable) || errors.Is(cause, policystore.ErrUnauthenticated) {
		err = cause
	}
	answer, ok := fault.Answer(err)
	if !ok {
		a.logger.ErrorContext(ctx, "call failed", slog.String("call", call.Procedure), slog.String("principal", principalOf(ctx).Name), slog.Any("error", err))
	}
	return answer
}

// recovered makes a panic of a handler an error of its call alone.
func (a *answers) recovered(ctx context.Context, call connect.Spec, _ http.Header, panicked any) error {
	return a.answer(ctx, call, fmt.Errorf("panic: %v\n%s", panicked, debug.Stack()))
}
