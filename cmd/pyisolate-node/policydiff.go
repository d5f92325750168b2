package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pyisolate/pyisolate/policystore/document"
)

// compared is what differs between two sandboxes: with --json one object a line.
type compared struct {
	Sandbox string `json:"sandbox"`
	// Only is "before" or "after" when the other document has no sandbox of the name.
	Only string `json:"only,omitempty"`
	document.Changes
}

func newPolicyDiff() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "diff BEFORE[:SANDBOX] AFTER[:SANDBOX]",
		Short: "Compare the authority that two policies give",
		Long: `Compare the authority that two policies give, however they are written: + is
gained, - is lost, ~ is neither.

If you name no sandboxes, those of the same name are compared, each under its
name if there are several.`,
		Example: `  pyisolate-node policy diff old.yml new.yml
  pyisolate-node policy diff etl.yml:base etl.yml:child`,
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			list, err := comparePolicies(args[0], args[1], c.InOrStdin())
			if err != nil {
				return policyFailure(c, err)
			}
			return printCompared(c.OutOrStdout(), list, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per sandbox")
	return c
}

func comparePolicies(before, after string, stdin io.Reader) ([]compared, error) {
	fileA, sandboxA := splitPolicy(before)
	fileB, sandboxB := splitPolicy(after)
	if err := readableOnce(fileA, fileB); err != nil {
		return nil, err
	}
	a, err := readPolicy(fileA, stdin)
	if err != nil {
		return nil, err
	}
	b, err := readPolicy(fileB, stdin)
	if err != nil {
		return nil, err
	}
	if sandboxA != "" || sandboxB != "" || (len(a.Sandboxes()) == 1 && len(b.Sandboxes()) == 1) {
		one, err := compareSandboxes(a, sandboxA, b, sandboxB)
		return []compared{one}, err
	}
	names := append(a.Sandboxes(), b.Sandboxes()...)
	slices.Sort(names)
	var list []compared
	for _, name := range slices.Compact(names) {
		one := compared{Sandbox: name}
		switch inA, inB := slices.Contains(a.Sandboxes(), name), slices.Contains(b.Sandboxes(), name); {
		case !inB:
			one.Only = "before"
		case !inA:
			one.Only = "after"
		default:
			if one, err = compareSandboxes(a, name, b, name); err != nil {
				return nil, err
			}
		}
		list = append(list, one)
	}
	return list, nil
}

func compareSandboxes(a *document.Document, nameA string, b *document.Document, nameB string) (compared, error) {
	before, err := a.Compile(nameA, document.Options{})
	if err != nil {
		return compared{}, err
	}
	after, err := b.Compile(nameB, document.Options{})
	if err != nil {
		return compared{}, err
	}
	return compared{Sandbox: after.Sandbox, Changes: document.Diff(before, after)}, nil
}

func printCompared(out io.Writer, list []compared, asJSON bool) error {
	var b strings.Builder
	for _, one := range list {
		text := one.String()
		switch {
		case asJSON:
			line, err := json.Marshal(one)
			if err != nil {
				return err
			}
			b.Write(append(line, '\n'))
			continue
		case one.Only == "before":
			text = "- sandbox\n"
		case one.Only == "after":
			text = "+ sandbox\n"
		case one.Empty():
			text = "the same authority\n"
		}
		if len(list) > 1 {
			text = fmt.Sprintf("%s:\n  %s\n", one.Sandbox, strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n  "))
		}
		b.WriteString(text)
	}
	_, err := io.WriteString(out, b.String())
	return err
}
