package policystore

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/internal/pause"
)

var (
	historySeed = flag.Uint64("history.seed", 0, "of TestLinearizable; 0: a new one")
	historyTime = flag.Duration("history.time", 5*time.Second, "how long TestLinearizable disturbs the network")
)

// asked is what a client did to a policy, answered what it saw. What is not known fits whatever
// comes.
type (
	asked struct {
		text   string // to put; "" is a read
		expect int    // number, -1 for any
	}
	answered struct {
		number   uint64
		text     string
		conflict bool
		unknown  bool
	}
)

// policyModel is a policy as somebody would have it who did one thing after the other.
var policyModel = porcupine.Model{
	Init: func() any { return answered{} },
	Step: func(state, input, output any) (bool, any) {
		was, did, saw := state.(answered), input.(asked), output.(answered)
		if did.text == "" {
			return saw.unknown || saw == was, was
		}
		if did.expect >= 0 && uint64(did.expect) != was.number {
			return saw.unknown || saw.conflict, was
		}
		next := answered{number: was.number + 1, text: did.text}
		return saw.unknown || saw == next, next // what is not known may come after all others, too
	},
}

// TestLinearizable has clients of all nodes change and read a policy while nodes are cut off, answers
// get lost and leaders hand over: what they see is what they would if there were one store and one
// client at a time, and nothing is made twice.
func TestLinearizable(t *testing.T) {
	seed := *historySeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("again with: -history.seed %d", seed)
	w := startGroup(t, 3)
	w.leader(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var h history
	var clients sync.WaitGroup
	for i, n := range append(w.all(), w.all()...) {
		clients.Go(func() { h.client(ctx, n, i, rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
	clients.Go(func() { w.disturb(ctx, rand.New(rand.NewPCG(seed, 99))) })
	pause.For(t.Context(), *historyTime)
	await.That(t, "operations that show something", func() bool { return h.known() >= 50 }) // longer on a busy machine
	cancel()
	clients.Wait()
	for _, n := range w.all() {
		w.isolate(n.id, false)
		w.loseAnswers(n.id, false)
	}
	result, info := porcupine.CheckOperationsVerbose(policyModel, h.all, time.Minute)
	t.Logf("%d operations, %d of unknown outcome, %d that failed", len(h.all), h.unknown, h.failed)
	if result != porcupine.Ok {
		path := t.ArtifactDir() + "/history.html"
		t.Errorf("the history is %v: %v", result, porcupine.VisualizePath(policyModel, info, path))
	}
	h.checkStored(t, w)
}

// checkStored holds what is stored to what was answered: each change is there once at most, and once
// if it was acknowledged.
func (h *history) checkStored(t *testing.T, w *network) {
	ctx := t.Context()
	var n *node
	await.That(t, "a node that answers", func() bool {
		n = w.leader(t, "")
		_, err := n.List(ctx, ListRequest{}, Linearizable)
		return err == nil
	})
	made := map[string]int{}
	for from := uint64(1); ; {
		records, err := n.Audit(ctx, from, maxAudit)
		if err != nil {
			t.Fatal(err)
		}
		if len(records) == 0 {
			break
		}
		for _, r := range records {
			made[r.Comment]++
			from = r.Seq + 1
		}
	}
	for text, times := range made {
		if times != 1 {
			t.Errorf("%s was made %d times", text, times)
		}
	}
	for _, o := range h.all {
		did, saw := o.Input.(asked), o.Output.(answered)
		if did.text != "" && !saw.unknown && !saw.conflict && made[did.text] != 1 {
			t.Errorf("%s was acknowledged and made %d times", did.text, made[did.text])
		}
	}
	w.waitEqual(t)
	if _, err := n.VerifyAudit(ctx); err != nil {
		t.Error(err)
	}
}

// disturb does harm to one node after the other, for a while each.
func (w *network) disturb(ctx context.Context, r *rand.Rand) {
	for ctx.Err() == nil {
		id := fmt.Sprint("n", r.IntN(3))
		harm := [](func(bool)){
			func(on bool) { w.isolate(id, on) },
			func(on bool) { w.loseAnswers(id, on) },
			func(on bool) {
				if on {
					_ = w.nodes[id].HandOver(ctx) // when it leads
				}
			},
		}[r.IntN(3)]
		for _, on := range []bool{true, false} {
			harm(on)
			select {
			case <-ctx.Done():
			case <-time.After(time.Duration(50+r.IntN(500)) * time.Millisecond):
			}
		}
	}
}

type history struct {
	mu              sync.Mutex
	all             []porcupine.Operation
	unknown, failed int
}

func (h *history) client(ctx context.Context, n *node, id int, r *rand.Rand) {
	last := uint64(0)
	for i := 0; ctx.Err() == nil; i++ {
		did := asked{expect: -1}
		if r.IntN(2) == 0 {
			did.text = fmt.Sprintf("client %d change %d", id, i)
			if r.IntN(2) == 0 {
				did.expect = int(last)
			}
		}
		called := time.Now().UnixNano()
		saw, err := n.do(ctx, did)
		if err == nil && !saw.conflict && !saw.unknown {
			last = saw.number
		}
		h.note(porcupine.Operation{ClientId: id, Input: did, Call: called, Output: saw, Return: time.Now().UnixNano()}, saw, err)
		select { // a history that is too long takes too long to check
		case <-ctx.Done():
		case <-time.After(time.Duration(r.IntN(10)) * time.Millisecond):
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
func (h *history) note(o porcupine.Operation, saw answered, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err != nil:
		h.failed++
		return
	case saw.unknown:
		o.Return = math.MaxInt64
		o.ClientId = 1000 + h.unknown // it may be under way while the client does the next
		h.unknown++
	}
	h.all = append(h.all, o)
}

// do asks a node, and waits no longer than a while.
func (n *node) do(ctx context.Context, did asked) (saw answered, err error) {
	ctx, cancel := context.WithTimeout(ctx, 700*time.Millisecond)
	defer cancel()
	var v Version
	if did.text == "" {
		v, err = n.Get(ctx, "p", 0, Linearizable)
		if errors.Is(err, ErrNotFound) {
			return answered{}, nil
		}
	} else {
		r := PutRequest{Name: "p", Text: []byte(did.text), Comment: did.text}
		if did.expect >= 0 {
			r.Expect = number(uint64(did.expect))
		}
		v, err = n.Put(ctx, editor, r)
	}
	switch {
	case errors.Is(err, ErrConflict):
		return answered{conflict: true}, nil
	case errors.Is(err, ErrUncertain):
		return answered{unknown: true}, nil
	}
	return answered{number: v.Number, text: string(v.Text)}, err
}
