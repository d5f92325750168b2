package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pyisolate/pyisolate/policystore/document"
)

func newPolicy() *cobra.Command {
	c := &cobra.Command{
		Use:   "policy",
		Short: "Check policies, and keep them on a node",
		Long: `Check policies, and keep them on a node.

A policy document says what cells may do; see docs/policy.md. check, explain, diff and
schema read files, and recover a node's directory: they need neither a running node nor
the kernel's layers. The other commands call a running node; see docs/serving.md.`,
		Example: `  pyisolate-node policy check policies/*.yml
  pyisolate-node policy explain policies/web_scraper.yml --connect 169.254.169.254:80
  pyisolate-node policy diff old.yml new.yml
  pyisolate-node policy put web policies/web_scraper.yml`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newPolicyCheck(), newPolicyExplain(), newPolicyDiff(), newPolicySchema())
	c.AddCommand(remotePolicies()...)
	c.AddCommand(newPolicyRecover())
	for _, child := range c.Commands() {
		if strings.Contains(child.Use, " NAME") && child.Flags().Lookup("server") != nil {
			child.ValidArgsFunction = completePolicies
		}
	}
	return c
}

// readPolicy reads a document; - is standard input.
func readPolicy(file string, stdin io.Reader) (*document.Document, error) {
	text, name, err := readPolicyText(file, stdin)
	if err != nil {
		return nil, err
	}
	return document.Parse(name, text)
}

func readPolicyText(file string, stdin io.Reader) (text []byte, name string, err error) {
	from := stdin
	if name = "<stdin>"; file != "-" {
		name = file
		f, err := os.Open(file)
		if err != nil {
			return nil, name, usageError{fmt.Errorf("read the policy: %w", err)}
		}
		defer func() { _ = f.Close() }()
		from = f
	}
	// One byte more than a document may have, so that Parse says what is too much.
	text, err = io.ReadAll(io.LimitReader(from, document.MaxSize+1))
	if err != nil {
		return nil, name, usageError{fmt.Errorf("read the policy: %w", err)}
	}
	return text, name, nil
}

// readableOnce refuses files of which more than one is standard input: the next would be empty.
func readableOnce(files ...string) error {
	if i := slices.Index(files, "-"); i >= 0 && slices.Contains(files[i+1:], "-") {
		return usageError{errors.New("standard input can be one of the documents: name a file for the other")}
	}
	return nil
}

// splitPolicy takes FILE[:SANDBOX] apart. A file that has the whole name is that file.
func splitPolicy(arg string) (file, sandbox string) {
	at := strings.LastIndexByte(arg, ':')
	if _, err := os.Stat(arg); err == nil || at < 0 {
		return arg, ""
	}
	return arg[:at], arg[at+1:]
}

// compilePolicy reads FILE[:SANDBOX] and compiles the sandbox.
func compilePolicy(arg string, stdin io.Reader) (*document.Compiled, error) {
	file, sandbox := splitPolicy(arg)
	d, err := readPolicy(file, stdin)
	if err != nil {
		return nil, err
	}
	return d.Compile(sandbox, document.Options{})
}

// policyFailure shows what is wrong with a document as compilers do. Other errors are left
// to the caller of the command; all are faults of the input.
func policyFailure(c *cobra.Command, err error) error {
	var problems document.Problems
	if !errors.As(err, &problems) {
		return usageError{err}
	}
	_, _ = io.WriteString(c.ErrOrStderr(), problems.Text())
	return exitStatus(statusUsage)
}
