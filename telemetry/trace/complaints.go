package trace

import (
	"log/slog"

	"golang.org/x/time/rate"
)

// complaints are what OpenTelemetry says that it cannot do, a line a minute.
type complaints struct {
	logger *slog.Logger
	limit  *rate.Limiter
}

func newComplaints(l *slog.Logger) *complaints {
	if l == nil {
		l = slog.New(slog.DiscardHandler)
	}
	return &complaints{l, rate.NewLimiter(rate.Limit(1.0/60), 1)}
}

// Handle implements the error handler of OpenTelemetry.
func (c *complaints) Handle(err error) {
	if c.limit.Allow() {
		c.logger.Warn("traces are not exported", "error", err)
	}
}
