package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
)

// auditJSON is a record as --json prints it.
type auditJSON struct {
	Sequence  uint64      `json:"sequence"`
	Index     uint64      `json:"index"`
	Time      *time.Time  `json:"time"`
	Principal string      `json:"principal"`
	Role      string      `json:"role"`
	Tenant    string      `json:"tenant,omitempty"`
	TokenID   string      `json:"token_id,omitempty"`
	Action    string      `json:"action"`
	Name      string      `json:"name"`
	Before    *changeJSON `json:"before,omitempty"`
	After     *changeJSON `json:"after,omitempty"`
	Comment   string      `json:"comment,omitempty"`
	Denied    string      `json:"denied,omitempty"`
	Hash      string      `json:"hash"`
}

type changeJSON struct {
	Version uint64 `json:"version"`
	SHA256  string `json:"sha256,omitempty"`
}

func newPolicyAudit() *cobra.Command {
	var from uint64
	var limit uint32
	var verify bool
	c := &cobra.Command{
		Use:   "audit",
		Short: "Print who changed what, or verify that the log is complete",
		Long: `Print who changed what, oldest first.

Each record has a hash of itself and of the record before. With --verify the node
recomputes all of them. Keep the last hash elsewhere: somebody who can write the
node's files can make a new chain, but not one that ends in a hash that you know.`,
		Args: cobra.NoArgs,
	}
	c.Flags().Uint64Var(&from, "from", 0, "print only records from this sequence number on")
	c.Flags().Uint32Var(&limit, "limit", 100, "how many records to print, 1000 at most")
	c.Flags().BoolVar(&verify, "verify", false, "verify the chain of all records instead")
	c.MarkFlagsMutuallyExclusive("verify", "from")
	c.MarkFlagsMutuallyExclusive("verify", "limit")
	return newRemote(c, func(ctx context.Context, r *remote, _ []string) error {
		if verify {
			return r.verifyAudit(ctx)
		}
		answer, err := r.Policies.Audit(ctx, connect.NewRequest(&pb.AuditRequest{From: from, Limit: limit}))
		if err != nil {
			return err
		}
		r.audit(answer.Msg.GetRecords())
		return nil
	})
}

func (r *remote) verifyAudit(ctx context.Context) error {
	answer, err := r.Policies.VerifyAudit(ctx, connect.NewRequest(&pb.VerifyAuditRequest{}))
	if err != nil {
		return err
	}
	sum := answer.Msg
	r.show(struct {
		Records uint64     `json:"records"`
		Head    string     `json:"head"`
		First   *time.Time `json:"first"`
		Last    *time.Time `json:"last"`
	}{sum.GetRecords(), hexOf(sum.GetHead()), momentOf(sum.GetFirst()), momentOf(sum.GetLast())},
		"the audit log is whole: %d records, the last %s, head %x", sum.GetRecords(), when(sum.GetLast()), sum.GetHead())
	return nil
}

func (r *remote) audit(records []*pb.AuditRecord) {
	table := tabwriter.NewWriter(r.out, 0, 8, 2, ' ', 0)
	defer func() { _ = table.Flush() }()
	if !r.asJSON && len(records) > 0 {
		fmt.Fprintln(table, "SEQUENCE\tTIME\tPRINCIPAL\tROLE\tACTION\tNAME\tVERSION\tCOMMENT")
	}
	for _, a := range records {
		if r.asJSON {
			r.line(auditJSON{a.GetSequence(), a.GetIndex(), momentOf(a.GetTime()), a.GetPrincipal(), a.GetRole(), a.GetTenant(), a.GetTokenId(),
				a.GetAction(), a.GetName(), changeJSONOf(a.GetBefore()), changeJSONOf(a.GetAfter()), a.GetComment(), a.GetDenied(), hexOf(a.GetHash())})
			continue
		}
		said := plain(a.GetComment())
		if a.GetDenied() != "" {
			said = "refused: " + plain(a.GetDenied())
		}
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", a.GetSequence(), when(a.GetTime()), plain(a.GetPrincipal()), a.GetRole(),
			a.GetAction(), a.GetName(), fromTo(a.GetBefore(), a.GetAfter()), said)
	}
}

func changeJSONOf(c *pb.Change) *changeJSON {
	if c == nil {
		return nil
	}
	return &changeJSON{c.GetNumber(), hexOf(c.GetHash())}
}

// fromTo is from which version to which.
func fromTo(before, after *pb.Change) string {
	switch {
	case after.GetNumber() == 0:
		return "-"
	case before.GetNumber() == 0:
		return fmt.Sprint(after.GetNumber())
	}
	return fmt.Sprintf("%d→%d", before.GetNumber(), after.GetNumber())
}
