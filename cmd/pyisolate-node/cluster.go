package main

import (
	"context"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/pyisolate/pyisolate/api/client"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cluster/pki"
)

func newCluster() *cobra.Command {
	c := &cobra.Command{
		Use:   "cluster",
		Short: "Form a cluster of nodes, and look after it",
		Long: `Form a cluster of nodes, and look after it. The command init founds a cluster; each further
node joins it with a token that invite creates. All of these commands except join and recover
call a running node; any member answers for all of them.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newClusterInvite(), newClusterInvites(), newClusterWithdraw(), newClusterJoin(), newClusterMembers(), newClusterStatus(),
		newClusterDrain(), newClusterRebalance(), newClusterLeave(), newClusterRemove(), newClusterRotate(), newClusterRecover())
	return c
}

// completeMembers are the names of the cluster's nodes.
var completeMembers = asked(func(ctx context.Context, node *client.Client) (names []string, _ error) {
	answer, err := node.Cluster.ListMembers(ctx, connect.NewRequest(&pb.ListMembersRequest{}))
	if err != nil {
		return nil, err
	}
	for _, m := range answer.Msg.GetMembers() {
		names = append(names, m.GetName())
	}
	return names, nil
})

// completeInvites are the ids of invitations that are open.
var completeInvites = asked(func(ctx context.Context, node *client.Client) (ids []string, _ error) {
	answer, err := node.Cluster.ListInvites(ctx, connect.NewRequest(&pb.ListInvitesRequest{}))
	if err != nil {
		return nil, err
	}
	for _, v := range answer.Msg.GetInvitations() {
		ids = append(ids, v.GetId())
	}
	return ids, nil
})

func newClusterInvite() *cobra.Command {
	var life time.Duration
	c := &cobra.Command{
		Use:   "invite [NODE]",
		Short: "Create a token with which one node can join, once",
		Long: `Create a token with which one node can join, once, and print it. The cluster keeps only the
token's hash. With NODE only a node of that name can use it. Treat the token like a password:
whoever uses it first has joined.`,
		Example: "  pyisolate-node cluster invite n2 --expires 10m >token",
		Args:    cobra.MaximumNArgs(1),
	}
	c.Flags().DurationVar(&life, "expires", pki.DefaultInvite, "how long the token is valid, at most 168h")
	return newRemote(c, func(ctx context.Context, r *remote, args []string) error {
		request := &pb.InviteRequest{Lifetime: durationpb.New(life)}
		if len(args) > 0 {
			request.Node = args[0]
		}
		answer, err := r.Cluster.Invite(ctx, connect.NewRequest(request))
		if err != nil {
			return err
		}
		out := invitationJSONOf(answer.Msg.GetInvitation())
		out.Token = answer.Msg.GetToken()
		r.show(out, "%s", plain(out.Token))
		return nil
	})
}

func newClusterWithdraw() *cobra.Command {
	c := &cobra.Command{Use: "withdraw ID", Short: "Withdraw an invitation; a node that has joined with it stays", Args: cobra.ExactArgs(1),
		ValidArgsFunction: completeInvites}
	return newRemote(c, func(ctx context.Context, r *remote, args []string) error {
		_, err := r.Cluster.Withdraw(ctx, connect.NewRequest(&pb.WithdrawRequest{Id: args[0]}))
		if err == nil {
			r.show(map[string]any{"withdrawn": args[0]}, "withdrawn: invitation %s", plain(args[0]))
		}
		return err
	})
}

func newClusterRemove() *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use:   "remove NODE",
		Short: "Remove a node that will not come back",
		Long: `Remove a node from the cluster for good: no member accepts its certificates any more, and its
cells are lost. This is for nodes that will not come back; to remove a running node, call leave
on it.

A voter is not removed if too few of the remaining voters answer, because nothing could change
then. --force removes it all the same: use it if they will come back. A majority of the present
voters has to agree in any case.`,
		Example:           "  pyisolate-node cluster remove n3",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeMembers,
	}
	c.Flags().BoolVar(&force, "force", false, "remove the node even if too few of the remaining voters answer now")
	return newRemote(c, func(ctx context.Context, r *remote, args []string) error {
		_, err := r.Cluster.Remove(ctx, connect.NewRequest(&pb.RemoveRequest{Node: args[0], Force: force}))
		if err == nil {
			r.show(map[string]any{"removed": args[0]}, "removed: node %s", plain(args[0]))
		}
		return err
	})
}

func newClusterLeave() *cobra.Command {
	var how emptyFlags
	c := &cobra.Command{
		Use:   "leave",
		Short: "Drain the called node, and remove it from the cluster",
		Long: `Drain the called node, and remove it from the cluster for good. Then stop the node. It can join
this or another cluster, or serve by itself, after you have moved policies/ out of its data
directory.`,
		Example: "  pyisolate-node cluster leave --close-cells",
		Args:    cobra.NoArgs,
	}
	how.add(c)
	return newRemote(c, func(ctx context.Context, r *remote, _ []string) error {
		_, err := r.Cluster.Leave(ctx, connect.NewRequest(&pb.LeaveRequest{CloseCells: how.closing, Grace: durationpb.New(how.grace)}))
		if err == nil {
			r.show(map[string]any{"left": true}, "left: end the node now; before it serves again, move policies/ of its data directory away")
		}
		return err
	})
}

func newClusterRotate() *cobra.Command {
	c := &cobra.Command{
		Use:   "rotate-keys",
		Short: "Replace the gossip keys",
		Long: `Seal gossip with a new key, and delete the old ones. Each step waits until all members have done
the one before, so all members must be up. If the command is interrupted, run it again: it
starts over with another key.`,
		Args: cobra.NoArgs,
	}
	return newRemote(c, func(ctx context.Context, r *remote, _ []string) error {
		answer, err := r.Cluster.RotateKeys(ctx, connect.NewRequest(&pb.RotateKeysRequest{}))
		if err == nil {
			r.show(map[string]any{"key": answer.Msg.GetKey()}, "rotated: gossip is sealed with key %s", plain(answer.Msg.GetKey()))
		}
		return err
	})
}
