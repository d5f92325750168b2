package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/pyisolate/pyisolate/api/client"
	"github.com/pyisolate/pyisolate/api/client/contexts"
)

// serverFlags say which node a command calls, and with what.
type serverFlags struct {
	server, socket, context, ca, token, tokenFile string

	given func(flag string) bool
}

func (f *serverFlags) add(c *cobra.Command) {
	f.given = c.Flags().Changed
	c.Flags().StringVar(&f.server, "server", "", "the node's address: unix:///PATH, https://HOST:PORT or http://127.0.0.1:PORT (default: $PYISOLATE_SERVER, the current context, or where serve listens by default)")
	c.Flags().StringVar(&f.socket, "socket", "", "the node's unix socket, instead of --server (default: $PYISOLATE_SOCKET)")
	c.Flags().StringVar(&f.context, "context", "", "call the node of this context, see the command context (default: $PYISOLATE_CONTEXT)")
	c.Flags().StringVar(&f.ca, "ca", "", "a file of CA certificates to check the server's against (default: $PYISOLATE_CA, or the system's)")
	c.Flags().StringVar(&f.token, "token", "", "the token to call with; the node's own user and root need none on its socket (default: $PYISOLATE_TOKEN)")
	c.Flags().StringVar(&f.tokenFile, "token-file", "", "a file that contains the token (default: $PYISOLATE_TOKEN_FILE)")
	c.MarkFlagsMutuallyExclusive("server", "socket", "context")
	c.MarkFlagsMutuallyExclusive("token", "token-file")
	_ = c.RegisterFlagCompletionFunc("context", completeContexts)
}

// client is how to call the node that flags, the environment or the user's contexts name, in
// this order.
func (f *serverFlags) client() (client.Config, error) {
	c, err := f.where()
	if err != nil {
		return client.Config{}, usageError{err}
	}
	if ca := cmp.Or(f.ca, os.Getenv(caEnv)); ca != "" {
		c.CA = ca
	}
	switch {
	case f.token != "":
		c.Token, c.TokenFile = f.token, ""
	case f.tokenFile != "":
		c.Token, c.TokenFile = "", f.tokenFile
	case os.Getenv(tokenEnv) != "":
		c.Token, c.TokenFile = os.Getenv(tokenEnv), ""
	case os.Getenv(tokenFileEnv) != "":
		c.Token, c.TokenFile = "", os.Getenv(tokenFileEnv)
	}
	config, err := c.Client()
	if err != nil {
		return client.Config{}, usageError{err}
	}
	if err := client.CheckAddress(config.Address); err != nil {
		return client.Config{}, usageError{err}
	}
	return config, nil
}

// where is the context of the node: one of the file's, or one without a name.
func (f *serverFlags) where() (contexts.Context, error) {
	for _, way := range []struct {
		flag, name string
		taken      func(string) (contexts.Context, error)
	}{
		{"server", f.server, atServer}, {"socket", f.socket, atSocket}, {"context", f.context, atContext},
		{"", os.Getenv(serverEnv), atServer}, {"", os.Getenv(socketEnv), atSocket}, {"", os.Getenv(contextEnv), atContext},
	} {
		switch {
		case way.name != "":
			return way.taken(way.name)
		case way.flag != "" && f.given(way.flag): // as of a variable that has none: the default may be another's
			return contexts.Context{}, fmt.Errorf("--%s is empty: name the node, or leave it out", way.flag)
		}
	}
	_, all, err := loadContexts()
	if err != nil {
		return contexts.Context{}, err
	}
	if all.Current != "" {
		return all.Find(all.Current)
	}
	path, err := defaultSocket()
	if err != nil {
		return contexts.Context{}, err
	}
	return atSocket(path)
}

func atServer(address string) (contexts.Context, error) {
	return contexts.Context{Server: address}, nil
}

func atSocket(path string) (contexts.Context, error) {
	path, err := filepath.Abs(path)
	return contexts.Context{Server: "unix://" + path}, err
}

func atContext(name string) (contexts.Context, error) {
	_, all, err := loadContexts()
	if err != nil {
		return contexts.Context{}, err
	}
	return all.Find(name)
}

// loadContexts reads the user's contexts; without a home there are none.
func loadContexts() (path string, all contexts.Set, err error) {
	if path, err = contexts.File(); err != nil {
		return "", contexts.Set{}, nil
	}
	all, err = contexts.Load(path)
	return path, all, err
}

// changeContexts does something with the user's contexts and keeps what comes of it.
func changeContexts(do func(*contexts.Set) error) error {
	path, all, err := loadContexts()
	switch {
	case err != nil:
		return usageError{err}
	case path == "":
		return usageError{errors.New("there is no place for contexts: set $XDG_CONFIG_HOME or $HOME")}
	}
	if err := do(&all); err != nil {
		return usageError{err}
	}
	if err := all.Save(path); err != nil {
		return fmt.Errorf("keep the contexts: %w", err)
	}
	return nil
}
