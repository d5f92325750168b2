package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
)

func newCell() *cobra.Command {
	c := &cobra.Command{
		Use:   "cell",
		Short: "Start, use and end the cells of a running node",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newCellSpawn(), newCellExec(), newCellCall(), newCellSend(), newCellPublish(), newCellRecv(), newCellLogs(),
		newCellList(), newCellInspect(), newCellStats(), newCellQuarantine(), newCellKill(), newCellClose(), newCellCheckpoint(), newCellCheckpoints(), newCellRestore(), newCellMigrate())
	for _, child := range c.Commands() {
		if child.ValidArgsFunction == nil && child.Args != nil && strings.Contains(child.Use, "[TENANT/]CELL") && child.Name() != "spawn" {
			child.ValidArgsFunction = completeCells
		}
	}
	return c
}

// cellName reads [TENANT/]NAME.
func cellName(text string) (tenant, name string) {
	if tenant, name, ok := strings.Cut(text, "/"); ok {
		return tenant, name
	}
	return "", text
}

// cellOf reads [TENANT/]NAME beside a flag that names the tenant, too.
func cellOf(text, flag string) (tenant, name string, err error) {
	tenant, name = cellName(text)
	if tenant != "" && flag != "" && tenant != flag {
		return "", "", usageError{fmt.Errorf("%s is of tenant %s, and --tenant names %s: leave one of them out", plain(text), plain(tenant), plain(flag))}
	}
	return cmp.Or(tenant, flag), name, nil
}

func newCellSpawn() *cobra.Command {
	var policy, backend, restart string
	var imports, topics []string
	var version uint64
	var where placementFlags
	var saving savingFlags
	c := &cobra.Command{
		Use:   "spawn [--policy NAME[:SANDBOX]] [[TENANT/]CELL]",
		Short: "Start a cell under a policy of the node",
		Long: `Start a cell under a policy of the node, and print its name. Without --version the cell
follows the policy: each newer version reaches it while it runs. A cell without a policy can
only compute.

In a cluster the cell starts on a node that has room and what the policy needs: the one where
the tenant has the fewest cells, unless a flag says otherwise.`,
		Example: "  pyisolate-node cell spawn --policy web:fetcher crawler\n  pyisolate-node cell spawn --allow-import math,json\n  pyisolate-node cell spawn --policy web --label zone=a --pack",
		Args:    cobra.MaximumNArgs(1),
	}
	c.Flags().StringVar(&policy, "policy", "", "the policy, and which of its sandboxes if it has several: NAME or NAME:SANDBOX")
	c.Flags().Uint64Var(&version, "version", 0, "keep to this version of the policy (default: follow the newest)")
	c.Flags().StringVar(&backend, "backend", "", "subinterpreter or process (default: what the policy says, or else the node)")
	c.Flags().StringSliceVar(&imports, "allow-import", nil, "permit only these of the policy's modules, or without a policy only these (default: all of the policy's, or those that only compute); separated by commas, repeatable")
	c.Flags().StringVar(&restart, "restart", "", "never, or on-failure to start it again when it ends by itself (default: what the policy says)")
	c.Flags().StringSliceVar(&topics, "topic", nil, "subscribe the cell to a topic of cell publish; repeatable")
	where.add(c)
	saving.add(c)
	_ = c.RegisterFlagCompletionFunc("policy", func(c *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
		return completePolicies(c, nil, begun)
	})
	_ = c.RegisterFlagCompletionFunc("backend", cobra.FixedCompletions([]string{"subinterpreter", "process"}, cobra.ShellCompDirectiveNoFileComp))
	return newRemote(c, func(ctx context.Context, r *remote, args []string) error {
		request := &pb.SpawnRequest{Backend: backend, AllowedImports: imports, Topics: topics, Checkpoint: saving.policy(c)}
		if restart != "" {
			request.Restart = &pb.Restart{When: restart}
		}
		switch name, sandbox, _ := strings.Cut(policy, ":"); {
		case policy != "":
			request.Policy = &pb.PolicyRef{Name: name, Sandbox: sandbox, Version: version}
		case version != 0:
			return usageError{errors.New("--version is of a policy: name it with --policy")}
		}
		if len(args) > 0 {
			request.Tenant, request.Name = cellName(args[0])
		}
		var err error
		if request.Placement, err = where.placement(); err != nil {
			return usageError{err}
		}
		answer, err := r.Cells.Spawn(ctx, connect.NewRequest(request))
		if err != nil {
			return err
		}
		ref := answer.Msg.GetCell()
		r.show(reportJSONOf(answer.Msg.GetReport()), "%s/%s", ref.GetTenant(), ref.GetName())
		return nil
	})
}

