package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"slices"

	"github.com/spf13/cobra"

	"github.com/pyisolate/pyisolate/cell/pydist"
	"github.com/pyisolate/pyisolate/internal/elfsec"
)

// version is set by the Makefile from git.
var version = "dev"

// buildReport is what `version --json` prints.
type buildReport struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	Cgo      bool   `json:"cgo"`
	Python   string `json:"embedded_python"`
	// Hardening by file, with --hardening.
	Hardening map[string]elfsec.Report `json:"hardening,omitempty"`
}

func newVersion() *cobra.Command {
	var asJSON, hardening bool
	var python string
	c := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			r := newBuildReport()
			if hardening {
				if err := r.readHardening(c.Context(), python); err != nil {
					return err
				}
			}
			if asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(r)
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "pyisolate-node %s (%s, %s, embedded python %s)\n", r.Version, r.Go, r.Platform, r.Python)
			for _, file := range slices.Sorted(maps.Keys(r.Hardening)) {
				_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %+v\n", file, r.Hardening[file])
			}
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().BoolVar(&hardening, "hardening", false, "also print which hardening this binary and libpython have")
	c.Flags().StringVar(&python, "python", "", "the Python to look at with --hardening")
	return c
}

func (r *buildReport) readHardening(ctx context.Context, python string) error {
	dist, err := pydist.Resolve(ctx, pydist.Options{Python: python, Progress: pydist.TerminalProgress(os.Stderr)})
	if err != nil {
		return err
	}
	r.Hardening = map[string]elfsec.Report{}
	for name, path := range map[string]string{"pyisolate-node": "/proc/self/exe", "libpython": dist.Lib} {
		if r.Hardening[name], err = elfsec.Read(path); err != nil {
			return err
		}
	}
	return nil
}

func newBuildReport() buildReport {
	r := buildReport{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Cgo: cgoBuilt, Python: pydist.EmbeddedVersion}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				r.Revision = s.Value
			}
		}
	}
	return r
}
