package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/pyisolate/pyisolate/node/config"
)

func newConfig() *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "Show and check the settings of serve",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newConfigPrint(), newConfigCheck())
	return c
}

func newConfigPrint() *cobra.Command {
	var file string
	var asJSON bool
	c := &cobra.Command{
		Use:   "print",
		Short: "Print the settings in force, and where each comes from",
		Long: `Print the settings that serve would use with the same flags, environment and file, and
where each value comes from. The output is a valid configuration file. Passwords and other
secrets are left out.`,
		Example: "  pyisolate-node config print\n  pyisolate-node config print --json --config node.yml",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			loaded, err := config.Load(config.Sources{File: file, Flags: c.Flags()})
			if err != nil {
				return usageError{err}
			}
			for _, warning := range loaded.Warnings {
				fmt.Fprintln(c.ErrOrStderr(), "pyisolate-node: warning:", warning)
			}
			return printConfig(c.OutOrStdout(), loaded, asJSON)
		},
	}
	addConfigFlags(c, &file)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON, one object per line")
	return c
}

func printConfig(out io.Writer, loaded *config.Loaded, asJSON bool) error {
	r := &remote{out: out}
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	for _, e := range loaded.Effective() {
		if asJSON {
			r.line(e)
			continue
		}
		fmt.Fprintf(table, "%s\t# %s\n", plain(e.YAML()), plain(e.Origin))
	}
	return table.Flush()
}

func newConfigCheck() *cobra.Command {
	return newLocal(&cobra.Command{
		Use:   "check FILE",
		Short: "Report everything that is wrong with a configuration file",
		Long: `Report everything that is wrong with a configuration file. Flags and the environment are
not considered.`,
		Args: cobra.ExactArgs(1),
	}, func(_ context.Context, r *remote, args []string) error {
		_, err := config.Load(config.Sources{File: args[0], Environ: []string{}})
		switch {
		case err == nil:
			r.show(map[string]any{"ok": args[0]}, "%s: ok", strings.TrimSpace(plain(args[0])))
			return nil
		case r.asJSON:
			return usageError{err}
		}
		fmt.Fprintln(r.err, plainLines(err.Error())) // each line begins with its place
		return exitStatus(statusUsage)
	})
}
