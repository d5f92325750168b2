package capability

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Record is what one request left behind. It holds no payload, no answer and no
// secret.
type Record struct {
	At time.Time
	Identity
	Capability, Action string
	// Target is what it was about, as the capability summed it up; may be "".
	Target string
	// Version of the policy and the Rule of it that decided.
	Version uint64
	Rule    string
	Outcome Kind
	// Message is the error's, as the guest had it.
	Message string
	// Fault is more about an error than the guest was told; may be "".
	Fault    string
	Duration time.Duration
	// BytesIn is the payload's size, BytesOut the answer's.
	BytesIn, BytesOut int
}

// Denial is the evidence of one refusal.
type Denial struct {
	At time.Time
	Identity
	Capability, Action, Target string
	Version                    uint64
	Rule                       string
	// Reason is the error's message.
	Reason string
}

// Recorder receives the evidence. Its methods are called from many goroutines and
// must not block or panic. Of a refusal, Denied comes first, then Record, and then
// the guest has its answer.
type Recorder interface {
	Denied(Denial)
	Record(Record)
}

// nobody is the Recorder of a broker without one.
type nobody struct{}

func (nobody) Denied(Denial) {}
func (nobody) Record(Record) {}

// LogRecorder writes records to a logger: refusals and faults as warnings and
// errors, the rest as debug or info. Beyond a rate it drops the surplus, which a
// flooding guest makes, and says how many with the next one it writes.
type LogRecorder struct {
	logger *slog.Logger
	limit  *rate.Limiter

	mu   sync.Mutex
	lost uint64
}

// NewLogRecorder writes at most perSecond records a second, and twice as many after
// a rest; 0 or less is unlimited.
func NewLogRecorder(logger *slog.Logger, perSecond int) *LogRecorder {
	limit := rate.NewLimiter(rate.Inf, 0)
	if perSecond > 0 {
		limit = rate.NewLimiter(rate.Limit(perSecond), 2*perSecond)
	}
	return &LogRecorder{logger: logger, limit: limit}
}

var _ Recorder = (*LogRecorder)(nil)

// Denied writes nothing: the record that follows says the same.
func (r *LogRecorder) Denied(Denial) {}

// Record writes one line.
func (r *LogRecorder) Record(rec Record) {
	level := levelOf(rec.Outcome)
	if !r.logger.Enabled(context.Background(), level) {
		return
	}
	lost, ok := r.admit(rec.At)
	if !ok {
		return
	}
	attrs := []slog.Attr{
		slog.String("tenant", rec.Tenant), slog.String("cell", rec.Cell),
		slog.String("capability", rec.Capability), slog.String("action", rec.Action),
		slog.String("target", rec.Target), slog.Uint64("policy", rec.Version),
		slog.String("rule", rec.Rule), slog.String("outcome", rec.Outcome.String()),
		slog.Duration("duration", rec.Duration),
		slog.Int("bytes_in", rec.BytesIn), slog.Int("bytes_out", rec.BytesOut),
	}
	if rec.Message != "" {
		attrs = append(attrs, slog.String("message", rec.Message))
	}
	if rec.Fault != "" {
		attrs = append(attrs, slog.String("fault", rec.Fault))
	}
	if lost > 0 {
		attrs = append(attrs, slog.Uint64("records_lost", lost))
	}
	r.logger.LogAttrs(context.Background(), level, "request", attrs...)
}

func levelOf(outcome Kind) slog.Level {
	switch outcome {
	case OK:
		return slog.LevelDebug
	case Denied:
		return slog.LevelWarn
	case Internal:
		return slog.LevelError
	}
	return slog.LevelInfo
}

func (r *LogRecorder) admit(at time.Time) (lost uint64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.limit.AllowN(at, 1) {
		r.lost++
		return 0, false
	}
	lost, r.lost = r.lost, 0
	return lost, true
}
