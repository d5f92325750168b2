// Command pyisolate-node runs untrusted Python in cells.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/host"
)

func main() { os.Exit(Main(os.Args[1:])) }

// Main runs the command line and returns the exit status.
func Main(args []string) int {
	if len(args) > 0 && args[0] == "host" {
		return host.Main(hostOptions())
	}
	root := newRoot()
	root.SetArgs(args)
	err := root.Execute()
	var silent exitStatus
	switch {
	case err == nil:
		return 0
	case errors.As(err, &silent):
		return int(silent)
	}
	fmt.Fprintln(os.Stderr, "pyisolate-node:", err)
	return statusOf(err)
}

// exitStatus is an error that has been shown already.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// Exit statuses; docs/cli.md and `run --help` list them. Changing one breaks
// scripts.
const (
	statusGuest     = 1   // the guest's own exception
	statusUsage     = 2   // the command line or the input is wrong
	statusInternal  = 70  // the node could not do its work
	statusKindBase  = 10  // plus the cell.Kind for policy and quota errors
	statusInterrupt = 130 // Ctrl-C
)

func statusOf(err error) int {
	switch kind := cell.KindOf(err); kind {
	case cell.KindUnknown:
		var usage usageError
		if errors.As(err, &usage) {
			return statusUsage
		}
		return statusInternal
	case cell.GuestError:
		return statusGuest
	case cell.Invalid:
		return statusUsage
	case cell.Cancelled:
		return statusInterrupt
	default:
		return statusKindBase + int(kind)
	}
}

type usageError struct{ error }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "pyisolate-node",
		Short:         "Run Python you do not trust, in cells",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see %s --help", err, c.CommandPath())}
	})
	root.AddCommand(newRun(), newVersion(), newBench(), newBenchHost())
	return root
}
