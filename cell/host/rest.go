package host

import "time"

// A zygote that fails is replaced, and one that goes on failing is done without:
// after restFailures within restWindow, or at once when none can be started. It is
// tried again after restTime.
const (
	restFailures = 3
	restWindow   = time.Minute
	restTime     = 5 * time.Minute
)

// rest is the time without a zygote. Its owner guards it.
type rest struct {
	failures []time.Time // the latest, restFailures at most
	last     string      // the latest failure
	until    time.Time
	always   bool
	why      string // the failure before the first cell that was executed
}

// failed notes that a zygote died or refused to fork.
func (r *rest) failed(err error, now time.Time) {
	r.last = err.Error()
	r.failures = append(r.failures, now)
	if n := len(r.failures); n >= restFailures {
		r.failures = r.failures[n-restFailures:]
		if now.Sub(r.failures[0]) <= restWindow {
			r.begin(err, now)
		}
	}
}

// begin is called when trying again at once is of no use.
func (r *rest) begin(err error, now time.Time) {
	r.last, r.until, r.failures = err.Error(), now.Add(restTime), nil
}

// on reports whether cells are to be executed without asking a zygote.
func (r *rest) on(now time.Time) bool { return r.always || now.Before(r.until) }

// blame is called when a cell is executed.
func (r *rest) blame() {
	if r.why == "" {
		r.why = r.last
	}
}
