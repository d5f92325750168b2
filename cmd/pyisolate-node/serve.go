package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/pyisolate/pyisolate/cell/pydist"
	"github.com/pyisolate/pyisolate/node"
	"github.com/pyisolate/pyisolate/node/config"
	"github.com/pyisolate/pyisolate/node/systemd"
	"github.com/pyisolate/pyisolate/telemetry/logging"
)

func newServe() *cobra.Command {
	var file string
	var exitWithStdin bool
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run a node that stores policies and serves cells",
		Long: `Run a node: it stores policies and their history, starts cells under them, and applies
each new version to the cells that are running. It listens on a unix socket, and with
--listen on other addresses.

Each flag is also a setting in the environment and in a YAML file: --mode is PYISOLATE_MODE,
and mode: in the file. A flag wins over the environment, and the environment over the file.
config print shows the settings in force.

The node's own user and root are admins. Others need a token, and --socket-mode 0666 to
reach the socket. The node prints one line when it is ready, and tells systemd.

On SIGTERM or Ctrl-C the node drains: it starts no more cells, lets running operations finish
for up to --drain-timeout, and then stops, with its cells. A second signal stops it at once.
On SIGHUP it reads the log level and the certificate again.`,
		Example: `  pyisolate-node serve
  pyisolate-node serve --socket /tmp/node.sock --data /tmp/node &
  pyisolate-node serve --config node.yml --listen https://0.0.0.0:7443 --tls-cert node.crt --tls-key node.key`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			signals := listenForSignals()
			defer signals.stop()
			if exitWithStdin {
				go func() { // it ends with the process
					_, _ = io.Copy(io.Discard, c.InOrStdin())
					signals.end()
				}()
			}
			return serve(c, config.Sources{File: file, Flags: c.Flags()}, signals)
		},
	}
	addConfigFlags(c, &file)
	c.Flags().BoolVar(&exitWithStdin, "exit-with-stdin", false, "stop when standard input ends, as it does when the program that started the node ends")
	return c
}

// addConfigFlags gives a command the flags of a node's configuration.
func addConfigFlags(c *cobra.Command, file *string) {
	c.Flags().StringVar(file, "config", "", "a YAML file of settings (default: $PYISOLATE_CONFIG, or if it exists /etc/pyisolate/node.yml for root, else pyisolate/node.yml in $XDG_CONFIG_HOME or ~/.config)")
	config.AddFlags(c.Flags())
	for _, s := range config.Settings {
		if s.Choices != nil {
			_ = c.RegisterFlagCompletionFunc(s.Key, cobra.FixedCompletions(s.Choices, cobra.ShellCompDirectiveNoFileComp))
		}
	}
}

// serve runs until it is told to end, or the node can do no more.
func serve(c *cobra.Command, from config.Sources, signals *signals) error {
	var err error
	if from.Inherited, err = systemd.Listeners(); err != nil {
		return err
	}
	loaded, err := config.Load(from)
	if err != nil {
		return usageError{err}
	}
	var level slog.LevelVar
	level.Set(loaded.LogLevel)
	logger, err := logging.New(c.ErrOrStderr(), loaded.LogFormat, &level)
	if err != nil {
		return usageError{err}
	}
	for _, warning := range loaded.Warnings {
		logger.Warn(warning)
	}
	cfg := loaded.Node
	cfg.Logger, cfg.Version, cfg.Progress = logger, version, pydist.TerminalProgress(os.Stderr)
	defer collectSeldom()()
	n, err := node.Open(signals.ending, cfg)
	if err != nil {
		return asUsage(err)
	}
	s := &service{Node: n, logger: logger, level: &level, from: from}
	_, _ = fmt.Fprintf(c.OutOrStdout(), "pyisolate-node: serving on %s, data in %s, pid %d\n", strings.Join(spoken(n.Addresses()), ", "), n.Config().Data, os.Getpid())
	return s.run(signals)
}

// asUsage says which errors are the operator's to mend.
func asUsage(err error) error {
	var wrong *node.ConfigError
	if errors.Is(err, node.ErrInUse) || errors.Is(err, node.ErrData) || errors.As(err, &wrong) {
		return usageError{err}
	}
	return err
}

// spoken are addresses for people: of a unix socket its path.
func spoken(addresses []string) (out []string) {
	for _, a := range addresses {
		out = append(out, strings.TrimPrefix(a, "unix://"))
	}
	return out
}

// signals are what the process was told from outside.
type signals struct {
	ending context.Context // with the first that ends it
	end    func()          // is one
	now    chan struct{}   // with the second
	reload chan os.Signal
	stop   func()
}

// listenForSignals hears SIGTERM, Ctrl-C and SIGHUP. After two that end it, a third has its
// usual effect.
func listenForSignals() *signals {
	s := &signals{now: make(chan struct{}), reload: make(chan os.Signal, 1)}
	ends := make(chan os.Signal, 2)
	signal.Notify(ends, os.Interrupt, syscall.SIGTERM)
	signal.Notify(s.reload, syscall.SIGHUP)
	s.ending, s.end = context.WithCancel(context.Background())
	done := make(chan struct{})
	var hearing sync.WaitGroup
	hearing.Go(func() {
		for _, then := range []func(){s.end, func() { close(s.now) }} {
			select {
			case <-ends:
				then()
			case <-done:
				return
			}
		}
		signal.Stop(ends)
	})
	s.stop = func() {
		signal.Stop(ends)
		signal.Stop(s.reload)
		close(done)
		hearing.Wait()
		s.end()
	}
	return s
}

// service is a node that a service manager, or a terminal, looks after.
type service struct {
	*node.Node
	logger *slog.Logger
	level  *slog.LevelVar
	from   config.Sources
}

// run serves until the signals say otherwise.
func (s *service) run(heard *signals) error {
	s.tell(systemd.Ready, systemd.Status("ready"))
	served := make(chan error, 1)
	go func() { served <- s.Serve(heard.ending) }()
	watching, stop := context.WithCancel(context.Background())
	var beside sync.WaitGroup
	beside.Go(func() {
		systemd.Watch(watching, s.Alive, func(err error) {
			s.logger.Error("the watchdog is not told this time", slog.Any("error", err))
		})
	})
	defer beside.Wait()
	defer stop()
	ending, now := heard.ending.Done(), heard.now
	for {
		select {
		case err := <-served:
			return err
		case <-heard.reload:
			s.tell(systemd.Reloading())
			s.reload()
			s.tell(systemd.Ready)
		case <-ending:
			ending = nil
			s.tell(systemd.Stopping, systemd.Status("draining"))
		case <-now:
			now = nil
			s.logger.Warn("ending at once")
			beside.Go(func() { _ = s.Close() }) // Serve returns its error
		}
	}
}

// reload takes what may change while the node runs.
func (s *service) reload() {
	loaded, err := config.Load(s.from)
	if err != nil {
		s.logger.Error("reload: the configuration is wrong, and nothing of it is taken", slog.Any("error", err))
		return
	}
	s.level.Set(loaded.LogLevel)
	if err := s.Reload(); err != nil {
		s.logger.Error("reload: the certificate stays", slog.Any("error", err))
		return
	}
	s.logger.Info("reloaded: log level and certificate")
}

func (s *service) tell(words ...string) {
	if err := systemd.Notify(words...); err != nil {
		s.logger.Warn("the service manager was not told", slog.Any("error", err))
	}
}
