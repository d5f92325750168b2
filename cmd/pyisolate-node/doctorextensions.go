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
		Short: "Show which extension modules cells can import",
		Long: `Show which extension modules cells of the backend subinterpreter can import, each of
which has an interpreter and a GIL of its own. Without arguments: all that are built
into the Python or are in its library.

A module declares in Py_mod_multiple_interpreters and Py_mod_gil what it is safe for.
Only its code returns those, so doctor imports each module in a fresh cell and reports
the result:

  loads            it supports several interpreters
  one interpreter  CPython refuses it in a subinterpreter
  denied           no cell may import it, whatever it declares
  missing, fails, crashes

For a file it also shows how the module is initialized, because only multi-phase
modules can declare anything, and the file's hardening. Only free-threaded builds read
Py_mod_gil, and those are refused. Which modules need no GIL is what the operator says
in PYISOLATE_NOGIL_SAFE_MODULES; it is only shown here.`,
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
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON, one object per line")
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
