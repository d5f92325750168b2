package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/api/server"
	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/broker/capability/builtin"
	"github.com/pyisolate/pyisolate/broker/capability/kv"
	"github.com/pyisolate/pyisolate/broker/capability/secrets"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/cell/pydist"
	"github.com/pyisolate/pyisolate/kernel/enforce"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/policystore/document"
	"github.com/pyisolate/pyisolate/policystore/live"
	"github.com/pyisolate/pyisolate/policystore/refresh"
	"github.com/pyisolate/pyisolate/telemetry"
)

// Documents is what a node holds policy documents to.
var Documents = document.Options{Grant: builtin.CheckScope}

// Preloads are imported once per zygote, so that process cells share them.
var Preloads = []string{"json", "re", "math", "collections", "functools", "itertools", "random", "datetime", "time"}

// open opens all parts. With an error, those that are open are the node's to close.
func (n *Node) open(ctx context.Context) error {
	for _, step := range []func(context.Context) error{
		n.openData,
		n.openListeners, // before anything that starts threads and files, for it changes the umask
		n.openCluster,
		n.openObserver,
		n.openStore,
		n.openCheckpoints,
		n.openBroker,
		n.openServer,
		n.listen,
		n.openCells,
	} {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("node: open: %w", err)
		}
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) openData(context.Context) (err error) {
	n.data, err = openDataDir(n.config.Data, n.config.describe(), n.config.Version)
	return err
}

func (n *Node) openStore(ctx context.Context) (err error) {
	proxy, err := n.config.proxy()
	if err != nil {
		return err
	}
	c := policystore.Config{Dir: filepath.Join(n.config.Data, "policies"),
		Logger: slog.New(atLeast{n.logger.Handler(), slog.LevelWarn}), Validate: policystore.ValidateDocuments(Documents)}
	at := ""
	if n.cluster != nil {
		at = "@" + n.cluster.Self()
		c.NodeID, c.Cluster = n.cluster.Self(), n.cluster.Policies()
	}
	if n.store, err = policystore.Open(ctx, c); errors.Is(err, policystore.ErrInvalid) { // the store of others
		return fmt.Errorf("%w: %w", ErrData, err)
	} else if err != nil {
		return err
	}
	if n.cluster != nil {
		if err := n.cluster.Govern(n.store); err != nil {
			return err
		}
	}
	n.refresher, err = refresh.New(refresh.Config{Store: signed{n.store, at}, File: filepath.Join(n.config.Data, "sources.json"), Logger: n.logger,
		Fetch: refresh.Options{Inner: n.config.PullInner, Proxy: proxy}})
	if err == nil {
		n.reloader = live.New(n.store, live.Options{Logger: n.logger, Reported: n.observer.Reported})
		n.observer.Read(telemetry.Sources{Behind: n.reloader.Behind})
		n.watchPolicies()
	}
	return err
}

func (n *Node) openBroker(context.Context) error {
	c := capability.Config{Recorder: n.observer.Recorder(capability.NewLogRecorder(n.logger, 100))}
	if n.fabric != nil {
		c.Fence = n.fabric.Valid
	}
	n.broker = capability.New(c)
	return nil
}

func (n *Node) openServer(context.Context) (err error) {
	config := server.Config{Store: n.store, Refresher: n.refresher, Reloader: n.reloader, Spawner: n.cells,
		Broker: n.broker, Backend: n.launchConfig().Backend(), Logger: n.logger, Observer: n.observer.Observer, Node: n.describe, Extra: n.pages()}
	config.Checkpoints = n.checkpoints
	n.joinCluster(&config)
	if n.server, err = server.New(config); err != nil {
		return err
	}
	if err := n.attach(); err != nil {
		return err
	}
	c := builtin.Config{Sender: n.server.Actors().Sender()}
	if n.config.Secrets != "" {
		if c.Secrets, err = secretsFrom(n.config.Secrets); err != nil {
			return err
		}
	}
	if c.KV, err = kv.Open(n.config.Store, kv.Config{}); err != nil {
		return fmt.Errorf("node: store: %w", err)
	}
	return builtin.Register(n.broker, c)
}

// openCells makes ready what starts cells, which takes the longest: the node answers already.
func (n *Node) openCells(ctx context.Context) (err error) {
	config := n.launchConfig()
	if n.kernel, err = enforce.Open(ctx, true); err != nil {
		n.kernel = nil
		n.logger.Warn("without the node's half of the kernel's layers", slog.Any("error", err))
	}
	n.tellReduced()
	config.Kernel = n.kernel
	if n.python, config.Python, err = FindPython(ctx, pydist.Options{Python: n.config.Python, Progress: n.config.Progress}); err != nil {
		return err
	}
	n.abi.Store(pythonABI(n.python))
	if n.launcher, err = launch.New(config); err != nil {
		return err
	}
	n.observer.Read(telemetry.Sources{Launch: n.launcher.Stats, Traffic: n.launcher.Traffic, Kernel: n.launcher.KernelUsage, Unreceived: n.launcher.Unreceived, Watched: n.kernel.WatchCounts})
	n.tellSelf()
	n.hosts.begin(n.launcher)
	n.cells.begin(n.launcher)
	return nil
}

func (n *Node) launchConfig() launch.Config {
	return launch.Config{BrokerIO: n.config.BrokerIO, Confinement: n.config.Mode, Hosts: n.observer.Host}
}

// FindPython finds the Python for cells of this process, unpacking the embedded one if it must,
// and closes this process's memory to others of its user: it holds what hosts must not read,
// whoever they run as.
func FindPython(ctx context.Context, o pydist.Options) (pydist.Dist, launch.Python, error) {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return pydist.Dist{}, launch.Python{}, fmt.Errorf("make this process's memory unreadable to others: %w", err)
	}
	dist, err := pydist.Resolve(ctx, o)
	if err != nil {
		return pydist.Dist{}, launch.Python{}, err
	}
	return dist, launch.Python{Home: dist.Home, Lib: dist.Lib, Stdlib: dist.Stdlib, Preload: Preloads}, nil
}

// secretsFrom reads where secrets are: a directory, a JSON file, or env:A,B.
func secretsFrom(where string) (secrets.Provider, error) {
	if names, ok := strings.CutPrefix(where, "env:"); ok {
		return secrets.Env{Names: strings.Split(names, ",")}, nil
	}
	info, err := os.Stat(where)
	switch {
	case err != nil:
		return nil, fmt.Errorf("node: secrets: %w", err)
	case info.IsDir():
		return secrets.Dir(where), nil
	}
	return secrets.File(where), nil
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

var errEnded = errors.New("the node has ended")
