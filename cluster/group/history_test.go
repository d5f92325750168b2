package group

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/pyisolate/pyisolate/cluster/directory"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/internal/pause"
)

var (
	seed    = flag.Uint64("seed", 0, "of the random tests; 0: a new one")
	lasting = flag.Duration("lasting", 5*time.Second, "how long the network is disturbed")
)

// asked is what a client did to a cell, answered what it saw. An answer that is not known
// fits whatever comes.
type (
	asked struct {
		op    directory.Op // "" is a read
		epoch uint64
		to    string
	}
	answered struct {
		record  view
		err     error
		unknown bool
	}
	view struct {
		epoch  uint64
		phase  directory.Phase
		target string
	}
)

// cellModel is a cell as somebody would have it who did one thing after the other.
var cellModel = porcupine.Model{
	Init: func() any { return view{epoch: 1, phase: directory.Active} },
	Step: func(state, input, output any) (bool, any) {
		was, did, saw := state.(view), input.(asked), output.(answered)
		next, ok := was, true
		switch {
		case did.op == "":
		case did.epoch != was.epoch:
			ok = false
		case did.op == directory.Begin && was.phase == directory.Active:
			next.phase, next.target = directory.Prepare, did.to
		case did.op == directory.Abort && was.phase == directory.Prepare:
			next = view{epoch: was.epoch + 1, phase: directory.Active}
		default:
			ok = false
		}
		if saw.unknown {
			return true, next // or not at all: it would then come after all others
		}
		if did.op != "" && ok != (saw.err == nil) {
			return false, was
		}
		return saw.err != nil || saw.record == next, next
	},
}

// What clients of all nodes see, while the network is cut and healed, is what they would see if
// there were one directory and one client at a time.
func TestLinearizable(t *testing.T) {
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("again with: -seed %d", *seed)
	w := newNetwork(t, 3, time.Hour)
	leader := w.leader(t, "")
	must(t, claimCell(t, w, leader))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var h history
	var clients sync.WaitGroup
	id := 0
	for _, n := range w.nodes {
		for range 2 {
			client := id
			id++
			clients.Go(func() { h.client(ctx, n, leader.name, client, rand.New(rand.NewPCG(*seed, uint64(client)))) })
		}
	}
	clients.Go(func() { disturb(ctx, w, rand.New(rand.NewPCG(*seed, 99))) })
	pause.For(t.Context(), *lasting)
	await.That(t, "operations that show something", func() bool { return h.known() >= 50 }) // longer on a busy machine
	cancel()
	clients.Wait()
	for name := range w.nodes {
		w.isolate(name, false)
	}
	result, info := porcupine.CheckOperationsVerbose(cellModel, h.all, time.Minute)
	t.Logf("%d operations, %d of unknown outcome", len(h.all), h.unknown)
	if result == porcupine.Unknown {
		t.Skipf("nobody can tell within a minute: the machine was so busy that %d outcomes are unknown", h.unknown)
	}
	if result != porcupine.Ok {
		path := t.ArtifactDir() + "/history.html"
		t.Errorf("the history is %v: %v", result, porcupine.VisualizePath(cellModel, info, path))
	}
}

// claimCell has all nodes have sessions, and the leader's the cell.
func claimCell(t *testing.T, w *network, leader *node) error {
	t.Helper()
	for name, n := range w.nodes {
		out, err := n.sure(t, directory.Command{Op: directory.Open, Seat: directory.Seat{Node: name}})
		if err != nil {
			return err
		}
		n.Opened(directory.Seat{Node: name, Session: out.Session})
	}
	_, err := leader.claims(t, cellA, "r")
	return err
}

// disturb cuts one node off, for a while, again and again.
func disturb(ctx context.Context, w *network, r *rand.Rand) {
	for ctx.Err() == nil {
		name := fmt.Sprint("n", r.IntN(len(w.nodes)))
		for _, cut := range []bool{true, false} {
			w.isolate(name, cut)
			select {
			case <-ctx.Done():
			case <-time.After(time.Duration(100+r.IntN(500)) * time.Millisecond):
			}
		}
	}
}

// others are the nodes that a cell of a node's can go to.
func (n *network) others(owner string) (names []string) {
	for name := range n.nodes {
		if name != owner {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

type history struct {
	mu      sync.Mutex
	all     []porcupine.Operation
	unknown int
}

func (h *history) client(ctx context.Context, n *node, owner string, id int, r *rand.Rand) {
	last := view{epoch: 1}
	others := n.net.others(owner)
	for ctx.Err() == nil {
		did := asked{epoch: last.epoch}
		switch r.IntN(4) {
		case 0:
			did.op, did.to = directory.Begin, others[r.IntN(len(others))]
		case 1:
			did.op = directory.Abort
		}
		called := time.Now().UnixNano()
		saw := n.do(ctx, did)
		if saw.err == nil && !saw.unknown {
			last = saw.record
		}
		h.note(porcupine.Operation{ClientId: id, Input: did, Call: called, Output: saw, Return: time.Now().UnixNano()}, saw)
		select { // a history that is too long takes too long to check
		case <-ctx.Done():
		case <-time.After(time.Duration(r.IntN(5)) * time.Millisecond):
		}
	}
}

// known is how many operations there are whose outcome is known.
func (h *history) known() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.all) - h.unknown
}

// note keeps an operation. What failed for sure never was.
func (h *history) note(o porcupine.Operation, saw answered) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case errors.Is(saw.err, ErrNoLeader), errors.Is(saw.err, directory.ErrInvalid): // or not its own to ask for
		return
	case saw.unknown:
		o.Return = math.MaxInt64
		o.ClientId = 1000 + h.unknown // it may be under way while the client does the next
		h.unknown++
	}
	h.all = append(h.all, o)
}

// do asks a node, and waits no longer than a while.
func (n *node) do(ctx context.Context, did asked) (saw answered) {
	ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	if did.op == "" {
		saw.err = n.Fence(ctx)
		r, _ := n.Find(cellA)
		saw.record = viewOf(r)
		return saw
	}
	c := directory.Command{Op: did.op, Cell: cellA, Epoch: did.epoch}
	if did.op == directory.Begin {
		n.net.mu.Lock()
		to := n.net.nodes[did.to]
		n.net.mu.Unlock()
		c.Seat, c.Request = to.seat(), "m"
	}
	out, err := n.Propose(ctx, c)
	saw.record, saw.err = viewOf(out.Record), err
	saw.unknown = errors.Is(err, ErrUncertain)
	return saw
}

func viewOf(r directory.Record) view { return view{r.Epoch, r.Phase, r.Target.Node} }
