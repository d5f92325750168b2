package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// sameSignal is how long after the first signal a second is taken for the same: timeout(1) sends two.
const sameSignal = 500 * time.Millisecond

// interruptible is a context that Ctrl-C and SIGTERM end. A later signal has its usual effect, for a command
// that does not end by the first.
func interruptible(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(parent, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, func() { time.AfterFunc(sameSignal, stop) })
	return ctx, stop
}

var errInterrupted = errors.New("interrupted")

// during waits for a read or a write, which another process may hold up for ever: when ctx has ended, for no
// longer than grace. It goes on beside then, until the process ends.
func during(ctx context.Context, grace time.Duration, do func() (int, error)) (int, error) {
	type outcome struct {
		n   int
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		n, err := do()
		done <- outcome{n, err}
	}()
	select {
	case is := <-done:
		return is.n, is.err
	case <-ctx.Done():
	}
	last := time.NewTimer(grace)
	defer last.Stop()
	select {
	case is := <-done:
		return is.n, is.err
	case <-last.C:
		return 0, errInterrupted
	}
}

// input is a command's standard input, whose reads end with ctx.
type input struct {
	ctx  context.Context
	from io.Reader
}

// Read implements io.Reader.
func (i *input) Read(p []byte) (int, error) {
	read := make([]byte, len(p)) // p is the caller's again when this returns
	n, err := during(i.ctx, 0, func() (int, error) { return i.from.Read(read) })
	return copy(p, read[:n]), err
}
