package config

import (
	"cmp"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/pyisolate/pyisolate/broker/transport"
	"github.com/pyisolate/pyisolate/kernel/stack"
	"github.com/pyisolate/pyisolate/node"
)

// Kind of a setting's values.
type Kind string

// The kinds.
const (
	Text   Kind = "text"
	Switch Kind = "switch" // true or false
	List   Kind = "list"   // in flags and the environment separated by commas
)

// Setting is one thing that can be configured.
type Setting struct {
	Key     string
	Kind    Kind
	Usage   string
	Choices []string // all values that there are, for completion; nil: many

	set  func(l *Loaded, values []string) error
	get  func(l *Loaded) []string // of a resolved configuration
	hide func(string) string      // what may be shown of a value; nil: all

	spaced bool // a list's values may have spaces: in the environment, where these separate values, too, they do not
}

// EnvPrefix begins the names of variables.
const EnvPrefix = "PYISOLATE_"

// Env is the setting's variable.
func (s Setting) Env() string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(s.Key, "-", "_"))
}

// Settings are all, in the order in which they are shown.
var Settings = []Setting{
	place("data", "a directory", "the directory for policies and other state (default: /var/lib/pyisolate for root, else pyisolate in $XDG_STATE_HOME or ~/.local/state)",
		func(l *Loaded) *string { return &l.Node.Data }),
	place("socket", "a path, or none for no socket", "the unix socket to listen on, or none (default: /run/pyisolate/node.sock for root, else pyisolate/node.sock in $XDG_RUNTIME_DIR)",
		func(l *Loaded) *string { return &l.Node.Socket }),
	{Key: "socket-mode", Kind: Text, Usage: "the socket's permissions, in octal; with 0666 every user may connect, and needs a token (default 0600)",
		set: func(l *Loaded, v []string) (err error) { l.Node.SocketMode, err = permissions(v[0]); return err },
		get: func(l *Loaded) []string { return []string{fmt.Sprintf("%#o", uint32(l.Node.SocketMode))} }},
	{Key: "listen", Kind: List, Usage: "another address to listen on: https://HOST:PORT, unix:///PATH, or with --plain-loopback http://127.0.0.1:PORT; repeatable",
		set: func(l *Loaded, v []string) error { l.Node.Listen = v; return nil },
		get: func(l *Loaded) []string { return l.Node.Listen }},
	flag("plain-loopback", "allow unencrypted http:// on the loopback interface", func(l *Loaded) *bool { return &l.Node.PlainLoopback }),
	text("tls-cert", "the certificate for https://, a PEM file; a new one is loaded without a restart", func(l *Loaded) *string { return &l.Node.TLSCert }),
	text("tls-key", "the key of the certificate, a PEM file that others cannot read", func(l *Loaded) *string { return &l.Node.TLSKey }),
	{Key: "mode", Kind: Text, Choices: []string{string(stack.Hardened), string(stack.Dev), string(stack.Compatibility)},
		Usage: "what to do if a kernel layer is missing: hardened refuses to start cells, dev runs them without it; compatibility uses no layers (default dev)",
		set:   func(l *Loaded, v []string) error { l.Node.Mode = stack.Mode(v[0]); return nil },
		get:   func(l *Loaded) []string { return []string{string(l.Node.Mode)} }},
	{Key: "broker-io", Kind: Text, Choices: []string{string(transport.ModeAuto), string(transport.ModeUring), string(transport.ModeSocket)},
		Usage: "how the node talks to cells' hosts: auto, uring or socket (default auto)",
		set:   func(l *Loaded, v []string) error { l.Node.BrokerIO = transport.Mode(v[0]); return nil },
		get:   func(l *Loaded) []string { return []string{string(l.Node.BrokerIO)} }},
	text("python", "the Python that cells run, 3.14 or later: a libpython, an executable or a prefix (default: the embedded one)", func(l *Loaded) *string { return &l.Node.Python }),
	text("secrets", "where the capability secrets.get finds secrets: a directory of files, a JSON file, or env:NAME,NAME", func(l *Loaded) *string { return &l.Node.Secrets }),
	text("store", "the file in which the capability kv keeps values (default: kv.db in the data directory)", func(l *Loaded) *string { return &l.Node.Store }),
	hidden(text("pull-proxy", "the proxy for pulling policies: http://, https:// or socks5h://HOST:PORT (default: none, even if the environment names one)",
		func(l *Loaded) *string { return &l.Node.PullProxy }), password),
	flag("pull-inner", "let callers that are bound to a tenant also pull policies from this machine and private networks", func(l *Loaded) *bool { return &l.Node.PullInner }),
	{Key: "drain-timeout", Kind: Text, Usage: "how long running operations may take to finish when the node stops, 0s to 10m (default 10s)",
		set: func(l *Loaded, v []string) (err error) { l.Node.DrainTimeout, err = drain(v[0]); return err },
		get: func(l *Loaded) []string { return []string{max(l.Node.DrainTimeout, 0).String()} }},
	hidden(text("trace-endpoint", "the OpenTelemetry collector to send traces to, such as http://HOST:4318 (default: no tracing)",
		func(l *Loaded) *string { return &l.Node.TraceEndpoint }), password),
	hidden(Setting{Key: "trace-headers", Kind: List, Usage: "a header to send with traces, NAME=VALUE; repeatable", set: setHeaders, get: headers, spaced: true}, headerName),
	{Key: "trace-ratio", Kind: Text, Usage: "the share of traces that begin at this node to keep, above 0 and at most 1 (default 1)", set: setRatio,
		get: func(l *Loaded) []string {
			return []string{strconv.FormatFloat(cmp.Or(l.Node.TraceRatio, 1), 'g', -1, 64)}
		}},
	{Key: "webhooks", Kind: Text, Usage: "a YAML file that lists the URLs to post events to", set: setWebhooks, get: func(l *Loaded) []string { return []string{l.webhooks} }},
	{Key: "metric-tags", Kind: List, Usage: "a tag of guests' metrics that becomes a label, 8 at most; only for guests that you trust to use few values; repeatable",
		set: func(l *Loaded, v []string) error { l.Node.MetricTags = v; return nil },
		get: func(l *Loaded) []string { return l.Node.MetricTags }},
	{Key: "label", Kind: List, Usage: "a KEY=VALUE that describes the node for the placement of cells, such as zone=a, 16 at most; repeatable", set: setLabels, get: labels},
	{Key: "cells", Kind: Text, Usage: "the maximum number of cells on the node (default 4096)", set: setCells,
		get: func(l *Loaded) []string { return []string{strconv.Itoa(cmp.Or(l.Node.Cells, node.MaxCells))} }},
	{Key: "capacity-memory", Kind: Text, Usage: "the maximum sum of the memory limits of the node's cells, such as 16GiB (default: any)", set: setCapacity, get: capacity},
	text("cluster-listen", "where to listen for other nodes, HOST:PORT (default: what the node was told when it joined)", func(l *Loaded) *string { return &l.Node.ClusterListen }),
	text("cluster-advertise", "where other nodes reach that port, HOST:PORT (default: what the node was told when it joined)", func(l *Loaded) *string { return &l.Node.ClusterAdvertise }),
	text("gossip-listen", "where to gossip, over UDP and TCP, HOST:PORT (default: the port after that of --cluster-listen)", func(l *Loaded) *string { return &l.Node.GossipListen }),
	text("gossip-advertise", "where other nodes reach the gossip port, HOST:PORT (default: the port after that of --cluster-advertise)", func(l *Loaded) *string { return &l.Node.GossipAdvertise }),
	{Key: "gossip-seed", Kind: List, Usage: "where another node gossips, HOST:PORT; needed only after the addresses of all nodes have changed; 16 at most; repeatable",
		set: func(l *Loaded, v []string) error { l.Node.GossipSeeds = v; return nil },
		get: func(l *Loaded) []string { return l.Node.GossipSeeds }},
	span("cluster-lease", "how long a node that is cut off keeps its cells, 1s to 1m; must be the same on all nodes (default 10s)", func(l *Loaded) *time.Duration { return &l.Node.ClusterLease }),
	span("cluster-timeout", "how long the leader may be silent before another is elected, 100ms to 10s (default 500ms)", func(l *Loaded) *time.Duration { return &l.Node.ClusterTimeout }),
	unset(span("checkpoint-every", "how often to checkpoint cells whose spawn and policy say nothing about checkpoints, 1s or more (default: never)", func(l *Loaded) *time.Duration { return &l.Node.CheckpointEvery })),
	flag("checkpoint-drain", "checkpoint such cells when the node stops", func(l *Loaded) *bool { return &l.Node.CheckpointDrain }),
	replicas("checkpoint-replicas", "how many other nodes of the cluster get a copy of each checkpoint of such cells, 0 to 5 (default 0)", func(l *Loaded) *int { return &l.Node.CheckpointReplicas }),
	number("checkpoint-keep", "how many of each cell's newest checkpoints to keep; -1 for all (default 8)", func(l *Loaded) *int { return &l.Node.CheckpointKeep }),
	unset(span("checkpoint-age", "the age at which a checkpoint is removed, such as 168h (default: never)", func(l *Loaded) *time.Duration { return &l.Node.CheckpointAge })),
	sized("checkpoint-bytes", "how much disk space all checkpoints may take, such as 100GiB (default: any)", func(l *Loaded) *int64 { return &l.Node.CheckpointBytes }),
	sized("checkpoint-tenant-bytes", "how much disk space one tenant's checkpoints may take (default 16GiB)", func(l *Loaded) *int64 { return &l.Node.CheckpointTenantBytes }),
	number("checkpoint-tenant-count", "how many checkpoints one tenant may have; -1 for any number (default 1024)", func(l *Loaded) *int { return &l.Node.CheckpointTenantCount }),
	text("checkpoint-secret", "a file of at least 16 bytes, not readable by others; without it the keys in the data directory open no checkpoint (default: none)", func(l *Loaded) *string { return &l.Node.CheckpointSecret }),
	{Key: "log", Kind: Text, Choices: []string{"text", "json"}, Usage: "the format of the log on standard error: text or json (default text)",
		set: func(l *Loaded, v []string) error { return choice(&l.LogFormat, v[0], "text", "json") },
		get: func(l *Loaded) []string { return []string{l.LogFormat} }},
	{Key: "log-level", Kind: Text, Choices: []string{"debug", "info", "warn", "error"}, Usage: "the lowest level to log: debug, info, warn or error (default info)",
		set: func(l *Loaded, v []string) error { return level(&l.LogLevel, v[0]) },
		get: func(l *Loaded) []string { return []string{strings.ToLower(l.LogLevel.String())} }},
}

