package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
)

// eventJSON is an event as --json prints it.
type eventJSON struct {
	Index   uint64       `json:"index,omitempty"`
	Kind    string       `json:"kind,omitempty"`
	At      *time.Time   `json:"at,omitempty"`
	Tenant  string       `json:"tenant,omitempty"`
	Cell    string       `json:"cell,omitempty"`
	Epoch   uint64       `json:"epoch,omitempty"`
	Message string       `json:"message,omitempty"`
	Denial  *cell.Denial `json:"denial,omitempty"`
	Policy  string       `json:"policy,omitempty"`
	Version uint64       `json:"version,omitempty"`
	Trace   string       `json:"trace,omitempty"`
	// Lost stands for so many events that are missing here.
	Lost uint64 `json:"lost,omitempty"`
}

func newEvents() *cobra.Command {
	var request pb.EventsRequest
	c := &cobra.Command{
		Use:   "events",
		Short: "Print what has happened to cells, hosts and policies",
		Long: `Print what has happened to cells, hosts and policies: what the node has kept, and with
--follow what comes.`,
		Example: "  pyisolate-node events -f --kind DENIED --kind CELL_CRASHED\n  pyisolate-node events --cell crawler --json",
		Args:    cobra.NoArgs,
	}
	c.Flags().BoolVarP(&request.Follow, "follow", "f", false, "go on with what comes")
	c.Flags().Uint64Var(&request.After, "after", 0, "only events with a higher index")
	c.Flags().StringVar(&request.Tenant, "tenant", "", "only this tenant's")
	c.Flags().StringVar(&request.Cell, "cell", "", "only this cell's")
	c.Flags().StringSliceVar(&request.Kinds, "kind", nil, "only of this kind, such as DENIED; repeatable")
	return newRemote(c, func(ctx context.Context, r *remote, _ []string) error {
		if tenant, name := cellName(request.GetCell()); tenant != "" {
			request.Tenant, request.Cell = tenant, name
		}
		events, err := r.Nodes.Events(ctx, connect.NewRequest(&request))
		if err != nil {
			return err
		}
		defer func() { _ = events.Close() }()
		for events.Receive() {
			r.event(events.Msg())
		}
		return events.Err()
	})
}

func (r *remote) event(m *pb.EventsResponse) {
	if lost, is := m.GetItem().(*pb.EventsResponse_Lost); is {
		r.show(eventJSON{Lost: lost.Lost}, "… %d events before this are lost", lost.Lost)
		return
	}
	e := m.GetEvent()
	out := eventJSON{Index: e.GetIndex(), Kind: e.GetKind(), At: momentOf(e.GetAt()), Tenant: e.GetCell().GetTenant(), Cell: e.GetCell().GetName(),
		Epoch: e.GetEpoch(), Message: e.GetMessage(), Policy: e.GetPolicy(), Version: e.GetVersion(), Trace: e.GetTrace()}
	if e.GetDenial() != nil {
		out.Denial = fault.ToDenial(e.GetDenial())
	}
	at := "-"
	if out.At != nil {
		at = out.At.Local().Format("15:04:05.000")
	}
	about := cmp.Or(out.Policy, "-")
	if out.Cell != "" {
		about = out.Tenant + "/" + out.Cell
	}
	message := out.Message
	if message == "" && out.Version != 0 {
		message = fmt.Sprintf("version %d", out.Version)
	}
	r.show(out, "%s  %-16s  %s  %s", at, plain(out.Kind), plain(about), plain(message))
}
