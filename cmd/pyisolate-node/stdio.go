package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// lastWrite is how long a write may take that is under way at an interrupt, or comes after it.
const lastWrite = time.Second

// output is a command's standard output. The first write that fails is the last, and ends what the command
// does, which would else go on to take what is delivered once, and lose it. Where the reader of a pipe has
// gone, SIGPIPE ends the process before Write returns. A reader that takes nothing holds up no interrupt.
type output struct {
	to  io.Writer
	ctx context.Context    // ended by an interrupt
	end context.CancelFunc // of what the command does

	mu  sync.Mutex
	err error // of the write that failed
}

// newOutput returns also the context of what the command does.
func newOutput(ctx context.Context, to io.Writer) (context.Context, *output) {
	working, end := context.WithCancel(ctx)
	return working, &output{to: to, ctx: ctx, end: end}
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	if err := o.failure(); err != nil {
		return 0, err
	}
	written := bytes.Clone(p) // p is the caller's again when this returns
	n, err := during(o.ctx, lastWrite, func() (int, error) { return o.to.Write(written) })
	if err != nil {
		o.fail(err)
	}
	return n, err
}

func (o *output) fail(err error) {
	o.mu.Lock()
	o.err = err
	o.mu.Unlock()
	o.end()
}

// failure is why output takes no more; nil while it does.
func (o *output) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// checked is how a command ends whose work ended with err: not well, when what it printed is cut off.
func (o *output) checked(err error, said io.Writer) error {
	switch failed := o.failure(); {
	case failed == nil:
		return err
	case errors.Is(failed, errInterrupted):
		return exitStatus(statusInterrupt)
	default:
		fmt.Fprintf(said, "pyisolate-node: %v: what was printed is not whole\n", failed)
		return exitStatus(statusInternal)
	}
}
