package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/cell/pydist"
	"github.com/pyisolate/pyisolate/internal/conformance"
)

// gilReport is what doctor gil prints: with --json as one object.
type gilReport struct {
	Python       string `json:"python"`
	Lib          string `json:"lib"`
	FreeThreaded bool   `json:"free_threaded"`
	// Axis is what cells are: "parallel cells", whose threads wait for each other;
	// "parallel threads"; or "scheduled compartments", which wait for each other.
	Axis    string       `json:"axis"`
	Results []gilFinding `json:"results"`
}

type gilFinding struct {
	Question string `json:"question"`
	Backend  string `json:"backend"`
	Yes      bool   `json:"yes"`
	Evidence string `json:"evidence"`
}

func newDoctorGIL() *cobra.Command {
	var python string
	var asJSON bool
	c := &cobra.Command{
		Use:   "gil",
		Short: "Show how the cells of a Python share processors",
		Long: `Show how the cells of a Python share processors: whether each cell has a global
interpreter lock of its own, so that cells run in parallel, and whether the threads of
one cell do. Both are tried, and measured by the kernel's clocks.

A free-threaded libpython is refused today, by every command.`,
		Example: `  pyisolate-node doctor gil
  pyisolate-node doctor gil --json | jq -r .axis`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := interruptible(c.Context())
			defer stop()
			dist, p, err := resolvePython(ctx, python)
			if err != nil {
				return err
			}
			r := &conformance.Runner{Config: launch.Config{Python: p}}
			results, err := r.GIL(ctx, func(name string) { note(c.ErrOrStderr(), "trying whether "+name) })
			clearStep(c.ErrOrStderr())
			if err != nil {
				return interrupted(ctx, err)
			}
			return newGILReport(dist, results).print(c.OutOrStdout(), asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	c.Flags().StringVar(&python, "python", "", pythonUsage)
	return c
}

func newGILReport(d pydist.Dist, results []conformance.Result) gilReport {
	r := gilReport{Python: d.Version, Lib: d.Lib, FreeThreaded: d.FreeThreaded, Axis: "scheduled compartments"}
	for _, one := range results {
		r.Results = append(r.Results, gilFinding{one.Probe, string(one.Backend), one.Outcome == conformance.Pass, one.Evidence})
	}
	switch at := func(i int) bool { return i < len(results) && results[i].Outcome == conformance.Pass }; {
	case at(conformance.GILThreads):
		r.Axis = "parallel threads"
	case at(conformance.GILCells):
		r.Axis = "parallel cells"
	}
	return r
}

func (r gilReport) print(out io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(r)
	}
	var b strings.Builder
	kind := "not free-threaded; one that is, is refused"
	if r.FreeThreaded {
		kind = "free-threaded"
	}
	fmt.Fprintf(&b, "python %s, %s: %s\n%s\n\n", r.Python, kind, r.Lib, r.Axis)
	for _, f := range r.Results {
		fmt.Fprintf(&b, "%-4s%-38s%-16s%s\n", yes(f.Yes), f.Question, f.Backend, oneLine(f.Evidence))
	}
	_, err := io.WriteString(out, b.String())
	return err
}
