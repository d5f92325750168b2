package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/pyisolate/pyisolate/api/client/contexts"
	"github.com/pyisolate/pyisolate/cluster"
	"github.com/pyisolate/pyisolate/cluster/enroll"
	"github.com/pyisolate/pyisolate/cluster/pki"
	"github.com/pyisolate/pyisolate/policystore"
)

// joinWithin is how long a node asks to be let in.
const joinWithin = time.Minute

func newClusterJoin() *cobra.Command {
	var at placeFlags
	c := &cobra.Command{
		Use:   "join TOKEN|- --advertise HOST:PORT",
		Short: "Join a cluster with a node that is not serving yet",
		Long: `Join a cluster with a node that is not serving yet, and a token of cluster invite. With - the
token is read from standard input, where other users of the machine cannot see it. The key of
the node's certificate is created here, and does not leave the machine.

The node takes over the cluster's policies and tokens; a node that has policies of its own is
refused. serve takes part in the cluster from then on.`,
		Example: "  pyisolate-node cluster join - --name n2 --advertise 10.0.0.2:7700 <token",
		Args:    cobra.ExactArgs(1),
	}
	at.add(c)
	return newLocal(c, func(ctx context.Context, r *remote, args []string) error {
		err := at.check(c)
		if err != nil {
			return err
		}
		token := args[0]
		if token == "-" {
			if token, err = contexts.TokenFrom(r.in); err != nil {
				return usageError{err}
			}
		}
		if _, err := pki.ParseToken(token); err != nil {
			return usageError{err}
		}
		return asRefused(at.become(ctx, r, "joined", func(ctx context.Context, data, dir string) error {
			if err := noPolicies(data); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(ctx, joinWithin)
			defer cancel()
			return cluster.Join(ctx, cluster.Joining{Dir: dir, Token: token, Node: at.name, Address: at.advertise, Gossip: at.node.GossipAdvertise})
		}))
	})
}

// noPolicies refuses a node that would lose what it has.
func noPolicies(data string) error {
	dir := filepath.Join(data, "policies")
	has, err := policystore.Exists(dir)
	if err == nil && has {
		err = usageError{fmt.Errorf("%s has policies and tokens of its own, in place of which the cluster's would come: keep what is needed with policy get, and move the directory away", dir)}
	}
	return err
}

// asRefused says which refusals of a cluster are the operator's to mend: another token, or another
// name.
func asRefused(err error) error {
	for _, reason := range []error{pki.ErrToken, pki.ErrLapsed, pki.ErrUsed, pki.ErrFingerprint, enroll.ErrName, enroll.ErrAddress} {
		if errors.Is(err, reason) {
			return usageError{err}
		}
	}
	return asUsage(err)
}
