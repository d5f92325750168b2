package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
)

func newNode() *cobra.Command {
	c := &cobra.Command{
		Use: "node", Short: "List nodes", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newNodeList())
	return c
}

// nodeJSON is a node as --json prints it.
type nodeJSON struct {
	ID        string        `json:"id"`
	Version   string        `json:"version"`
	State     string        `json:"state"`
	Started   *time.Time    `json:"started"`
	Uptime    time.Duration `json:"uptime_ns"`
	Python    string        `json:"python"`
	Mode      string        `json:"mode"`
	Backends  []string      `json:"backends"`
	Layers    []cell.Layer  `json:"layers"`
	Kernel    string        `json:"kernel"`
	CPUs      uint32        `json:"cpus"`
	Memory    int64         `json:"memory"`
	Cells     uint32        `json:"cells"`
	MaxCells  uint32        `json:"max_cells"`
	Root      bool          `json:"root"`
	Addresses []string      `json:"addresses"`

	Labels map[string]string `json:"labels,omitempty"`
}

func newNodeList() *cobra.Command {
	c := &cobra.Command{Use: "ls", Short: "List the nodes that the called node knows, itself first", Args: cobra.NoArgs,
		Long: "List the nodes that the called node knows, itself first. LACKS are the layers that cells go\nwithout on a node; --json says why."}
	return newRemote(c, func(ctx context.Context, r *remote, _ []string) error {
		answer, err := r.Nodes.ListNodes(ctx, connect.NewRequest(&pb.ListNodesRequest{}))
		if err != nil {
			return err
		}
		list(r, "NODE\tSTATE\tVERSION\tUPTIME\tCELLS\tMODE\tPYTHON\tKERNEL\tLABELS\tLACKS", answer.Msg.GetNodes(), nodeJSONOf,
			func(n *pb.Node) string { return nodeJSONOf(n).row() })
		return nil
	})
}

func nodeJSONOf(n *pb.Node) nodeJSON {
	out := nodeJSON{ID: n.GetId(), Version: n.GetVersion(), State: n.GetState(), Started: momentOf(n.GetStarted()), Uptime: n.GetUptime().AsDuration(),
		Python: n.GetPython(), Mode: n.GetMode(), Backends: n.GetBackends(), Layers: []cell.Layer{}, Kernel: n.GetKernel(), CPUs: n.GetCpus(),
		Memory: n.GetMemory(), Cells: n.GetCells(), MaxCells: n.GetMaxCells(), Root: n.GetRoot(), Addresses: n.GetAddresses(), Labels: n.GetLabels()}
	for _, l := range n.GetLayers() {
		out.Layers = append(out.Layers, cell.Layer{Name: l.GetName(), Active: l.GetActive(), Evidence: l.GetEvidence(), Gaps: l.GetGaps()})
	}
	return out
}

// row is the node in the table; of one that says nothing of itself it claims nothing.
func (n nodeJSON) row() string {
	if n.Version == "" {
		return plain(n.ID) + "\t" + plain(n.State)
	}
	return fmt.Sprintf("%s\t%s\t%s\t%s\t%d/%d\t%s\t%s\t%s\t%s\t%s", plain(n.ID), plain(n.State), plain(n.Version), n.Uptime.Round(time.Second),
		n.Cells, n.MaxCells, plain(n.Mode), plain(n.Python), plain(n.Kernel), cmp.Or(labels(n.Labels), "-"), cmp.Or(n.lacks(), "nothing"))
}

// lacks names the layers that are not active.
func (n nodeJSON) lacks() string {
	var names []string
	for _, l := range n.Layers {
		if !l.Active {
			names = append(names, plain(l.Name))
		}
	}
	return strings.Join(names, ", ")
}

// statesOf counts cells by state.
func statesOf(states map[string]uint32) string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(states)) {
		words = append(words, fmt.Sprintf("%d %s", states[name], plain(name)))
	}
	return cmp.Or(strings.Join(words, ", "), "none")
}
