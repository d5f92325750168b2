package main

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
)

// eventJSON is an event as --json prints it.
type eventJSON struct {
	Node    string       `json:"node,omitempty"`
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
	// Lost stands for so many events of the node that are missing here.
	Lost uint64 `json:"lost,omitempty"`
}

func newEvents() *cobra.Command {
	var request pb.EventsRequest
	var after []string
	c := &cobra.Command{
		Use:   "events",
		Short: "Print what happened to cells, hosts and policies",
		Long: `Print what happened to cells, hosts and policies on all nodes of a cluster: what the nodes have
kept, by time, and with --follow new events as they come. The events NODE_SILENT and NODE_BACK
say that a node does not answer, and that it answers again. --after goes on where an earlier
stream ended: an index counts for the node that gave it; n1=5,n2=7 names one for each node.`,
		Example: "  pyisolate-node events -f --kind DENIED --kind CELL_CRASHED\n  pyisolate-node events --cell crawler --json\n  pyisolate-node events --node n2",
		Args:    cobra.NoArgs,
	}
	c.Flags().BoolVarP(&request.Follow, "follow", "f", false, "print new events, too, as they come")
	c.Flags().StringSliceVar(&after, "after", nil, "print only events after this index: INDEX or NODE=INDEX; repeatable")
	addNodeFlag(c, &request.Node)
	c.Flags().StringVar(&request.Tenant, "tenant", "", "print only this tenant's")
	c.Flags().StringVar(&request.Cell, "cell", "", "print only this cell's")
	c.Flags().StringSliceVar(&request.Kinds, "kind", nil, "print only events of this kind, such as DENIED; repeatable")
	return newRemote(c, func(ctx context.Context, r *remote, _ []string) error {
		var err error
		if request.Tenant, request.Cell, err = cellOf(request.GetCell(), request.GetTenant()); err != nil {
			return err
		}
		if err := goOnAfter(&request, after); err != nil {
			return usageError{err}
		}
		events, err := r.Nodes.Events(ctx, connect.NewRequest(&request))
		if err != nil {
			return err
		}
		defer func() { _ = events.Close() }()
		r.interrupt = onlyRead
		for events.Receive() {
			r.event(events.Msg())
		}
		return events.Err()
	})
}

// goOnAfter reads what --after was given: an index, or indexes by node.
func goOnAfter(to *pb.EventsRequest, words []string) error {
	to.AfterOf = map[string]uint64{}
	for _, word := range words {
		node, index, named := strings.Cut(word, "=")
		if !named {
			index = word
		}
		n, err := strconv.ParseUint(index, 10, 64)
		if err != nil || named && node == "" {
			return fmt.Errorf("--after %q: write an index, or NODE=INDEX", word)
		}
		if named {
			to.AfterOf[node] = n
		} else {
			to.After = n
		}
	}
	return nil
}

// addNodeFlag has a command about all nodes look at one.
func addNodeFlag(c *cobra.Command, node *string) {
	c.Flags().StringVar(node, "node", "", "only this node (default: all nodes of the cluster)")
}

func (r *remote) event(m *pb.EventsResponse) {
	if lost, is := m.GetItem().(*pb.EventsResponse_Lost); is {
		r.show(eventJSON{Node: m.GetLostOf(), Lost: lost.Lost}, "… %d events of %s before this are lost", lost.Lost, cmp.Or(plain(m.GetLostOf()), "the node"))
		return
	}
	e := m.GetEvent()
	out := eventJSON{Node: e.GetNode(), Index: e.GetIndex(), Kind: e.GetKind(), At: momentOf(e.GetAt()), Tenant: e.GetCell().GetTenant(), Cell: e.GetCell().GetName(),
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
	r.show(out, "%s  %s  %-16s  %s  %s", at, cmp.Or(plain(out.Node), "-"), plain(out.Kind), plain(about), plain(message))
}
