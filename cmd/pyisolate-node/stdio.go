package main

import (
	"context"
	"fmt"
	"io"
	"sync"
)

// output is a command's standard output. The first write that fails is the last, and ends what the command
// does, which would else go on to take what is delivered once, and lose it. Where the reader of a pipe has
// gone, SIGPIPE ends the process before Write returns.
type output struct {
	to  io.Writer
	end context.CancelFunc // of what the command does

	mu  sync.Mutex
	err error // of the write that failed
}

// newOutput returns also the context of what the command does.
func newOutput(ctx context.Context, to io.Writer) (context.Context, *output) {
	ctx, end := context.WithCancel(ctx)
	return ctx, &output{to: to, end: end}
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	if err := o.failure(); err != nil {
		return 0, err
	}
	n, err := o.to.Write(p)
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
	failed := o.failure()
	if failed == nil {
		return err
	}
	fmt.Fprintf(said, "pyisolate-node: %v: what was printed is not whole\n", failed)
	return exitStatus(statusInternal)
}
