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
	place("data", "a directory", "where to keep policies and other state (default: pyisolate in $XDG_STATE_HOME or ~/.local/state, for root /var/lib/pyisolate)",
		func(l *Loaded) *string { return &l.Node.Data }),
	place("socket", "a path, or none for no socket", "the unix socket to listen on, or none (default: pyisolate/node.sock in $XDG_RUNTIME_DIR, for root in /run)",
		func(l *Loaded) *string { return &l.Node.Socket }),
	{Key: "socket-mode", Kind: Text, Usage: "the socket's permissions; 0666 lets every user connect, with a token (default 0600)",
		set: func(l *Loaded, v []string) (err error) { l.Node.SocketMode, err = permissions(v[0]); return err },
		get: func(l *Loaded) []string { return []string{fmt.Sprintf("%#o", uint32(l.Node.SocketMode))} }},
	{Key: "listen", Kind: List, Usage: "further addresses to listen at: https://HOST:PORT, unix:///PATH, or with --plain-loopback http://127.0.0.1:PORT; repeatable",
		set: func(l *Loaded, v []string) error { l.Node.Listen = v; return nil },
		get: func(l *Loaded) []string { return l.Node.Listen }},
	flag("plain-loopback", "permit http:// on the loopback interface, unencrypted", func(l *Loaded) *bool { return &l.Node.PlainLoopback }),
	text("tls-cert", "the certificate for https, a PEM file; a changed one is taken without a restart", func(l *Loaded) *string { return &l.Node.TLSCert }),
	text("tls-key", "its key, a PEM file that others may not read", func(l *Loaded) *string { return &l.Node.TLSKey }),
	{Key: "mode", Kind: Text, Choices: []string{string(stack.Hardened), string(stack.Dev), string(stack.Compatibility)},
		Usage: "what becomes of a kernel layer that is missing: hardened refuses cells, dev goes without; compatibility leaves them out (default dev)",
		set:   func(l *Loaded, v []string) error { l.Node.Mode = stack.Mode(v[0]); return nil },
		get:   func(l *Loaded) []string { return []string{string(l.Node.Mode)} }},
	{Key: "broker-io", Kind: Text, Choices: []string{string(transport.ModeAuto), string(transport.ModeUring), string(transport.ModeSocket)},
		Usage: "how this process talks to cells' hosts: auto, uring or socket (default auto)",
		set:   func(l *Loaded, v []string) error { l.Node.BrokerIO = transport.Mode(v[0]); return nil },
		get:   func(l *Loaded) []string { return []string{string(l.Node.BrokerIO)} }},
	text("python", "another libpython, python or prefix, 3.14 or later (default: the embedded one)", func(l *Loaded) *string { return &l.Node.Python }),
	text("secrets", "where the capability secrets.get finds them: a directory of files, a JSON file, or env:NAME,…", func(l *Loaded) *string { return &l.Node.Secrets }),
	text("store", "the file the capability kv keeps values in (default: kv.db in the data directory)", func(l *Loaded) *string { return &l.Node.Store }),
	hidden(text("pull-proxy", "the address of a proxy to pull policies through (default: none, whatever the environment says)",
		func(l *Loaded) *string { return &l.Node.PullProxy }), password),
	flag("pull-inner", "let who is bound to a tenant pull policies from this machine and private networks, too", func(l *Loaded) *bool { return &l.Node.PullInner }),
	{Key: "drain-timeout", Kind: Text, Usage: "how long operations under way may take to finish when the node ends (default 10s; 0s: not at all)",
		set: func(l *Loaded, v []string) (err error) { l.Node.DrainTimeout, err = drain(v[0]); return err },
		get: func(l *Loaded) []string { return []string{max(l.Node.DrainTimeout, 0).String()} }},
	hidden(text("trace-endpoint", "an OpenTelemetry collector to send traces to, as http://HOST:4318 (default: nothing is traced)",
		func(l *Loaded) *string { return &l.Node.TraceEndpoint }), password),
	hidden(Setting{Key: "trace-headers", Kind: List, Usage: "headers that go with traces, as NAME=VALUE; repeatable", set: setHeaders, get: headers, spaced: true}, headerName),
	{Key: "trace-ratio", Kind: Text, Usage: "how many of the traces that begin here are kept, above 0 and at most 1 (default 1)", set: setRatio,
		get: func(l *Loaded) []string {
			return []string{strconv.FormatFloat(cmp.Or(l.Node.TraceRatio, 1), 'g', -1, 64)}
		}},
	{Key: "webhooks", Kind: Text, Usage: "a YAML file of URLs that events are posted to", set: setWebhooks, get: func(l *Loaded) []string { return []string{l.webhooks} }},
	{Key: "metric-tags", Kind: List, Usage: "tags of what guests measure that become labels, of guests that are trusted; repeatable",
		set: func(l *Loaded, v []string) error { l.Node.MetricTags = v; return nil },
		get: func(l *Loaded) []string { return l.Node.MetricTags }},
	{Key: "label", Kind: List, Usage: "what the node says of itself for placement, as zone=a; repeatable", set: setLabels, get: labels},
	{Key: "cells", Kind: Text, Usage: "how many cells the node runs at most (default 4096)", set: setCells,
		get: func(l *Loaded) []string { return []string{strconv.Itoa(cmp.Or(l.Node.Cells, node.MaxCells))} }},
	{Key: "capacity-memory", Kind: Text, Usage: "how much memory the limits of its cells may permit together, as 16GiB (default: any)", set: setCapacity, get: capacity},
	text("cluster-listen", "the address of the port between nodes, HOST:PORT (default: as the node was told when it joined)", func(l *Loaded) *string { return &l.Node.ClusterListen }),
	text("cluster-advertise", "that port as other nodes reach it, HOST:PORT (default: as the node was told when it joined)", func(l *Loaded) *string { return &l.Node.ClusterAdvertise }),
	text("gossip-listen", "where to gossip, by UDP and TCP, HOST:PORT (default: the port after the one between nodes)", func(l *Loaded) *string { return &l.Node.GossipListen }),
	text("gossip-advertise", "the same as other nodes reach it, HOST:PORT", func(l *Loaded) *string { return &l.Node.GossipAdvertise }),
	{Key: "gossip-seed", Kind: List, Usage: "where another node gossips, HOST:PORT, when all may be elsewhere than they were; repeatable",
		set: func(l *Loaded, v []string) error { l.Node.GossipSeeds = v; return nil },
		get: func(l *Loaded) []string { return l.Node.GossipSeeds }},
	span("cluster-lease", "for how long a node that is cut off keeps its cells, the same on all nodes (default 10s)", func(l *Loaded) *time.Duration { return &l.Node.ClusterLease }),
	span("cluster-timeout", "how long a leader may be silent before another is elected (default 500ms)", func(l *Loaded) *time.Duration { return &l.Node.ClusterTimeout }),
	unset(span("checkpoint-every", "how often cells are checkpointed that say nothing about it, and neither do their policies (default: never)", func(l *Loaded) *time.Duration { return &l.Node.CheckpointEvery })),
	flag("checkpoint-drain", "checkpoint such cells when the node ends", func(l *Loaded) *bool { return &l.Node.CheckpointDrain }),
	replicas("checkpoint-replicas", "how many other nodes of the cluster get a copy of each checkpoint of such cells, 0 to 5 (default 0)", func(l *Loaded) *int { return &l.Node.CheckpointReplicas }),
	number("checkpoint-keep", "how many checkpoints of each cell are kept, the newest; -1: all (default 8)", func(l *Loaded) *int { return &l.Node.CheckpointKeep }),
	unset(span("checkpoint-age", "when a checkpoint is removed (default: never)", func(l *Loaded) *time.Duration { return &l.Node.CheckpointAge })),
	sized("checkpoint-bytes", "how much all checkpoints may take, as 100GiB (default: any)", func(l *Loaded) *int64 { return &l.Node.CheckpointBytes }),
	sized("checkpoint-tenant-bytes", "how much those of one tenant may take (default 16GiB)", func(l *Loaded) *int64 { return &l.Node.CheckpointTenantBytes }),
	number("checkpoint-tenant-count", "how many checkpoints one tenant may have; -1: any number (default 1024)", func(l *Loaded) *int { return &l.Node.CheckpointTenantCount }),
	text("checkpoint-secret", "a file of at least 16 bytes without which the keys of checkpoints open nothing (default: none)", func(l *Loaded) *string { return &l.Node.CheckpointSecret }),
	{Key: "log", Kind: Text, Choices: []string{"text", "json"}, Usage: "how to log to standard error: text or json (default text)",
		set: func(l *Loaded, v []string) error { return choice(&l.LogFormat, v[0], "text", "json") },
		get: func(l *Loaded) []string { return []string{l.LogFormat} }},
	{Key: "log-level", Kind: Text, Choices: []string{"debug", "info", "warn", "error"}, Usage: "the least that is logged: debug, info, warn or error (default info)",
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
