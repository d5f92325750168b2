package main

import (
	"os"
	"runtime/debug"
)

// collectAt is how much of its live memory, in percent, a node that serves lets become garbage
// before it collects. Go's own 100 is for programs with more of it: a node has some 20 MiB, and
// would collect fifty times a second under load, for a fifth of its processor time.
const collectAt = 400

// collectSeldom makes it so, unless $GOGC says otherwise. The caller undoes it.
func collectSeldom() (undo func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	before := debug.SetGCPercent(collectAt)
	return func() { debug.SetGCPercent(before) }
}
