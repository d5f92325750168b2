package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
)

// note says on a terminal what is being done; clearStep takes it away again.
func note(progress io.Writer, doing string) {
	if isTerminal(progress) {
		_, _ = io.WriteString(progress, "\r\x1b[K"+doing)
	}
}

// step is note with how far it has come.
func step(progress io.Writer, doing, what string, i, n int) {
	note(progress, fmt.Sprintf("%s %s (%d of %d)", doing, what, i+1, n))
}

func clearStep(progress io.Writer) {
	if isTerminal(progress) {
		_, _ = io.WriteString(progress, "\r\x1b[K")
	}
}

// interrupted is the exit status of a command that was ended from outside before its time, else err.
func interrupted(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return exitStatus(statusInterrupt)
	}
	return err
}

func isTerminal(w io.Writer) bool {
	if o, ok := w.(*output); ok {
		w = o.to
	}
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// oneLine keeps a row of a table a row.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