func text(key, usage string, field func(*Loaded) *string) Setting {
	return Setting{Key: key, Kind: Text, Usage: usage,
		set: func(l *Loaded, v []string) error { *field(l) = v[0]; return nil },
		get: func(l *Loaded) []string { return []string{*field(l)} }}
}

// place is a text that is not empty: as of a variable without a value, which would mean the default place.
func place(key, what, usage string, field func(*Loaded) *string) Setting {
	s := text(key, usage, field)
	set := s.set
	s.set = func(l *Loaded, v []string) error {
		if v[0] == "" {
			return fmt.Errorf("it is empty: name %s", what)
		}
		return set(l, v)
	}
	return s
}

func flag(key, usage string, field func(*Loaded) *bool) Setting {
	return Setting{Key: key, Kind: Switch, Usage: usage,
		set: func(l *Loaded, v []string) (err error) {
			if v[0] != "true" && v[0] != "false" {
				return fmt.Errorf("%q is neither: write true or false", v[0])
			}
			*field(l) = v[0] == "true"
			return nil
		},
		get: func(l *Loaded) []string { return []string{strconv.FormatBool(*field(l))} }}
}

func hidden(s Setting, hide func(string) string) Setting {
	s.hide = hide
	return s
}

// password leaves a URL's out.
func password(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "(hidden)"
	}
	return u.Redacted()
}

