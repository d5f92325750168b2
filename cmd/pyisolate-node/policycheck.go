package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/pyisolate/pyisolate/node"
	"github.com/pyisolate/pyisolate/policystore/document"
)

// checking is what this program holds documents to, whether it checks or stores them.
var checking = node.Documents

// checked is what came of one file: with --json one object a line.
type checked struct {
	File      string            `json:"file"`
	OK        bool              `json:"ok"`
	Sandboxes []string          `json:"sandboxes,omitempty"`
	Hash      string            `json:"sha256,omitempty"` // of the canonical form
	Problems  document.Problems `json:"problems,omitempty"`
}

func newPolicyCheck() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "check FILE|-...",
		Short: "Report the errors in policy documents",
		Long: `Report the errors in policy documents.

Each document is parsed, and each of its sandboxes compiled. All errors are printed to
standard error at once, each with its line and column.

Exit status:
    0  no document has an error
    2  a document has an error, or cannot be read`,
		Example: `  pyisolate-node policy check etl.yml
  pyisolate-node policy check --json policies/*.yml | jq .problems`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := readableOnce(args...); err != nil {
				return err
			}
			wrong := false
			for _, file := range args {
				one, err := checkPolicy(file, c.InOrStdin())
				if err != nil {
					return err
				}
				if err := one.print(c.OutOrStdout(), c.ErrOrStderr(), asJSON); err != nil {
					return err
				}
				wrong = wrong || !one.OK
			}
			if wrong {
				return exitStatus(statusUsage)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per document")
	return c
}

// checkPolicy fails when the file cannot be read, and not when it is wrong.
func checkPolicy(file string, stdin io.Reader) (checked, error) {
	text, name, err := readPolicyText(file, stdin)
	if err != nil {
		return checked{}, err
	}
	one := checked{File: name}
	d, err := document.Parse(name, text)
	if err == nil {
		hash := d.Hash()
		one.Sandboxes, one.Hash = d.Sandboxes(), hex.EncodeToString(hash[:])
		err = d.Check(checking)
	}
	if one.OK = err == nil; one.OK || errors.As(err, &one.Problems) {
		return one, nil
	}
	return one, err
}

func (one checked) print(out, errors io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(one)
	}
	if !one.OK {
		_, err := io.WriteString(errors, one.Problems.Text())
		return err
	}
	word := "sandboxes"
	if len(one.Sandboxes) == 1 {
		word = "sandbox"
	}
	_, err := fmt.Fprintf(out, "%s: ok, %d %s\n", one.File, len(one.Sandboxes), word)
	return err
}
