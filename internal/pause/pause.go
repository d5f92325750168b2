// Package pause waits between attempts.
package pause

import (
	"context"
	"time"
)

// For waits for so long, and reports whether ctx lasted for it. It may be called by any goroutine,
// and starts none.
func For(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