func newCellExec() *cobra.Command {
	var code, dialect string
	var within time.Duration
	var raw bool
	var again againFlag
	c := &cobra.Command{
		Use:   "exec [TENANT/]CELL FILE|- [ARG...]",
		Short: "Run a program in a cell, and wait until it ends",
		Long: `Run a program in the __main__ of a cell, and wait until it ends. recv prints what it posts,
and logs what it prints. Interrupting this command interrupts the program.`,
		Example: "  pyisolate-node cell exec crawler crawl.py\n  pyisolate-node cell exec crawler -c 'post(open(\"/etc/hostname\").read())'",
		Args:    cobra.MinimumNArgs(1),
	}
	c.Flags().StringVarP(&code, "code", "c", "", "the program, instead of FILE")
	c.Flags().StringVar(&dialect, "dialect", "", "the language of the program: python or restricted (default: the policy's)")
	c.Flags().DurationVar(&within, "within", 0, "interrupt the program after this time, such as 30s (default: never)")
	c.Flags().BoolVar(&raw, "raw", false, rawUsage)
	again.add(c)
	return newRemote(c, func(ctx context.Context, r *remote, args []string) error {
		tenant, name := cellName(args[0])
		r.raw, r.interrupt = raw, stopsProgram
		request := &pb.ExecRequest{Tenant: tenant, Name: name, Code: code, File: "<code>", Dialect: dialect, Args: args[1:]}
		request.RequestId, request.Acknowledged = again.id(), again.wanted
		if !c.Flags().Changed("code") { // "" is a program, too
			if len(args) < 2 {
				return usageError{errors.New("name a FILE, or - for standard input, or give -c CODE")}
			}
			var err error
			if request.Code, err = readProgram(args[1], r.in); err != nil {
				return err
			}
			request.File, request.Args = args[1], args[2:]
		}
		ctx, cancel, err := bounded(ctx, within)
		if err != nil {
			return err
		}
		defer cancel()
		_, err = r.Cells.Exec(ctx, connect.NewRequest(request))
		if err != nil && within > 0 && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return cell.Errorf(cell.Timeout, "the program was interrupted after the %s that --within gives it", within)
		}
		return r.raised(err)
	})
}

// bounded ends a context when the time of --within is over, if it is given.
func bounded(ctx context.Context, within time.Duration) (context.Context, context.CancelFunc, error) {
	switch {
	case within < 0:
		return nil, nil, usageError{fmt.Errorf("--within %s: there is no time left; write more than 0, or leave it out", within)}
	case within == 0:
		return ctx, func() {}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	return ctx, cancel, nil
}

// raised shows a guest's failure as run does: its own exception by the traceback alone.
func (r *remote) raised(err error) error {
	e, ok := asCellError(err)
	if !ok || r.asJSON {
		return err
	}
	_, _ = io.WriteString(r.err, r.guest(r.err).text(e.Traceback))
	if e.Kind == cell.GuestError && e.Traceback != "" {
		return exitStatus(statusGuest)
	}
	return err
}

func readProgram(name string, stdin io.Reader) (string, error) {
	from := stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return "", usageError{fmt.Errorf("read the program: %w", err)}
		}
		defer func() { _ = f.Close() }()
		from = f
	}
	text, err := io.ReadAll(io.LimitReader(from, maxSource+1))
	switch {
	case err != nil:
		return "", usageError{fmt.Errorf("read the program: %w", err)}
	case len(text) > maxSource:
		return "", usageError{fmt.Errorf("the program is larger than %d MiB", maxSource>>20)}
	}
	if !utf8.Valid(text) {
		return "", usageError{fmt.Errorf("%s is not UTF-8: save it so", name)}
	}
	return string(text), nil
}

