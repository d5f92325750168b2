package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
)

// placementFlags say on which node of a cluster a cell starts.
type placementFlags struct {
	node           string
	labels, layers []string
	spread, pack   bool
}

func (f *placementFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.node, "node", "", "start the cell on this node of the cluster")
	c.Flags().StringSliceVar(&f.labels, "label", nil, "start the cell only on nodes with this label, KEY=VALUE such as zone=a; repeatable")
	c.Flags().StringSliceVar(&f.layers, "layer", nil, "start the cell only on nodes that have this layer of confinement; repeatable")
	c.Flags().BoolVar(&f.spread, "spread", false, "prefer the node where the tenant has the fewest cells (the default)")
	c.Flags().BoolVar(&f.pack, "pack", false, "use as few nodes as possible")
	c.MarkFlagsMutuallyExclusive("spread", "pack", "node")
	_ = c.RegisterFlagCompletionFunc("node", func(c *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
		return completeMembers(c, nil, begun)
	})
}

// placement is nil where nothing is wished.
func (f *placementFlags) placement() (*pb.Placement, error) {
	out := &pb.Placement{Node: f.node, Layers: f.layers}
	switch {
	case f.pack:
		out.Strategy = "pack"
	case f.spread:
		out.Strategy = "spread"
	}
	for _, label := range f.labels {
		key, value, found := strings.Cut(label, "=")
		if !found || key == "" {
			return nil, fmt.Errorf("--label %q: write KEY=VALUE, as zone=a", plain(label))
		}
		if _, twice := out.Labels[key]; twice {
			return nil, fmt.Errorf("--label %s is given twice", plain(key))
		}
		if out.Labels == nil {
			out.Labels = map[string]string{}
		}
		out.Labels[key] = value
	}
	if f.node == "" && out.Strategy == "" && len(out.Labels) == 0 && len(out.Layers) == 0 {
		return nil, nil
	}
	if f.node != "" && len(out.Labels)+len(out.Layers) > 0 {
		return nil, errors.New("--node names the node: leave --label and --layer out")
	}
	return out, nil
}

// againFlag has a request asked again when it is not known what became of it.
type againFlag struct{ wanted bool }

func (f *againFlag) add(c *cobra.Command) {
	c.Flags().BoolVar(&f.wanted, "acknowledged", false, "if another node has the cell and the way to it fails, ask again a few times; the cell does it once")
}

// id of the request; "" where it is asked once.
func (f *againFlag) id() string {
	if !f.wanted {
		return ""
	}
	return rand.Text()
}

// silent names nodes that have not answered, also beside JSON: without them what was printed looks whole.
func (r *remote) silent(nodes []string) {
	if len(nodes) > 0 {
		_, _ = fmt.Fprintln(r.err, "pyisolate-node: no answer from", plain(strings.Join(nodes, ", ")))
	}
}
