package main

import (
	"github.com/spf13/cobra"

	"github.com/pyisolate/pyisolate/policystore/document"
)

func newPolicySchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of policy documents",
		Long: `Print the JSON Schema of policy documents, for editors and other tools. It knows the
keys, their types and ranges; policy check finds all errors.`,
		Example: `  pyisolate-node policy schema > policy.schema.json
  echo '# yaml-language-server: $schema=policy.schema.json' | cat - etl.yml`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := c.OutOrStdout().Write(document.Schema())
			return err
		},
	}
}
