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
		Short: "Give names to the nodes that you call",
		Long: `A context is a name for a node's address and the token to call it with. Commands call the
node of the current context, unless a flag or the environment says otherwise. Contexts are
in pyisolate/contexts.yml in $XDG_CONFIG_HOME or ~/.config, which only you can read.`,
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
		Short: "Add a context, or replace one",
		Long: `Add a context, or replace one. The first one that you add becomes the current one. With
--token-stdin the token is stored in the context; with --token-file only the path is.`,
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
	c.Flags().StringVar(&to.CA, "ca", "", "a file of CA certificates to check the server's against (default: the system's)")
	c.Flags().StringVar(&to.TokenFile, "token-file", "", "a file that contains the token; only its path is stored")
	c.Flags().BoolVar(&fromStdin, "token-stdin", false, "read a token from standard input, and store it")
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
	c := &cobra.Command{Use: "ls", Short: "List contexts; a star marks the current one", Args: cobra.NoArgs}
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
		Use: "rm NAME", Short: "Remove a context", Args: cobra.ExactArgs(1), ValidArgsFunction: completeContexts,
		RunE: func(_ *cobra.Command, args []string) error {
			return changeContexts(func(all *contexts.Set) error { return all.Remove(args[0]) })
		},
	}
}
