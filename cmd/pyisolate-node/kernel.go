package main

import (
	"context"
	"fmt"
	"io"

	"github.com/pyisolate/pyisolate/kernel/enforce"
)

// openKernel takes what the kernel gives this node: nil, with a warning, where that fails.
// Programs are loaded if they are wanted. Where it gives nothing, or not to this user, the cells' reports say so. It is to be closed
// when all hosts have ended.
func openKernel(ctx context.Context, programs bool, warnings io.Writer) *enforce.Enforcer {
	kernel, err := enforce.Open(ctx, programs)
	if err != nil {
		_, _ = fmt.Fprintf(warnings, "pyisolate-node: without the node's half of the kernel's layers: %v\n", err)
		return nil
	}
	return kernel
}

// closeKernel gives it back. What cannot be removed now is removed by the next node.
func closeKernel(kernel *enforce.Enforcer) { _ = kernel.Close() }
