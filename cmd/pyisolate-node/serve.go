package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/pyisolate/pyisolate/broker/transport"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/kernel/stack"
	"github.com/pyisolate/pyisolate/policystore/refresh"
)

type serveOptions struct {
	socket, data, python, mode, brokerIO, secrets, store, log string
	socketMode, pullProxy                                     string
	pullInner, exitWithStdin                                  bool
}

func newServe() *cobra.Command {
	var o serveOptions
	c := &cobra.Command{
		Use:   "serve",
		Short: "Keep a node running: policies, and cells that follow them",
		Long: `Keep a node running on a unix socket: it stores policies and their history, starts
cells under them, and puts each new version in force in the cells that run.

The node's own user and root are admins; others need a token, and --socket-mode 0666 to
reach the socket. It prints one line when it is ready, and tells systemd so. SIGTERM and
Ctrl-C end it, and its cells.`,
		Example: `  pyisolate-node serve
  pyisolate-node serve --socket /tmp/node.sock --data /tmp/node &
  pyisolate-node policy put web policies/web_scraper.yml --socket /tmp/node.sock`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			context.AfterFunc(ctx, stop) // a second signal does not wait
			if o.exitWithStdin {
				go func() {
					_, _ = io.Copy(io.Discard, c.InOrStdin())
					stop()
				}()
			}
			return serve(ctx, &o, c)
		},
	}
	f := c.Flags()
	f.StringVar(&o.socket, "socket", "", "where to listen (default: $PYISOLATE_SOCKET, or pyisolate/node.sock in $XDG_RUNTIME_DIR, for root in /run)")
	f.StringVar(&o.socketMode, "socket-mode", "0600", "the socket's permissions; 0666 lets every user connect, with a token")
	f.StringVar(&o.data, "data", "", "where to keep policies (default: pyisolate in $XDG_STATE_HOME or ~/.local/state, for root /var/lib/pyisolate)")
	f.StringVar(&o.mode, "mode", string(stack.Dev), "what becomes of a kernel layer that is missing: hardened refuses cells, dev goes without; compatibility leaves them out")
	f.StringVar(&o.brokerIO, "broker-io", string(transport.ModeAuto), "how this process talks to cells' hosts: auto, uring or socket")
	f.StringVar(&o.secrets, "secrets", "", "where the capability secrets.get finds them: a directory of files, a JSON file, or env:NAME,…")
	f.StringVar(&o.store, "store", "", "the file the capability kv keeps values in (default: kv.db in the data directory)")
	f.StringVar(&o.pullProxy, "pull-proxy", "", "the address of a proxy to pull policies through (default: none, whatever the environment says)")
	f.BoolVar(&o.pullInner, "pull-inner", false, "let who is bound to a tenant pull policies from this machine and private networks, too")
	f.StringVar(&o.python, "python", "", pythonUsage)
	f.BoolVar(&o.exitWithStdin, "exit-with-stdin", false, "end when standard input ends: with the program that has started the node")
	f.StringVar(&o.log, "log", "text", "how to log to standard error: text or json")
	_ = c.RegisterFlagCompletionFunc("mode", cobra.FixedCompletions([]string{string(stack.Hardened), string(stack.Dev), string(stack.Compatibility)}, cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("log", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// serve runs until ctx ends, or the node can do no more.
func serve(ctx context.Context, o *serveOptions, c *cobra.Command) error {
	logger, err := o.logger(c)
	if err != nil {
		return err
	}
	n, err := o.open(ctx, logger, c)
	if err != nil {
		return errors.Join(err, n.close())
	}
	served := make(chan error, 1)
	go func() { served <- n.server.Serve(n.listener) }()
	_, _ = fmt.Fprintf(c.OutOrStdout(), "pyisolate-node: serving on %s, data in %s, pid %d\n", o.socket, o.data, os.Getpid())
	notify(logger, "READY=1")
	select {
	case err = <-served:
		served <- nil
	case <-ctx.Done():
		logger.Info("ending")
	}
	notify(logger, "STOPPING=1")
	err = errors.Join(err, n.close())
	return errors.Join(err, <-served)
}

func (o *serveOptions) logger(c *cobra.Command) (*slog.Logger, error) {
	switch o.log {
	case "text":
		return slog.New(slog.NewTextHandler(c.ErrOrStderr(), nil)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(c.ErrOrStderr(), nil)), nil
	}
	return nil, usageError{fmt.Errorf("--log %q: write text or json", o.log)}
}

// atLeast leaves out what is below a level: of Raft, the story of a node that elects itself.
type atLeast struct {
	slog.Handler
	level slog.Level
}

// Enabled implements slog.Handler.
func (h atLeast) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= h.level && h.Handler.Enabled(ctx, l)
}

// WithAttrs implements slog.Handler.
func (h atLeast) WithAttrs(a []slog.Attr) slog.Handler {
	return atLeast{h.Handler.WithAttrs(a), h.level}
}

// WithGroup implements slog.Handler.
func (h atLeast) WithGroup(name string) slog.Handler {
	return atLeast{h.Handler.WithGroup(name), h.level}
}

// fetching bounds what sources of policies make the node do.
func (o *serveOptions) fetching() (refresh.Options, error) {
	out := refresh.Options{Inner: o.pullInner}
	if o.pullProxy == "" {
		return out, nil
	}
	u, err := url.Parse(o.pullProxy)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5h" {
		return out, usageError{errors.New("--pull-proxy: write http://HOST:PORT, or https or socks5h")}
	}
	out.Proxy = u
	return out, nil
}

// resolve fills the places in.
func (o *serveOptions) resolve() (err error) {
	if o.socket, err = place(o.socket, defaultSocket); err != nil {
		return err
	}
	o.data, err = place(o.data, defaultData)
	return err
}

func (o *serveOptions) permissions() (os.FileMode, error) {
	mode, err := strconv.ParseUint(o.socketMode, 8, 32)
	if err != nil || mode > 0o777 {
		return 0, usageError{fmt.Errorf("--socket-mode %q: write permissions in octal, as 0660", o.socketMode)}
	}
	return os.FileMode(mode), nil
}

func (o *serveOptions) launchConfig() (launch.Config, error) {
	return (&runOptions{brokerIO: o.brokerIO, mode: o.mode}).launchConfig()
}
