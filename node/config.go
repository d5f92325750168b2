package node

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/pyisolate/pyisolate/api/server"
	"github.com/pyisolate/pyisolate/broker/transport"
	"github.com/pyisolate/pyisolate/kernel/stack"
	"github.com/pyisolate/pyisolate/telemetry/webhook"
)

// Config of a node. The zero value of a field is its default, so Config{} is the node that
// `pyisolate-node serve` starts. The tag of a field is its key in files, flags and errors.
type Config struct {
	// Data is the directory of what outlives the node: policies, tokens, values of kv. Default:
	// [DefaultData]. It is made if it is missing; it must be the user's and closed to others.
	Data string `koanf:"data"`
	// Socket is the path of the unix socket to listen on, at most 107 bytes. Default:
	// [DefaultSocket], or none where Inherited has any. NoSocket: none.
	Socket string `koanf:"socket"`
	// SocketMode has the socket's permissions. Default 0600: the node's user and root. With
	// 0666 every user may connect, and needs a token.
	SocketMode fs.FileMode `koanf:"socket-mode"`
	// Listen are further addresses: unix:///PATH, https://HOST:PORT, and with PlainLoopback
	// http://127.0.0.1:PORT. At https and http every call needs a token.
	Listen []string `koanf:"listen"`
	// PlainLoopback permits http: tokens are then readable to whoever can watch the loopback
	// interface, which is root.
	PlainLoopback bool `koanf:"plain-loopback"`
	// TLSCert and TLSKey are files in PEM form, needed for https. Node.Reload, and a change of
	// the files, has new connections use what is in them now.
	TLSCert string `koanf:"tls-cert"`
	TLSKey  string `koanf:"tls-key"`
	// Mode is what becomes of a kernel layer that is missing. Default stack.Dev: cells go
	// without, and their reports say so. stack.Hardened: they do not start.
	Mode stack.Mode `koanf:"mode"`
	// BrokerIO is how this process talks to cells' hosts. Default transport.ModeAuto.
	BrokerIO transport.Mode `koanf:"broker-io"`
	// Python is a libpython, an executable or a prefix, 3.14 or later. Default:
	// $PYISOLATE_PYTHON, or the embedded one.
	Python string `koanf:"python"`
	// Secrets is where the capability secrets.get finds them: a directory of files, a JSON
	// file, or env:NAME,NAME. Default: there are none.
	Secrets string `koanf:"secrets"`
	// Store is the file that the capability kv keeps values in. Default: kv.db in Data.
	Store string `koanf:"store"`
	// PullProxy is http://, https:// or socks5h://HOST:PORT, through which policies are pulled.
	// Default: none; the environment's is not used.
	PullProxy string `koanf:"pull-proxy"`
	// PullInner lets principals of a tenant have policies pulled from this machine and private
	// networks, too.
	PullInner bool `koanf:"pull-inner"`
	// DrainTimeout is how long operations under way may take to finish when the node ends, at
	// most 10 minutes. Default 10 s; negative: not at all.
	DrainTimeout time.Duration `koanf:"drain-timeout"`

	// TraceEndpoint is an OpenTelemetry collector, as http://HOST:4318, that traces of calls are
	// sent to (OTLP over HTTP). Default: nothing is traced. TraceHeaders go with what is sent, as
	// a token of the collector's. TraceRatio of the traces that begin here is kept, above 0 and
	// at most 1; default 1.
	TraceEndpoint string            `koanf:"trace-endpoint"`
	TraceHeaders  map[string]string `koanf:"trace-headers"`
	TraceRatio    float64           `koanf:"trace-ratio"`
	// Webhooks are URLs that events are posted to, 16 at most.
	Webhooks []webhook.Hook `koanf:"webhooks"`
	// MetricTags are the tags of what guests measure that become labels, 8 at most: of guests
	// that are trusted to choose few values. Default: none.
	MetricTags []string `koanf:"metric-tags"`

	// Labels are what the node says of itself for placement, as zone=a: 16 at most.
	Labels map[string]string `koanf:"label"`
	// Cells is how many it runs at most, and CapacityMemory how many bytes their limits may permit
	// together: who asks for more is told so, and in a cluster other nodes are taken. Default: as
	// many cells as the API permits, and any memory.
	Cells          int   `koanf:"cells"`
	CapacityMemory int64 `koanf:"capacity-memory"`

	// What follows counts where Data belongs to a member of a cluster.

	// ClusterListen is the address of the port between nodes, HOST:PORT, and ClusterAdvertise the
	// same as others reach it. GossipListen and GossipAdvertise are where it gossips, by UDP and
	// TCP. Defaults are as package cluster has them: what the node was told when it joined.
	ClusterListen    string `koanf:"cluster-listen"`
	ClusterAdvertise string `koanf:"cluster-advertise"`
	GossipListen     string `koanf:"gossip-listen"`
	GossipAdvertise  string `koanf:"gossip-advertise"`
	// GossipSeeds are where to look for the other nodes, too, when all may be elsewhere than they were: where
	// they gossip, HOST:PORT each, 16 at most.
	GossipSeeds []string `koanf:"gossip-seed"`
	// ClusterLease is for how long a node that is cut off may keep its cells, 1 s to 1 minute, the
	// same on all nodes; they end a third of it before. Default 10 s. ClusterTimeout is how long a
	// leader may be silent before another is elected, 100 ms to 10 s and less than ClusterLease.
	// Default 500 ms.
	ClusterLease   time.Duration `koanf:"cluster-lease"`
	ClusterTimeout time.Duration `koanf:"cluster-timeout"`

	// What follows is about checkpoints, which are kept in Data.

	// CheckpointEvery is how often cells are checkpointed that say nothing about it, and neither do
	// their policies: at least 1 s; default never. CheckpointDrain has such cells checkpointed when
	// the node ends, and CheckpointReplicas other nodes have a copy of each: 0 to 5, default 0. It
	// needs a cluster.
	CheckpointEvery    time.Duration `koanf:"checkpoint-every"`
	CheckpointDrain    bool          `koanf:"checkpoint-drain"`
	CheckpointReplicas int           `koanf:"checkpoint-replicas"`
	// CheckpointKeep is how many of each cell are kept, the newest; default 8, negative: all.
	// CheckpointAge is when one is removed; default never.
	CheckpointKeep int           `koanf:"checkpoint-keep"`
	CheckpointAge  time.Duration `koanf:"checkpoint-age"`
	// CheckpointBytes of all of them, and CheckpointTenantBytes and CheckpointTenantCount of one
	// tenant's. Defaults: any, 16 GiB, 1024; negative: any.
	CheckpointBytes       int64 `koanf:"checkpoint-bytes"`
	CheckpointTenantBytes int64 `koanf:"checkpoint-tenant-bytes"`
	CheckpointTenantCount int   `koanf:"checkpoint-tenant-count"`
	// CheckpointSecret is a file of at least 16 bytes without which the ring of keys in Data opens
	// nothing. Default: none; who reads the ring can open all checkpoints.
	CheckpointSecret string `koanf:"checkpoint-secret"`

	// Pages are served beside the API, by path, those of the node's own included that are to be
	// replaced.
	Pages map[string]server.Page `koanf:"-"`
	// Inherited are listeners that the caller has opened; the node closes them. A unix
	// listener's clients are known by their users. One over TCP gets TLS with TLSCert, or is on
	// loopback with PlainLoopback. One at an address of Socket or Listen takes its place.
	Inherited []net.Listener `koanf:"-"`
	// Logger of what the node does; nil discards it.
	Logger *slog.Logger `koanf:"-"`
	// Version is told to clients and written beside data. Default "unknown".
	Version string `koanf:"-"`
	// Progress is told how the embedded Python is being unpacked, if it must be, with the parts
	// that are done of all. Default: nobody is.
	Progress func(done, all int64) `koanf:"-"`
}

