package fabrictest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/pyisolate/pyisolate/internal/netlab"
)

// Kind is what goes wrong.
type Kind string

// Kinds of faults. Those of links need a network that has some.
const (
	Isolate   Kind = "isolate"   // the node is cut off from all others
	Mute      Kind = "mute"      // nothing that the node sends arrives
	Deafen    Kind = "deafen"    // nothing arrives at the node
	Part      Kind = "part"      // the node and Peer are cut off from each other
	PartHalf  Kind = "part-half" // nothing that the node sends to Peer arrives
	Slow      Kind = "slow"      // all links of the node take long
	Lossy     Kind = "lossy"     // all links of the node lose and repeat packets
	Pause     Kind = "pause"     // the node's process is stopped, its hosts go on
	Freeze    Kind = "freeze"    // all processes of the node are stopped
	Kill      Kind = "kill"      // the node is killed and started again
	Terminate Kind = "terminate" // the node is ended and started again
	Blackout  Kind = "kill-all"  // all nodes are killed and started again
	Disperse  Kind = "disperse"  // all links are cut
)

var (
	ofProcesses = []Kind{Pause, Freeze, Kill, Terminate, Blackout}
	ofLinks     = []Kind{Isolate, Mute, Deafen, Part, PartHalf, Slow, Lossy, Disperse}
)

// Fault is something that goes wrong for a while.
type Fault struct {
	Kind Kind
	// Node that it happens to, and Peer, of those that are between two.
	Node, Peer string
	// Hold is how long it lasts, Rest how long all is well after it.
	Hold, Rest time.Duration
}

func (f Fault) String() string {
	words := []string{string(f.Kind)}
	if f.Node != "" {
		words = append(words, f.Node)
	}
	if f.Peer != "" {
		words = append(words, "and", f.Peer)
	}
	return fmt.Sprintf("%s for %s, then %s of rest", strings.Join(words, " "), f.Hold, f.Rest)
}

// chanceOf is what happens by chance, and again the same with the same seed.
func chanceOf(seed, number uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, number)) //nolint:gosec // no secret, and to be had again
}

// Plan draws faults that fill a time. The same seed, nodes and links draw the same ones. Every
// kind comes once before one comes twice.
func Plan(seed uint64, nodes []string, links bool, lasting time.Duration) (plan []Fault) {
	r := chanceOf(seed, 1)
	kinds := ofProcesses
	if links && len(nodes) > 1 {
		kinds = append(append([]Kind{}, ofProcesses...), ofLinks...)
	}
	var left []Kind
	for used := time.Duration(0); used < lasting; {
		if len(left) == 0 {
			for _, i := range r.Perm(len(kinds)) {
				left = append(left, kinds[i])
			}
		}
		f := Fault{Kind: left[0], Hold: between(r, 300*time.Millisecond, 8*time.Second), Rest: between(r, 500*time.Millisecond, 4*time.Second)}
		left = left[1:]
		two := r.Perm(len(nodes))
		switch f.Kind {
		case Blackout, Disperse:
		case Part, PartHalf:
			f.Node, f.Peer = nodes[two[0]], nodes[two[1]]
		default:
			f.Node = nodes[two[0]]
		}
		plan = append(plan, f)
		used += f.Hold + f.Rest
	}
	return plan
}

func between(r *rand.Rand, least, most time.Duration) time.Duration {
	return (least + time.Duration(r.Int64N(int64(most-least)))).Round(10 * time.Millisecond)
}

// Do has a fault happen, and ends it. When ctx ends, it ends it at once.
func (f *Fabric) Do(ctx context.Context, fault Fault) error {
	f.options.Logf("%s", fault)
	if err := f.begin(fault); err != nil {
		return fmt.Errorf("%s: %w", fault, err)
	}
	wait(ctx, fault.Hold)
	if err := f.Heal(); err != nil {
		return fmt.Errorf("after %s: %w", fault, err)
	}
	wait(ctx, fault.Rest)
	return nil
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (f *Fabric) begin(fault Fault) error {
	n := f.Node(fault.Node)
	if n == nil && fault.Kind != Blackout && fault.Kind != Disperse {
		return fmt.Errorf("fabrictest: there is no node %q", fault.Node)
	}
	switch fault.Kind {
	case Pause, Freeze:
		return n.Pause(fault.Kind == Freeze)
	case Kill:
		return f.kill(n)
	case Terminate:
		return n.Terminate()
	case Blackout:
		return f.kill(f.Nodes...)
	}
	f.disturb(fault)
	return nil
}

// disturb makes links bad.
func (f *Fabric) disturb(fault Fault) {
	for _, from := range f.Nodes {
		for _, to := range f.Nodes {
			if from != to {
				f.network.set(from.Name, to.Name, fault.condition(from.Name, to.Name))
			}
		}
	}
}

// condition of a link while the fault lasts.
func (f Fault) condition(from, to string) netlab.Condition {
	switch touched := from == f.Node || to == f.Node; {
	case f.cuts(from, to):
		return netlab.Condition{Cut: true}
	case f.Kind == Slow && touched:
		return netlab.Condition{Delay: 40 * time.Millisecond, Jitter: 40 * time.Millisecond}
	case f.Kind == Lossy && touched:
		return netlab.Condition{Loss: 0.05, Repeat: 0.02, Jitter: 2 * time.Millisecond}
	}
	return netlab.Condition{}
}

func (f Fault) cuts(from, to string) bool {
	sends, receives := from == f.Node, to == f.Node
	switch f.Kind {
	case Isolate:
		return sends || receives
	case Mute:
		return sends
	case Deafen:
		return receives
	case Part:
		return sends && to == f.Peer || receives && from == f.Peer
	case PartHalf:
		return sends && to == f.Peer
	}
	return f.Kind == Disperse
}

// orphanTime is how long hosts may take to end after their node was killed.
const orphanTime = 10 * time.Second

// kill kills nodes, and sees to it that their hosts end by themselves.
func (f *Fabric) kill(nodes ...*Node) error {
	for _, n := range nodes {
		if err := n.Kill(); err != nil {
			return err
		}
	}
	for _, n := range nodes {
		if left := n.Left(orphanTime); len(left) > 0 {
			return fmt.Errorf("fabrictest: %s was killed %s ago, and its hosts run: %s", n.Name, orphanTime, strings.Join(left, ", "))
		}
	}
	return nil
}
