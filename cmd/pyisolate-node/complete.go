package main

import (
	"context"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/pyisolate/pyisolate/api/client"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
)

// completeWithin is how long a shell waits for a node's names; without them it has none.
const completeWithin = time.Second

// completeContexts are the names of the user's contexts.
func completeContexts(_ *cobra.Command, args []string, begun string) (names []string, _ cobra.ShellCompDirective) {
	if _, all, err := loadContexts(); err == nil && len(args) == 0 {
		for _, c := range all.Contexts {
			if strings.HasPrefix(c.Name, begun) {
				names = append(names, c.Name+"\t"+c.Server)
			}
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// asked completes by what a node says; one that does not answer completes nothing.
func asked(names func(context.Context, *client.Client) ([]string, error)) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(c *cobra.Command, args []string, begun string) (found []string, _ cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveDefault
		}
		f := serverFlags{given: c.Flags().Changed}
		for name, field := range map[string]*string{"server": &f.server, "socket": &f.socket, "context": &f.context, "ca": &f.ca, "token": &f.token, "token-file": &f.tokenFile} {
			*field, _ = c.Flags().GetString(name)
		}
		config, err := f.client()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		node, err := client.New(config)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer node.Close()
		ctx, cancel := context.WithTimeout(context.Background(), completeWithin)
		defer cancel()
		all, err := names(ctx, node)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		for _, name := range all {
			if strings.HasPrefix(name, begun) {
				found = append(found, plainLine(name)) // a tab is before what is said of it
			}
		}
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}

var completeCells = asked(func(ctx context.Context, node *client.Client) (names []string, _ error) {
	answer, err := node.Cells.List(ctx, connect.NewRequest(&pb.ListCellsRequest{}))
	if err != nil {
		return nil, err
	}
	for _, one := range answer.Msg.GetReports() {
		names = append(names, one.GetCell().GetTenant()+"/"+one.GetCell().GetName())
	}
	return names, nil
})

var completePolicies = asked(func(ctx context.Context, node *client.Client) (names []string, _ error) {
	answer, err := node.Policies.List(ctx, connect.NewRequest(&pb.ListRequest{}))
	if err != nil {
		return nil, err
	}
	for _, one := range answer.Msg.GetVersions() {
		names = append(names, one.GetName())
	}
	return names, nil
})
