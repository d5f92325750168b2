package pydist

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// TerminalProgress returns a Progress for [Options] that keeps one line up to
// date when f is a terminal, and otherwise prints a single plain line.
func TerminalProgress(f *os.File) func(done, total int64) {
	if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err != nil {
		return plainProgress(f)
	}
	return liveProgress(f)
}

func plainProgress(f *os.File) func(done, total int64) {
	return func(done, total int64) {
		if done == 0 {
			_, _ = fmt.Fprintf(f, "unpacking python %s (%d MB, once)\n", EmbeddedVersion, total/1e6)
		}
	}
}

func liveProgress(f *os.File) func(done, total int64) {
	return func(done, total int64) {
		if done == total {
			// Wipe the line: what the user asked for comes next.
			_, _ = fmt.Fprint(f, "\r\x1b[K")
			return
		}
		_, _ = fmt.Fprintf(f, "\r\x1b[Kunpacking python %s: %d of %d MB", EmbeddedVersion, done/1e6, total/1e6)
	}
}
