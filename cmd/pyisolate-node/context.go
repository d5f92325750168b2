package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/pyisolate/pyisolate/api/client/contexts"
)

func newContext() *cobra.Command {
	c := &cobra.Command{
		Use:   "context",
		Short: "Name the nodes that you call",
		Long: `Name the nodes that you call, and what to call them with. Commands call the node of the
current context, unless a flag or the environment says otherwise. Contexts are in
pyisolate/contexts.yml in $XDG_CONFIG_HOME or ~/.config, for your eyes alone.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newContextAdd(), newContextList(), newContextUse(), newContextRemove())
	return c
}

func newContextAdd() *cobra.Command {
	var to contexts.Context
	var fromStdin bool
	c := &cobra.Command{
		Use:   "add NAME --server ADDRESS",
		Short: "Name a node, or change what a name means",
		Long: `Name a node, or change what a name means. The first context is the current one. A token is
kept with the context when it comes from standard input, and with --token-file only where it
is.`,
		Example: `  pyisolate-node context add local --server unix:///run/pyisolate/node.sock
  pyisolate-node context add prod --server https://node.example.com:7443 --ca ca.pem --token-file ~/.prod-token`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) (err error) {
			to.Name = args[0]
			if fromStdin {
				if to.Token, err = contexts.TokenFrom(c.InOrStdin()); err != nil {
					return usageError{err}
				}
			}
			for _, path := range []*string{&to.CA, &to.TokenFile} {
				if *path == "" {
					continue
				}
				if *path, err = filepath.Abs(*path); err != nil {
					return usageError{err}
				}
			}
			if _, err := to.Client(); err != nil { // its files are there
				return usageError{err}
			}
			return changeContexts(func(all *contexts.Set) error { return all.Put(to) })
		},
	}
	c.Flags().StringVar(&to.Server, "server", "", "the node's address: unix:///PATH, https://HOST:PORT or http://127.0.0.1:PORT")
	c.Flags().StringVar(&to.CA, "ca", "", "a file of certificates that the server is held to (default: the system's)")
	c.Flags().StringVar(&to.TokenFile, "token-file", "", "a file that has the token, which stays there")
	c.Flags().BoolVar(&fromStdin, "token-stdin", false, "read a token from standard input, and keep it")
	c.MarkFlagsMutuallyExclusive("token-file", "token-stdin")
	_ = c.MarkFlagRequired("server")
	return c
}

// contextJSON is a context as --json prints it.
type contextJSON struct {
	contexts.Context
	Current bool   `json:"current"`
	Auth    string `json:"auth"` // "token", "token-file" or "none"
}

func newContextList() *cobra.Command {
	c := &cobra.Command{Use: "ls", Short: "List contexts; the current one has a star", Args: cobra.NoArgs}
	return newLocal(c, func(_ context.Context, r *remote, _ []string) error {
		_, all, err := loadContexts()
		if err != nil {
			return usageError{err}
		}
		shown := func(one contexts.Context) contextJSON { return contextJSON{one, one.Name == all.Current, authOf(one)} }
		list(r, "\tCONTEXT\tSERVER\tAUTH", all.Contexts, shown, func(one contexts.Context) string {
			star := ""
			if one.Name == all.Current {
				star = "*"
			}
			return fmt.Sprintf("%s\t%s\t%s\t%s", star, one.Name, plain(one.Server), authOf(one))
		})
		return nil
	})
}

func authOf(c contexts.Context) string {
	switch {
	case c.Token != "":
		return "token"
	case c.TokenFile != "":
		return "token-file"
	}
	return "none"
}

func newContextUse() *cobra.Command {
	return &cobra.Command{
		Use: "use NAME", Short: "Make a context the current one", Args: cobra.ExactArgs(1), ValidArgsFunction: completeContexts,
		RunE: func(_ *cobra.Command, args []string) error {
			return changeContexts(func(all *contexts.Set) error { return all.Use(args[0]) })
		},
	}
}

func newContextRemove() *cobra.Command {
	return &cobra.Command{
		Use: "rm NAME", Short: "Forget a context", Args: cobra.ExactArgs(1), ValidArgsFunction: completeContexts,
		RunE: func(_ *cobra.Command, args []string) error {
			return changeContexts(func(all *contexts.Set) error { return all.Remove(args[0]) })
		},
	}
}
