package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"text/tabwriter"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/policystore/document"
)

// remotePolicies are the commands about policies that a node keeps.
func remotePolicies() []*cobra.Command {
	return []*cobra.Command{newPolicyPut(), newPolicyGet(), newPolicyList(), newPolicyHistory(), newPolicyRollback(),
		newPolicyRemove(), newPolicyPull(), newPolicyAudit(), newPolicyBackup(), newPolicyToken()}
}

// changeFlags are those of every change of a policy.
type changeFlags struct {
	expect  int64
	comment string
}

func (f *changeFlags) add(c *cobra.Command) {
	c.Flags().Int64Var(&f.expect, "expect", -1, "fail unless this is the number of the newest version; 0: unless there is none; -1: do not check")
	c.Flags().StringVarP(&f.comment, "comment", "m", "", "why; the history shows it")
}

func (f *changeFlags) expected() *uint64 {
	if f.expect < 0 {
		return nil
	}
	n := uint64(f.expect)
	return &n
}

func newPolicyPut() *cobra.Command {
	var f changeFlags
	c := &cobra.Command{
		Use:   "put NAME FILE|-",
		Short: "Store a document as the next version of a policy",
		Long: `Store a document as the next version of a policy, and apply it to each cell that
follows the policy. A document with errors is refused, with the line of each, and
changes nothing.`,
		Example: "  pyisolate-node policy put web policies/web_scraper.yml -m 'first draft'\n  pyisolate-node policy put web web.yml --expect 1",
		Args:    cobra.ExactArgs(2),
	}
	f.add(c)
	return newRemote(c, func(ctx context.Context, r *remote, args []string) error {
		text, name, err := readPolicyText(args[1], r.in)
		if err != nil {
			return err
		}
		answer, err := r.Policies.Put(ctx, connect.NewRequest(&pb.PutRequest{Name: args[0], Text: text,
			Expect: f.expected(), Comment: f.comment, RequestId: rand.Text()}))
		if err != nil {
			return namedAfterFile(err, name, text)
		}
		r.changed("stored", answer.Msg.GetVersion())
		return nil
	})
}

// namedAfterFile has the problems of a document say the file that it is from, not the policy
// that it was to become.
func namedAfterFile(err error, file string, text []byte) error {
	var problems document.Problems
	if !errors.As(err, &problems) {
		return err
	}
	parsed, here := document.Parse(file, text)
	if here == nil {
		here = parsed.Check(checking)
	}
	if here == nil {
		return err // the node knows more than this build
	}
	return here
}

func newPolicyGet() *cobra.Command {
	var version uint64
	var stale bool
	c := &cobra.Command{
		Use:   "get NAME",
		Short: "Print a version of a policy",
		Args:  cobra.ExactArgs(1),
	}
	c.Flags().Uint64Var(&version, "version", 0, "the number of the version (default: the newest)")
	c.Flags().BoolVar(&stale, "stale", false, "read what the called node has, which may be outdated")
	return newRemote(c, func(ctx context.Context, r *remote, args []string) error {
		answer, err := r.Policies.Get(ctx, connect.NewRequest(&pb.GetRequest{Name: args[0], Number: version, Stale: stale}))
		if err != nil {
			return err
		}
		v := answer.Msg.GetVersion()
		if r.asJSON {
			r.line(versionJSONOf(v))
			return nil
		}
		_, err = r.out.Write(v.GetText())
		return err
	})
}

func newPolicyList() *cobra.Command {
	var deleted bool
	c := &cobra.Command{
		Use:   "ls [PREFIX]",
		Short: "List policies and their newest versions",
		Args:  cobra.MaximumNArgs(1),
	}
	c.Flags().BoolVar(&deleted, "deleted", false, "also list deleted policies")
	return newRemote(c, func(ctx context.Context, r *remote, args []string) error {
		page := &pb.ListRequest{Deleted: deleted}
		if len(args) > 0 {
			page.Prefix = args[0]
		}
		return r.versions(func() ([]*pb.Version, bool, error) {
			answer, err := r.Policies.List(ctx, connect.NewRequest(page))
			if err != nil {
				return nil, false, err
			}
			versions := answer.Msg.GetVersions()
			if len(versions) > 0 {
				page.After = versions[len(versions)-1].GetName()
			}
			return versions, answer.Msg.GetMore(), nil
		})
	})
}

