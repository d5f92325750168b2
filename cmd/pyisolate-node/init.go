package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pyisolate/pyisolate/cluster"
	"github.com/pyisolate/pyisolate/cluster/pki"
	"github.com/pyisolate/pyisolate/node"
	"github.com/pyisolate/pyisolate/node/config"
	"github.com/pyisolate/pyisolate/policystore"
)

// placeFlags say which node a command makes a member of a cluster, while it does not serve.
type placeFlags struct {
	file, name, advertise string
	node                  node.Config // what serve would go by
}

func (f *placeFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.file, "config", "", "a YAML file of settings (default: as for serve)")
	c.Flags().String("data", "", "the node's data directory (default: as for serve)")
	c.Flags().StringVar(&f.name, "name", "", "the node's name, which never changes: ^[a-z0-9-]{1,63}$ (default: the host's name)")
	c.Flags().StringVar(&f.advertise, "advertise", "", "where other nodes reach this one, HOST:PORT; gossip uses the port after it (default: the setting cluster-advertise)")
	_ = c.MarkFlagDirname("data")
}

// check fills in what was not given and says what is wrong.
func (f *placeFlags) check(c *cobra.Command) error {
	loaded, err := config.Load(config.Sources{File: f.file, Flags: c.Flags()})
	if err != nil {
		return usageError{err}
	}
	f.node = loaded.Node
	f.advertise = cmp.Or(f.advertise, f.node.ClusterAdvertise)
	if f.name == "" {
		host, _ := os.Hostname()
		f.name, _, _ = strings.Cut(strings.ToLower(host), ".")
		if !pki.ValidName(f.name) {
			return usageError{fmt.Errorf("the host's name %q cannot be a node's: give one with --name", plain(host))}
		}
	}
	if !pki.ValidName(f.name) {
		return usageError{fmt.Errorf("--name %q: a node's name has 1 to 63 of a-z, 0-9 and -", plain(f.name))}
	}
	if f.advertise == "" {
		return usageError{errors.New("say with --advertise HOST:PORT where the other nodes reach this one")}
	}
	if err := cluster.Advertisable(f.advertise); err != nil {
		return usageError{fmt.Errorf("--advertise: %w", err)}
	}
	return nil
}

// membershipJSON is what a node has become, as --json prints it.
type membershipJSON struct {
	Cluster string `json:"cluster"`
	Node    string `json:"node"`
	Address string `json:"address"`
	Data    string `json:"data"`
}

// become makes the node a member by do, which is given the directory of its cluster, and says so.
func (f *placeFlags) become(ctx context.Context, r *remote, done string, do func(ctx context.Context, data, dir string) error) error {
	return node.WithData(f.node.Data, version, func(data string) error {
		dir := filepath.Join(data, "cluster")
		if cluster.Exists(dir) {
			return memberAlready(dir)
		}
		if err := do(ctx, data, dir); err != nil {
			return err
		}
		id, err := pki.LoadIdentity(filepath.Join(dir, "identity.pem"))
		if err != nil {
			return err
		}
		r.show(membershipJSON{id.Cluster(), id.Name(), f.advertise, data}, "%s: cluster %s, node %s at %s\nstart it with: pyisolate-node serve --data %s",
			done, id.Cluster(), id.Name(), f.advertise, data)
		return nil
	})
}

// memberAlready says of which cluster a directory is.
func memberAlready(dir string) error {
	id, err := pki.LoadIdentity(filepath.Join(dir, "identity.pem"))
	if err != nil {
		return usageError{fmt.Errorf("%s has a cluster's files already, and they cannot be read: %w; move the directory away if they are not needed", dir, err)}
	}
	return usageError{fmt.Errorf("%s: this is node %s of cluster %s already: start it with serve, or move the directory away if the cluster is no more", dir, id.Name(), id.Cluster())}
}

func newInit() *cobra.Command {
	var at placeFlags
	var title string
	c := &cobra.Command{
		Use:   "init --advertise HOST:PORT",
		Short: "Found a cluster, with a node that is not serving yet",
		Long: `Found a cluster, with a node that is not serving yet as its first node. This creates the
authority that signs the nodes' certificates, the node's own certificate and the first gossip
key, in cluster/ of the data directory. The node keeps what it has; its policies and tokens
become the cluster's.

serve takes part in the cluster from then on. Other nodes join with a token of cluster invite.
Keep a copy of cluster/authority.pem where nobody else can read it: whoever has it can create
nodes.`,
		Example: "  pyisolate-node init --name n1 --advertise 10.0.0.1:7700\n  pyisolate-node serve",
		Args:    cobra.NoArgs,
	}
	at.add(c)
	c.Flags().StringVar(&title, "cluster", "", "the cluster's name in its certificates, for people (default: the name of its first node)")
	return newLocal(c, func(ctx context.Context, r *remote, _ []string) error {
		if err := at.check(c); err != nil {
			return err
		}
		return asUsage(at.become(ctx, r, "founded", func(ctx context.Context, data, dir string) error {
			err := cluster.Found(ctx, cluster.Founding{Dir: dir, Cluster: cmp.Or(title, at.name), Node: at.name, Address: at.advertise, Gossip: at.node.GossipAdvertise})
			if err != nil {
				return err
			}
			// What the node has becomes the cluster's last: until then it is as it was without dir.
			if err := policystore.Found(filepath.Join(data, "policies"), at.name); err != nil {
				return errors.Join(err, os.RemoveAll(dir))
			}
			return nil
		}))
	})
}
