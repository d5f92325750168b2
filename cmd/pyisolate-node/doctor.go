package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pyisolate/pyisolate/kernel/probe"
	"github.com/pyisolate/pyisolate/kernel/stack"
)

// diagnosis is what doctor prints: with --json as one object.
type diagnosis struct {
	Version string `json:"version"`
	// Provenance is nil without --json: it takes the Python out of its box.
	Provenance *provenance `json:"provenance,omitempty"`
	*probe.Features
	// Node is what a node puts around cells, of what the kernel has.
	Node []probe.Row `json:"node"`
	// Requirements of hardened mode, and Hardened whether all are met.
	Requirements []stack.Finding `json:"requirements"`
	Hardened     bool            `json:"hardened"`
}

func newDoctor() *cobra.Command {
	var asJSON bool
	var mode, python string
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Show which confinement this kernel offers for cells",
		Long: `Show which confinement this kernel offers for cells.

Every layer is tried, not looked up: doctor loads and attaches small eBPF programs,
puts filters and rules on threads that then end, makes a control group and gives it
limits, and loads what a node loads when it starts. Each line says what was tried
and what the kernel answered. doctor removes everything that it made, and what
killed nodes have left behind. The result depends on the user: run it as the user
that the node runs as.

--json adds where everything comes from: the build, the Python with its hash, the
hardening of both files, and whether there is a compiler for eBPF. For that it
unpacks the embedded Python, if it is not unpacked yet.

With --mode hardened, doctor fails if the kernel lacks something that hardened mode
needs, and names each such thing.

Exit status:
    0  the report is complete; with --mode, the kernel has all that the mode needs
    2  the command line is wrong
    3  the kernel lacks something that the mode needs`,
		Example: `  pyisolate-node doctor
  pyisolate-node doctor --json | jq '.features[] | select(.works | not)'
  pyisolate-node doctor --mode hardened || exit`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var wanted stack.Mode
			if mode != "" {
				var err error
				if wanted, err = stack.ParseMode(mode); err != nil {
					return usageError{err}
				}
			}
			d := diagnose(c.Context())
			if asJSON {
				d.Provenance = newProvenance(c.Context(), python)
			}
			if err := d.print(c.OutOrStdout(), asJSON); err != nil {
				return err
			}
			if wanted == stack.Hardened && !d.Hardened {
				d.printUnmet(c.ErrOrStderr())
				return exitStatus(statusUnmet)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	c.Flags().StringVar(&mode, "mode", "", "fail if this kernel lacks something that the mode needs: hardened; dev and compatibility need nothing")
	c.Flags().StringVar(&python, "python", "", "the Python whose provenance --json shows (default: $PYISOLATE_PYTHON, or the embedded one)")
	c.AddCommand(newDoctorGIL(), newDoctorExtensions())
	_ = c.RegisterFlagCompletionFunc("mode", cobra.FixedCompletions([]string{string(stack.Hardened), string(stack.Dev), string(stack.Compatibility)}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

func diagnose(ctx context.Context) diagnosis {
	d := diagnosis{Version: version, Features: probe.Host(), Node: nodeRows(ctx)}
	d.Requirements, d.Hardened = stack.CheckAll(d.Features)
	return d
}

func (d diagnosis) print(out io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(d)
	}
	var b strings.Builder
	who := "an ordinary user"
	if d.Root {
		who = "root"
	}
	fmt.Fprintf(&b, "kernel %s on %s, tried as %s in %s\n\n", d.Kernel, d.Arch, who, d.Took.Round(time.Millisecond))
	printRows(&b, d.Rows)
	b.WriteString("\nwhat a node puts around cells:\n\n")
	printRows(&b, d.Node)
	b.WriteString("\nwhat hardened mode needs:\n\n")
	for _, f := range d.Requirements {
		text := "by " + f.By
		if !f.Met {
			text = f.Missing
		}
		fmt.Fprintf(&b, "%-4s%-26s%s\n", yes(f.Met), f.Requirement, text)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func printRows(out io.Writer, rows []probe.Row) {
	for _, r := range rows {
		name := string(r.Feature)
		if r.Value > 0 {
			name = fmt.Sprintf("%s %d", name, r.Value)
		}
		_, _ = fmt.Fprintf(out, "%-4s%-26s%s: %s\n", yes(r.Works), name, r.Tried, r.Answer)
	}
}

func (d diagnosis) printUnmet(out io.Writer) {
	for _, f := range d.Requirements {
		if !f.Met {
			fmt.Fprintf(out, "pyisolate-node: hardened mode needs %s, or else %s: %s\n", f.Requirement, f.Why, f.Missing)
		}
	}
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