func newPolicyHistory() *cobra.Command {
	var before uint64
	var limit uint32
	c := &cobra.Command{
		Use:   "history NAME",
		Short: "List the versions of a policy, newest first",
		Args:  cobra.ExactArgs(1),
	}
	c.Flags().Uint64Var(&before, "before", 0, "list only versions before this number")
	c.Flags().Uint32Var(&limit, "limit", 100, "how many versions to list, 1000 at most")
	return newRemote(c, func(ctx context.Context, r *remote, args []string) error {
		return r.versions(func() ([]*pb.Version, bool, error) {
			answer, err := r.Policies.History(ctx, connect.NewRequest(&pb.HistoryRequest{Name: args[0], Before: before, Limit: limit}))
			if err != nil {
				return nil, false, err
			}
			return answer.Msg.GetVersions(), false, nil
		})
	})
}

func newPolicyRollback() *cobra.Command {
	var f changeFlags
	var to uint64
	c := &cobra.Command{
		Use:     "rollback NAME --to VERSION",
		Short:   "Store the text of an earlier version as the next one",
		Example: "  pyisolate-node policy rollback web --to 1 -m 'version 2 broke the crawl'",
		Args:    cobra.ExactArgs(1),
	}
	f.add(c)
	c.Flags().Uint64Var(&to, "to", 0, "the number of the version whose text to store")
	_ = c.MarkFlagRequired("to")
	return newRemote(c, func(ctx context.Context, r *remote, args []string) error {
		answer, err := r.Policies.Rollback(ctx, connect.NewRequest(&pb.RollbackRequest{Name: args[0], To: to,
			Expect: f.expected(), Comment: f.comment, RequestId: rand.Text()}))
		if err != nil {
			return err
		}
		r.changed(fmt.Sprintf("rolled back to version %d", to), answer.Msg.GetVersion())
		return nil
	})
}

func newPolicyRemove() *cobra.Command {
	var f changeFlags
	c := &cobra.Command{
		Use:   "rm NAME",
		Short: "Delete a policy; its history stays, and cells keep what they have",
		Args:  cobra.ExactArgs(1),
	}
	f.add(c)
	return newRemote(c, func(ctx context.Context, r *remote, args []string) error {
		answer, err := r.Policies.Delete(ctx, connect.NewRequest(&pb.DeleteRequest{Name: args[0],
			Expect: f.expected(), Comment: f.comment, RequestId: rand.Text()}))
		if err != nil {
			return err
		}
		r.changed("deleted", answer.Msg.GetVersion())
		return nil
	})
}

func (r *remote) changed(what string, v *pb.Version) {
	sum := ""
	if !v.GetDeleted() {
		sum = fmt.Sprintf(", sha256 %.6x", v.GetHash())
	}
	r.show(versionJSONOf(v), "%s: version %d of %s%s", what, v.GetNumber(), v.GetName(), sum)
}

// versions prints all that pages gives.
func (r *remote) versions(page func() (versions []*pb.Version, more bool, err error)) error {
	table := tabwriter.NewWriter(r.out, 0, 8, 2, ' ', 0)
	defer func() { _ = table.Flush() }()
	for more, head := true, false; more; {
		var versions []*pb.Version
		var err error
		if versions, more, err = page(); err != nil {
			return err
		}
		for _, v := range versions {
			if r.asJSON {
				r.line(versionJSONOf(v))
				continue
			}
			if !head {
				fmt.Fprintln(table, "NAME\tVERSION\tTIME\tAUTHOR\tSHA256\tCOMMENT")
				head = true
			}
			fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%s\t%s\n", v.GetName(), v.GetNumber(), when(v.GetTime()), plain(v.GetAuthor()), hashOf(v), commentOf(v))
		}
	}
	return nil
}
