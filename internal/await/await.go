// Package await is for tests that wait for what another goroutine, process or the kernel brings
// about and tells nobody: it looks again and again until it is so. What tells is better waited for
// by what it tells.
package await

import (
	"testing"
	"time"
)

const (
	// patience is more than anything takes on a busy machine.
	patience = 20 * time.Second
	// pause is between two looks.
	pause = time.Millisecond
)

// That fails the test when something has not become so within twenty seconds. what names it.
func That(tb testing.TB, what string, is func() bool) {
	tb.Helper()
	if !Within(patience, is) {
		tb.Fatalf("waited %s in vain: %s", patience, what)
	}
}

// Within reports whether something became so in time. It looks at least once.
func Within(d time.Duration, is func() bool) bool {
	deadline := time.NewTimer(d)
	defer deadline.Stop()
	look := time.NewTicker(pause)
	defer look.Stop()
	for !is() {
		select {
		case <-look.C:
		case <-deadline.C:
			return is()
		}
	}
	return true
}
