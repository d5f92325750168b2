package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/internal/conformance"
)

// nogilEnv names the modules that the operator vouches for.
const nogilEnv = "PYISOLATE_NOGIL_SAFE_MODULES"

func newDoctorExtensions() *cobra.Command {
	var python string
	var asJSON bool
	c := &cobra.Command{
		Use:   "extensions [MODULE|PATH...]",
		Short: "Tell which extension modules cells can have",
		Long: `Tell which extension modules cells of threads can have, which have an interpreter
and a GIL each. Without arguments: all that are built into the Python or lie in its
library.

A module declares by Py_mod_multiple_interpreters and Py_mod_gil what it is safe
for. Those slots are data that only its code returns, so each module is imported in
a fresh cell and the answer is what came of it:

  loads            it supports several interpreters
  one interpreter  CPython refuses it in cells of threads
  denied           no cell may import it, whatever it declares
  missing, fails, crashes

Of a file it also tells how it makes its module, since only a multi-phase one can
declare anything, and its hardening. Py_mod_gil is read by free-threaded builds alone,
which are refused; what modules need no GIL is the operator's word, in
PYISOLATE_NOGIL_SAFE_MODULES, and only shown here.`,
		Example: `  pyisolate-node doctor extensions math _curses
  pyisolate-node doctor extensions --json | jq -r 'select(.cells != "loads") | .module'`,
		RunE: func(c *cobra.Command, names []string) error {
			ctx, stop := interruptible(c.Context())
			defer stop()
			_, p, err := resolvePython(ctx, python)
			if err != nil {
				return err
			}
			r := &conformance.Runner{Config: launch.Config{Python: p}}
			if len(names) == 0 {
				if names, err = r.ExtensionModules(ctx); err != nil {
					return interrupted(ctx, err)
				}
			}
			list, err := r.Modules(ctx, names, vouched(os.Getenv(nogilEnv)), func(name string) { note(c.ErrOrStderr(), "importing "+name) })
			clearStep(c.ErrOrStderr())
			if errors.Is(err, conformance.ErrFile) {
				return usageError{err}
			}
			if err != nil {
				return interrupted(ctx, err)
			}
			return printModules(c.OutOrStdout(), list, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON, one object a line")
	c.Flags().StringVar(&python, "python", "", pythonUsage)
	return c
}

// vouched reads a list of modules, separated by commas.
func vouched(list string) (names []string) {
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	return names
}

func printModules(out io.Writer, list []conformance.Module, asJSON bool) error {
	if asJSON {
		lines := json.NewEncoder(out)
		for _, m := range list {
			if err := lines.Encode(m); err != nil {
				return err
			}
		}
		return nil
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "MODULE\tIN CELLS\tINIT\tNO GIL\tFOUND BY AN IMPORT IN A CELL")
	for _, m := range list {
		nogil := "not known"
		if m.Vouched {
			nogil = "vouched for"
		}
		if _, err := fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", m.Name, m.Cells, orDash(m.Init), nogil, oneLine(m.Evidence)); err != nil {
			return err
		}
	}
	return t.Flush()
}
