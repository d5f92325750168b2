package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
	"github.com/spf13/cobra"

	"github.com/pyisolate/pyisolate/api/server"
	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/broker/capability/builtin"
	"github.com/pyisolate/pyisolate/broker/capability/kv"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/kernel/enforce"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/policystore/live"
	"github.com/pyisolate/pyisolate/policystore/refresh"
)

// endWithin is how long a node waits for what is under way when it ends.
const endWithin = 10 * time.Second

// servingNode is all that serve has opened, nil what it has not.
type servingNode struct {
	lock      *flock.Flock
	store     *policystore.Store
	refresher *refresh.Refresher
	reloader  *live.Reloader
	kernel    *enforce.Enforcer
	launcher  *launch.Launcher
	broker    *capability.Broker
	server    *server.Server
	listener  *net.UnixListener

	capabilities builtin.Config
}

// open opens everything. With an error the node is what was opened before it, to be closed.
func (o *serveOptions) open(ctx context.Context, logger *slog.Logger, c *cobra.Command) (n *servingNode, err error) {
	n = &servingNode{}
	if err := o.resolve(); err != nil {
		return n, err
	}
	permissions, err := o.permissions()
	if err != nil {
		return n, err
	}
	if n.lock, err = lockData(o.data, o.socket); err != nil {
		return n, err
	}
	// Before anything that starts threads and files, for it changes the umask.
	if n.listener, err = listen(o.socket, permissions); err != nil {
		return n, err
	}
	for _, step := range []func() error{
		func() error { return n.openStore(ctx, o, logger) },
		func() error { return n.openCells(ctx, o, c) },
		func() error { return n.openBroker(o, logger) },
		func() error { return n.openServer(o, logger) },
	} {
		if err := step(); err != nil {
			return n, err
		}
	}
	return n, nil
}

func (n *servingNode) openStore(ctx context.Context, o *serveOptions, logger *slog.Logger) error {
	fetching, err := o.fetching()
	if err != nil {
		return err
	}
	n.store, err = policystore.Open(ctx, policystore.Config{Dir: filepath.Join(o.data, "policies"),
		Logger: slog.New(atLeast{logger.Handler(), slog.LevelWarn}), Validate: policystore.ValidateDocuments(checking)})
	if err != nil {
		return err
	}
	n.refresher, err = refresh.New(refresh.Config{Store: n.store, File: filepath.Join(o.data, "sources.json"), Logger: logger, Fetch: fetching})
	if err == nil {
		n.reloader = live.New(n.store, live.Options{Logger: logger})
	}
	return err
}

func (n *servingNode) openCells(ctx context.Context, o *serveOptions, c *cobra.Command) error {
	config, err := o.launchConfig()
	if err != nil {
		return err
	}
	config.PoolSize = 0 // its default: cells that wait for whoever spawns next
	n.kernel = openKernel(ctx, true, c.ErrOrStderr())
	config.Kernel = n.kernel
	n.launcher, err = newLauncher(ctx, o.python, config)
	return err
}

func (n *servingNode) openBroker(o *serveOptions, logger *slog.Logger) (err error) {
	c := &n.capabilities
	if o.secrets != "" {
		if c.Secrets, err = secretsFrom(o.secrets); err != nil {
			return err
		}
	}
	if o.store == "" {
		o.store = filepath.Join(o.data, "kv.db")
	}
	if c.KV, err = kv.Open(o.store, kv.Config{}); err != nil {
		return fmt.Errorf("--store: %w", err)
	}
	n.broker = capability.New(capability.Config{Recorder: capability.NewLogRecorder(logger, 100)})
	return nil
}

func (n *servingNode) openServer(o *serveOptions, logger *slog.Logger) (err error) {
	config, err := o.launchConfig()
	if err != nil {
		return err
	}
	n.server, err = server.New(server.Config{Store: n.store, Refresher: n.refresher, Reloader: n.reloader, Spawner: n.launcher,
		Broker: n.broker, Backend: config.Backend(), Logger: logger})
	if err != nil {
		return err
	}
	n.capabilities.Sender = n.server.Actors().Sender()
	return builtin.Register(n.broker, n.capabilities)
}

// close ends what there is, what needs something before that.
func (n *servingNode) close() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), endWithin)
	defer cancel()
	if n.server != nil {
		err = errors.Join(err, n.server.Close(ctx))
	}
	if n.listener != nil {
		_ = n.listener.Close() // the server has, if it ever served
	}
	if n.reloader != nil {
		n.reloader.Close()
	}
	if n.refresher != nil {
		n.refresher.Close()
	}
	if n.launcher != nil {
		err = errors.Join(err, n.launcher.Close(ctx))
	}
	closeKernel(n.kernel)
	if n.broker != nil {
		err = errors.Join(err, n.broker.Close(ctx))
	}
	if n.store != nil {
		err = errors.Join(err, n.store.Close())
	}
	if n.lock != nil {
		err = errors.Join(err, n.lock.Unlock())
	}
	return err
}

// lockData makes the data directory this node's, and says whose it is if it is another's.
func lockData(dir, socket string) (*flock.Flock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("--data: %w", err)
	}
	path := filepath.Join(dir, "lock")
	lock := flock.New(path, flock.SetPermissions(0o600))
	ours, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	if !ours {
		holder, _ := os.ReadFile(path)
		return nil, usageError{fmt.Errorf("%s is in use by the node with %s; end it, or give another --data", dir, plain(string(holder)))}
	}
	if err := os.WriteFile(path, fmt.Appendf(nil, "pid %d, on %s", os.Getpid(), socket), 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("lock the data directory: %w", err), lock.Unlock())
	}
	return lock, nil
}
