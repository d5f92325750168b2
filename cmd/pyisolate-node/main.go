// Command pyisolate-node runs untrusted Python in cells.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/pyisolate/pyisolate/node"
)

func main() {
	node.Init() // does not return in a process that hosts cells
	os.Exit(Main(os.Args[1:]))
}

// Main runs the command line and returns the exit status.
func Main(args []string) int {
	root := newRoot()
	// What fails before a command begins is the command line.
	begun := false
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error {
		err := errors.Join(c.ValidateRequiredFlags(), c.ValidateFlagGroups()) // cobra does so later
		if begun = err == nil; !begun {
			return seeHelp(c, err)
		}
		return nil
	}
	root.SetArgs(args)
	c, err := root.ExecuteC()
	var silent exitStatus
	switch {
	case err == nil:
		return 0
	case errors.As(err, &silent):
		return int(silent)
	case !begun:
		err = usageError{err}
	}
	if !failedAsJSON(c, err) {
		fmt.Fprintln(os.Stderr, "pyisolate-node:", err)
	}
	return statusOf(err)
}

// failedAsJSON prints an error on standard output, as the command's own are, if it was told --json.
func failedAsJSON(c *cobra.Command, failed error) bool {
	if f := c.Flags().Lookup("json"); f == nil || f.Value.String() != "true" {
		return false
	}
	out := failureOf(failed, nil, statusOf(failed))
	if e, ok := asCellError(failed); ok {
		out.Message = e.Message // its kind is beside it
	}
	var line any = map[string]any{"error": out}
	if c.Name() == "run" {
		line = event{Type: "error", Error: &errorEvent{Kind: out.Kind, Message: out.Message, Status: out.Status}}
	}
	writeLine(os.Stdout, line)
	return true
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "pyisolate-node",
		Short: "Run untrusted Python in cells",
		Long: `Run untrusted Python in cells.

A cell is a CPython interpreter of its own, with limits on memory, CPU time,
output and imports. A cell can be stopped whether or not its code cooperates.`,
		Example: `  pyisolate-node run examples/hello.py
  pyisolate-node run --backend process --mem 64MiB --wall 10s untrusted.py
  pyisolate-node run --help`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.Args, root.RunE = cobra.NoArgs, func(c *cobra.Command, _ []string) error { return c.Help() }
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(newRun(), newServe(), newInit(), newCluster(), newConfig(), newContext(), newNode(), newTop(), newEvents(), newPolicy(), newCell(), newDoctor(), newConformance(), newVersion(), newBench(), newBenchHost(), newBenchChannel(), newBenchKernel(), newMan())
	explainArguments(root)
	return root
}
