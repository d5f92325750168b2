package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/internal/conformance"
)

type conformanceOptions struct {
	python, backend string
	asJSON, grade   bool
}

func newConformance() *cobra.Command {
	var o conformanceOptions
	c := &cobra.Command{
		Use:   "conformance",
		Short: "Test what cells promise, with real cells on this machine",
		Long: `Test what cells promise, with real cells on this machine, in both backends: that they
run programs, refuse what is not granted, keep their limits, end when they are told
to, and crash alone. Each row shows the outcome and its evidence:

  pass         the promise held
  fail         it did not
  unavailable  this machine lacks what the probe needs

--grade scores ten guarantees instead, each by checks of the same kind and with ten
points at most. What is not built is tried, too, and scores nothing.

Run it as the user that the node runs as. It takes some seconds.

Exit status:
    0  no probe failed; with --grade, the grade was printed
    2  the command line is wrong
    4  a probe failed
   70  there is no usable Python`,
		Example: `  pyisolate-node conformance
  pyisolate-node conformance --backend process --json | jq 'select(.outcome == "fail")'
  pyisolate-node conformance --grade`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			backends, err := o.backends()
			if err != nil {
				return usageError{err}
			}
			ctx, stop := interruptible(c.Context())
			defer stop()
			_, python, err := resolvePython(ctx, o.python)
			if err != nil {
				return err
			}
			kernel := openKernel(ctx, true, c.ErrOrStderr())
			defer closeKernel(kernel)
			r := &conformance.Runner{Config: launch.Config{Python: python, Kernel: kernel}}
			if o.grade {
				return grade(ctx, r, o.asJSON, c.OutOrStdout(), c.ErrOrStderr())
			}
			return conform(ctx, r, conformance.Probes(backends...), o.asJSON, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f := c.Flags()
	f.BoolVar(&o.asJSON, "json", false, "print JSON: one object per line as each probe ends; with --grade one object")
	f.BoolVar(&o.grade, "grade", false, "score ten guarantees, 100 points in all")
	f.StringVar(&o.backend, "backend", "", "test only this backend: subinterpreter or process (default: both)")
	f.StringVar(&o.python, "python", "", pythonUsage)
	_ = c.RegisterFlagCompletionFunc("backend", cobra.FixedCompletions([]string{"subinterpreter", "process"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

func (o *conformanceOptions) backends() ([]cell.Backend, error) {
	switch {
	case o.backend == "":
		return conformance.Backends, nil
	case o.grade:
		return nil, errors.New("--grade is of both backends: leave --backend out")
	}
	if b := cell.Backend(o.backend); slices.Contains(conformance.Backends, b) {
		return []cell.Backend{b}, nil
	}
	return nil, fmt.Errorf("--backend %q is not known: subinterpreter and process are", o.backend)
}

// conform runs the probes and shows each result; it ends with statusFailed if one failed.
func conform(ctx context.Context, r *conformance.Runner, probes []conformance.Probe, asJSON bool, out, progress io.Writer) error {
	show, flush := resultTable(out)
	if asJSON {
		show, flush = resultLines(out), func() error { return nil }
	}
	count := map[conformance.Outcome]int{}
	for i, p := range probes {
		step(progress, "trying", p.Name, i, len(probes))
		result := r.Run(ctx, p)
		clearStep(progress)
		if err := ctx.Err(); err != nil {
			return interrupted(ctx, err)
		}
		count[result.Outcome]++
		if err := show(result); err != nil {
			return err
		}
	}
	if err := flush(); err != nil {
		return err
	}
	if !asJSON {
		fmt.Fprintf(out, "\n%d passed, %d failed, %d unavailable\n",
			count[conformance.Pass], count[conformance.Fail], count[conformance.Unavailable])
	}
	if count[conformance.Fail] > 0 {
		return exitStatus(statusFailed)
	}
	return nil
}

func resultTable(out io.Writer) (show func(conformance.Result) error, flush func() error) {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "PROBE\tBACKEND\tOUTCOME\tTIME\tEVIDENCE")
	show = func(r conformance.Result) error {
		_, err := fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", r.Probe, orDash(string(r.Backend)), r.Outcome, r.Took.Round(time.Millisecond), oneLine(r.Evidence))
		return err
	}
	return show, t.Flush
}

func resultLines(out io.Writer) func(conformance.Result) error {
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	return func(r conformance.Result) error { return lines.Encode(r) }
}