// NoSocket as Config.Socket is to listen on no unix socket but those of Listen and Inherited.
const NoSocket = "none"

// Bounds of a Config's numbers.
const (
	DefaultDrainTimeout = 10 * time.Second
	MaxDrainTimeout     = 10 * time.Minute

	DefaultClusterLease          = 10 * time.Second
	DefaultCheckpointKeep        = 8
	DefaultCheckpointTenantBytes = 16 << 30
	DefaultCheckpointTenantCount = 1024
	MinCheckpointEvery           = time.Second
	MinClusterLease              = time.Second
	MaxClusterLease              = time.Minute
	DefaultClusterTimeout        = 500 * time.Millisecond
	MinClusterTimeout            = 100 * time.Millisecond
	MaxClusterTimeout            = 10 * time.Second
)

// DefaultSocket is where a node of this user listens: pyisolate/node.sock in /run for root, and
// for others in $XDG_RUNTIME_DIR.
func DefaultSocket() (string, error) {
	dir := "/run"
	if os.Geteuid() != 0 {
		if dir = os.Getenv("XDG_RUNTIME_DIR"); dir == "" {
			return "", errors.New("there is no $XDG_RUNTIME_DIR: say where the socket is")
		}
	}
	return filepath.Join(dir, "pyisolate", "node.sock"), nil
}

