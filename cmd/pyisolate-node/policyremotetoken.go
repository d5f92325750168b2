package main

import (
	"context"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/policystore"
)

// tokenJSON is a token as --json prints it.
type tokenJSON struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Role      string     `json:"role"`
	Tenant    string     `json:"tenant,omitempty"`
	Created   *time.Time `json:"created"`
	CreatedBy string     `json:"created_by"`
	Expires   *time.Time `json:"expires,omitempty"`
	Revoked   *time.Time `json:"revoked,omitempty"`
	Secret    string     `json:"secret,omitempty"`
}

func newPolicyToken() *cobra.Command {
	c := &cobra.Command{
		Use:   "token",
		Short: "Create, list and revoke tokens for calling a node",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newTokenCreate(), newTokenList(), newTokenRevoke())
	return c
}

func newTokenCreate() *cobra.Command {
	var role, tenant string
	var expires time.Duration
	c := &cobra.Command{
		Use:   "create NAME --role ROLE",
		Short: "Create a token, and print its secret",
		Long: `Create a token, and print its secret, which the node does not keep.

Roles: viewer reads policies and reports; operator also runs cells; policy-admin also
changes policies; admin also creates tokens, and without --tenant reads the audit log,
backs up policies and manages the cluster. With --tenant the token covers one tenant.`,
		Example: "  PYISOLATE_TOKEN=$(pyisolate-node policy token create ci --role policy-admin --tenant shop --expires 720h)",
		Args:    cobra.ExactArgs(1),
	}
	c.Flags().StringVar(&role, "role", "", "the role of the token: viewer, operator, policy-admin or admin")
	c.Flags().StringVar(&tenant, "tenant", "", "the tenant that the token is for (default: all)")
	c.Flags().DurationVar(&expires, "expires", 0, "how long the token is valid, such as 720h (default: until it is revoked)")
	_ = c.MarkFlagRequired("role")
	_ = c.RegisterFlagCompletionFunc("role", cobra.FixedCompletions([]string{policystore.Viewer.String(), policystore.Operator.String(),
		policystore.PolicyAdmin.String(), policystore.Admin.String()}, cobra.ShellCompDirectiveNoFileComp))
	return newRemote(c, func(ctx context.Context, r *remote, args []string) error {
		answer, err := r.Policies.CreateToken(ctx, connect.NewRequest(&pb.CreateTokenRequest{Name: args[0], Role: role, Tenant: tenant,
			Lifetime: durationpb.New(expires)}))
		if err != nil {
			return err
		}
		out := tokenJSONOf(answer.Msg.GetToken())
		out.Secret = answer.Msg.GetSecret()
		r.show(out, "%s", out.Secret)
		return nil
	})
}

func newTokenList() *cobra.Command {
	return newRemote(&cobra.Command{Use: "ls", Short: "List tokens", Args: cobra.NoArgs}, func(ctx context.Context, r *remote, _ []string) error {
		answer, err := r.Policies.ListTokens(ctx, connect.NewRequest(&pb.ListTokensRequest{}))
		if err != nil {
			return err
		}
		list(r, "ID\tNAME\tROLE\tTENANT\tCREATED\tBY\tEXPIRES\tREVOKED", answer.Msg.GetTokens(), tokenJSONOf, func(t *pb.Token) string {
			return fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s", t.GetId(), plain(t.GetName()), t.GetRole(), t.GetTenant(), when(t.GetCreated()),
				plain(t.GetCreatedBy()), when(t.GetExpires()), when(t.GetRevoked()))
		})
		return nil
	})
}

func newTokenRevoke() *cobra.Command {
	return newRemote(&cobra.Command{Use: "revoke ID", Short: "Revoke a token for good", Args: cobra.ExactArgs(1)}, func(ctx context.Context, r *remote, args []string) error {
		answer, err := r.Policies.RevokeToken(ctx, connect.NewRequest(&pb.RevokeTokenRequest{Id: args[0]}))
		if err != nil {
			return err
		}
		t := answer.Msg.GetToken()
		r.show(tokenJSONOf(t), "revoked: token %s (%s)", t.GetId(), plain(t.GetName()))
		return nil
	})
}

func tokenJSONOf(t *pb.Token) tokenJSON {
	return tokenJSON{ID: t.GetId(), Name: t.GetName(), Role: t.GetRole(), Tenant: t.GetTenant(), Created: momentOf(t.GetCreated()),
		CreatedBy: t.GetCreatedBy(), Expires: momentOf(t.GetExpires()), Revoked: momentOf(t.GetRevoked())}
}
