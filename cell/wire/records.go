package wire

import "time"

// Bounds of what logs, metrics and denials one cell may send on, each second and at once. The
// host counts them, and the node, which does not rely on it.
const (
	recordsPerSecond, recordsAtOnce = 10_000, 20_000
	recordBytesPerSec               = 8 << 20
	// RecordBytes are those at once, and so the most that one record has.
	RecordBytes = 16 << 20
)

// Records limits the records of one cell by number and by bytes. At first it has all that it
// permits at once.
type Records struct {
	at             time.Time
	records, bytes float64 // that may come now
}

// Take reports whether a record of n bytes may come. times is how often the bounds at once are
// to be had: what a host has let through over some time may come to the node in one piece.
func (r *Records) Take(now time.Time, n int, times float64) bool {
	if r.at.IsZero() {
		r.records, r.bytes = times*recordsAtOnce, times*RecordBytes
	} else {
		passed := now.Sub(r.at).Seconds()
		r.records = min(r.records+passed*recordsPerSecond, times*recordsAtOnce)
		r.bytes = min(r.bytes+passed*recordBytesPerSec, times*RecordBytes)
	}
	r.at = now
	if r.records < 1 || r.bytes < float64(n) {
		return false
	}
	r.records--
	r.bytes -= float64(n)
	return true
}