// DefaultData is where a node of this user keeps what outlives it: /var/lib/pyisolate for root,
// and for others pyisolate in $XDG_STATE_HOME or ~/.local/state.
func DefaultData() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/lib/pyisolate", nil
	}
	dir := os.Getenv("XDG_STATE_HOME")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("%w: say where to keep data", err)
		}
		dir = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(dir, "pyisolate"), nil
}

// withDefaults fills in what is zero, and makes paths absolute. What has no default here is left
// for Validate to name.
func (c Config) withDefaults() Config {
	if c.Data == "" {
		c.Data, _ = DefaultData()
	}
	if c.Socket == "" && len(c.Inherited) > 0 {
		c.Socket = NoSocket
	}
	if c.Socket == "" {
		c.Socket, _ = DefaultSocket()
	}
	for _, path := range []*string{&c.Data, &c.Socket, &c.Store, &c.TLSCert, &c.TLSKey, &c.CheckpointSecret} {
		if whole, err := filepath.Abs(*path); err == nil && *path != "" && *path != NoSocket {
			*path = whole
		}
	}
	if c.Data != "" {
		c.Store = cmp.Or(c.Store, filepath.Join(c.Data, "kv.db"))
	}
	c.SocketMode = cmp.Or(c.SocketMode, 0o600)
	c.Mode = cmp.Or(c.Mode, stack.Dev)
	c.BrokerIO = cmp.Or(c.BrokerIO, transport.ModeAuto)
	c.DrainTimeout = cmp.Or(c.DrainTimeout, DefaultDrainTimeout)
	c.ClusterLease = cmp.Or(c.ClusterLease, DefaultClusterLease)
	c.ClusterTimeout = cmp.Or(c.ClusterTimeout, DefaultClusterTimeout)
	c.CheckpointKeep = cmp.Or(c.CheckpointKeep, DefaultCheckpointKeep)
	c.CheckpointTenantBytes = cmp.Or(c.CheckpointTenantBytes, DefaultCheckpointTenantBytes)
	c.CheckpointTenantCount = cmp.Or(c.CheckpointTenantCount, DefaultCheckpointTenantCount)
	c.Version = cmp.Or(c.Version, "unknown")
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Resolved is the configuration that Open goes by: defaults filled in, paths absolute.
func (c Config) Resolved() Config { return c.withDefaults() }

// tlsMinVersion is the oldest that clients may speak.
const tlsMinVersion = tls.VersionTLS12