func permissions(text string) (fs.FileMode, error) {
	mode, err := strconv.ParseUint(strings.TrimPrefix(text, "0o"), 8, 32)
	if err != nil || mode == 0 || mode > 0o777 {
		return 0, fmt.Errorf("%q is no permissions: write octal digits, as 0660", text)
	}
	return fs.FileMode(mode), nil
}

func drain(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil || d < 0:
		return 0, fmt.Errorf("%q is no duration: write 10s or 1m30s", text)
	case d == 0:
		return -1, nil // for node.Config, 0 is the default
	}
	return d, nil
}

func choice(field *string, value string, of ...string) error {
	for _, one := range of {
		if value == one {
			*field = value
			return nil
		}
	}
	return fmt.Errorf("%q is not known: write %s", value, strings.Join(of, " or "))
}

func level(field *slog.Level, text string) error {
	for _, l := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if text == strings.ToLower(l.String()) {
			*field = l
			return nil
		}
	}
	return fmt.Errorf("%q is not known: write debug, info, warn or error", text)
}

// named is the setting of a key; nil if there is none.
func named(key string) *Setting {
	for i := range Settings {
		if Settings[i].Key == key {
			return &Settings[i]
		}
	}
	return nil
}

func keys() (all []string) {
	for _, s := range Settings {
		all = append(all, s.Key)
	}
	return all
}
