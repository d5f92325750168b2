// Package boottime is a clock that counts while the machine sleeps, that nobody can set, and
// that all processes of a machine share.
package boottime

import (
	"time"

	"golang.org/x/sys/unix"
)

// Now is the time since the machine started. Where the kernel has no such clock it is the time
// since the process did, which others do not share.
func Now() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return time.Since(processStart)
	}
	return time.Duration(t.Nano())
}

var processStart = time.Now()
