package main

import (
	"context"
	"fmt"
	"io"

	"github.com/pyisolate/pyisolate/kernel/enforce"
)

// openKernel takes what the kernel gives this node: nil, with a warning, where that fails.
// Where it gives nothing, or not to this user, the cells' reports say so. It is to be closed
// when all hosts have ended.
func openKernel(ctx context.Context, warnings io.Writer) *enforce.Enforcer {
	kernel, err := enforce.Open(ctx)
	if err != nil {
		_, _ = fmt.Fprintf(warnings, "pyisolate-node: without control groups: %v\n", err)
		return nil
	}
	return kernel
}

// closeKernel gives it back. What cannot be removed now is removed by the next node.
func closeKernel(kernel *enforce.Enforcer) { _ = kernel.Close() }
