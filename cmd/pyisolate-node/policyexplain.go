package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/kernel/policy"
	"github.com/pyisolate/pyisolate/policystore/document"
)

type explainOptions struct {
	path, connect, module string
	write, asJSON         bool
}

func newPolicyExplain() *cobra.Command {
	var o explainOptions
	c := &cobra.Command{
		Use:   "explain FILE[:SANDBOX] --path PATH [--write] | --connect ADDRESS:PORT | --import MODULE",
		Short: "Show whether a policy permits something, and by which rule",
		Long: `Show whether a policy permits something, by which rule on which line, and who
enforces that.

A path is judged as written: links in it are not followed. A host name is judged by
the rules that contain this name. Quotas and contracts, which depend on what a cell
has done, may still refuse what is allowed.

Exit status:
    0  the policy allows it
    2  the command line or the document is wrong
   11  the policy denies it`,
		Example: `  pyisolate-node policy explain etl.yml --path /srv/data/a.csv
  pyisolate-node policy explain etl.yml:child --path /srv/out --write
  pyisolate-node policy explain policies/web_scraper.yml --connect 169.254.169.254:80
  pyisolate-node policy explain etl.yml --import os.path --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return explain(c, o, args[0]) },
	}
	f := c.Flags()
	f.StringVar(&o.path, "path", "", "a file or directory to read")
	f.BoolVar(&o.write, "write", false, "with --path: to write instead of to read")
	f.StringVar(&o.connect, "connect", "", "an address or host name, and a port, to connect to, such as 10.0.0.1:443")
	f.StringVar(&o.module, "import", "", "a module to import")
	f.BoolVar(&o.asJSON, "json", false, "print one JSON object")
	return c
}

func explain(c *cobra.Command, o explainOptions, policyArg string) error {
	q, deed, err := o.query()
	if err != nil {
		return usageError{err}
	}
	compiled, err := compilePolicy(policyArg, c.InOrStdin())
	if err != nil {
		return policyFailure(c, err)
	}
	v := compiled.Explain(q)
	if err := printVerdict(c.OutOrStdout(), compiled, deed, v, o.asJSON); err != nil {
		return err
	}
	if !v.Allowed {
		return exitStatus(statusOfKind(cell.PolicyDenied))
	}
	return nil
}

// query is what is asked, and in words.
func (o explainOptions) query() (q document.Query, deed string, err error) {
	given := slices.DeleteFunc([]string{o.path, o.connect, o.module}, func(text string) bool { return text == "" })
	switch {
	case len(given) != 1:
		return q, "", errors.New("ask about one of --path, --connect and --import")
	case o.write && o.path == "":
		return q, "", errors.New("--write goes with --path")
	case o.path != "":
		q.Path, q.Access, deed = o.path, policy.Read, "read "+o.path
		if o.write {
			q.Access, deed = policy.Write, "write "+o.path
		}
		if !filepath.IsAbs(o.path) || filepath.Clean(o.path) != o.path {
			return q, "", fmt.Errorf("--path: %q is not an absolute, clean path", o.path)
		}
		return q, deed, nil
	case o.module != "":
		q.Import = o.module
		return q, "import " + o.module, nil
	}
	deed = "connect to " + o.connect
	if q, err = document.ParsePeer(o.connect); err != nil {
		return q, "", fmt.Errorf("--connect: %w", err)
	}
	return q, deed, nil
}

// explained is a verdict with what it is about.
type explained struct {
	Deed    string `json:"deed"`
	File    string `json:"file"`
	Sandbox string `json:"sandbox"`
	document.Verdict
}

func printVerdict(out io.Writer, c *document.Compiled, deed string, v document.Verdict, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(explained{deed, c.File, c.Sandbox, v})
	}
	word := "denied"
	if v.Allowed {
		word = "allowed"
	}
	text := fmt.Sprintf("%s: %s\n", word, deed)
	if v.Line > 0 {
		text += fmt.Sprintf("  %s:%d: %s\n", c.File, v.Line, v.Rule)
	}
	_, err := fmt.Fprintf(out, "%s  %s; enforced by the %s\n", text, v.Why, v.Layer)
	return err
}