func newCellRecv() *cobra.Command {
	var limit uint64
	var all, raw bool
	c := &cobra.Command{
		Use:   "recv [TENANT/]CELL",
		Short: "Print what a cell posts, until it ends",
		Long: `Print what a cell posts, until it ends. Each post is received once: two of these commands
share the posts. With --all also print its prints, logs, metrics and denials, to standard error.
What would control a terminal is escaped, in posts only if they are printed on a terminal.`,
		Args: cobra.ExactArgs(1),
	}
	c.Flags().Uint64VarP(&limit, "count", "n", 0, "end after this many posts and errors (default: when the cell ends)")
	c.Flags().BoolVar(&all, "all", false, "also print prints, logs, metrics and denials, those that the node has kept first")
	c.Flags().BoolVar(&raw, "raw", false, rawUsage)
	return newRemote(c, func(ctx context.Context, r *remote, args []string) error {
		tenant, name := cellName(args[0])
		items, err := r.Cells.Stream(ctx, connect.NewRequest(&pb.StreamRequest{Tenant: tenant, Name: name, Limit: limit, All: all}))
		if err != nil {
			return err
		}
		defer func() { _ = items.Close() }()
		r.raw, r.interrupt = raw, "posts that were on their way are lost"
		p := r.guest(r.err)
		for items.Receive() {
			p.received(items.Msg())
		}
		return items.Err()
	})
}

func newCellList() *cobra.Command {
	var tenant, node string
	c := &cobra.Command{Use: "ls", Short: "List cells, including some that have ended", Args: cobra.NoArgs,
		Long: "List the cells of all nodes of a cluster, including some that have ended. Nodes that do not\nanswer are named on standard error."}
	c.Flags().StringVar(&tenant, "tenant", "", "list only this tenant's")
	addNodeFlag(c, &node)
	return newRemote(c, func(ctx context.Context, r *remote, _ []string) error {
		answer, err := r.Cells.List(ctx, connect.NewRequest(&pb.ListCellsRequest{Tenant: tenant, Node: node}))
		if err != nil {
			return err
		}
		list(r, "CELL\tSTATE\tBACKEND\tPOLICY\tVERSION\tCPU\tMEMORY\tNODE", answer.Msg.GetReports(), reportJSONOf, func(one *pb.CellReport) string {
			return fmt.Sprintf("%s/%s\t%s\t%s\t%s\t%d\t%s\t%.1f MiB\t%s", one.GetCell().GetTenant(), one.GetCell().GetName(), plain(one.GetState()), plain(one.GetBackend()),
				policyOf(one), one.GetPolicy().GetVersion(), one.GetCpu().AsDuration().Round(time.Millisecond), float64(one.GetMemory())/(1<<20), nodeOf(one))
		})
		r.silent(answer.Msg.GetSilent())
		return nil
	})
}

func newCellInspect() *cobra.Command {
	c := &cobra.Command{Use: "inspect [TENANT/]CELL", Short: "Report on a cell: its state, its policy, the layers around it", Args: cobra.ExactArgs(1)}
	return newRemote(c, func(ctx context.Context, r *remote, args []string) error {
		tenant, name := cellName(args[0])
		answer, err := r.Cells.Inspect(ctx, connect.NewRequest(&pb.InspectRequest{Tenant: tenant, Name: name}))
		if err != nil {
			return err
		}
		r.report(answer.Msg.GetReport())
		return nil
	})
}

func newCellKill() *cobra.Command {
	var reason string
	c := &cobra.Command{Use: "kill [TENANT/]CELL", Short: "End a cell at once", Args: cobra.ExactArgs(1)}
	c.Flags().StringVar(&reason, "reason", "", "why; the error of what is running in it says so")
	return newRemote(c, func(ctx context.Context, r *remote, args []string) error {
		tenant, name := cellName(args[0])
		_, err := r.Cells.Kill(ctx, connect.NewRequest(&pb.KillRequest{Tenant: tenant, Name: name, Reason: reason}))
		return err
	})
}
