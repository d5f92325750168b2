//go:build !race

// Protoactor sets gRPC's logger for each node that starts, which is a race with the others of its
// process; nodes that are processes of their own have none.

package remote

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/internal/await"
)

// TestMoves: while a cell is moved between two nodes, whose connections and that of a third are lost now
// and then, each of the third's acknowledged messages is in it once, and in order.
func TestMoves(t *testing.T) {
	const moves = 8
	in := newCluster(t, "a", "b", "c")
	nodes := map[string]*node{}
	for _, name := range []string{"a", "b", "c"} {
		nodes[name] = here(t, in, name)
	}
	a, c := nodes["a"], nodes["c"]
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)

	all := []*quick{a.cell("echo-on-a")}
	await.That(t, "the way is open, before it is cut", func() bool { return c.system.Ask(soon(t), post("echo-on-a", "first")).Err == nil })
	ctx, over := context.WithCancel(t.Context())
	defer over()
	var sending sync.WaitGroup
	sent := []string{"first"}
	sending.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			env := post("echo-on-a", fmt.Sprint(i))
			env.ID, env.Acknowledged = actors.NewID(), true
			if r := c.system.Ask(soon(t), env); r.Err != nil {
				t.Errorf("%d: %v", i, r.Err)
				return
			}
			sent = append(sent, fmt.Sprint(i))
		}
	})

	from, to := a, nodes["b"]
	for i := range moves {
		cut := [][2]string{{"c", from.name}, {"c", to.name}, {from.name, to.name}, {to.name, from.name}}[random.IntN(4)]
		r := from.system.Ask(soon(t), actors.Envelope{To: at("echo-on-a"), Body: actors.Move{Take: func(ctx context.Context, _ cell.Cell, m actors.Moving) (actors.Moved, error) {
			if random.IntN(2) == 0 {
				nodes[cut[0]].link(t, cut[1]).cut(errTest)
			}
			q := &quick{node: to, done: make(chan struct{})}
			all = append(all, q)
			err := to.system.Spawn(ctx, at("echo-on-a"), actors.Plan{
				Carried: &m.Carried,
				Next: func(context.Context, uint64) (uint64, error) {
					for _, n := range []*node{to, from} { // c hears of it later
						n.mu.Lock()
						n.places["echo-on-a"] = to.name
						n.mu.Unlock()
					}
					return m.Epoch + 1, nil
				},
				Start: func(context.Context, uint64) (cell.Cell, error) { return q, nil },
			})
			return actors.Moved{Epoch: m.Epoch + 1, Via: from.remote.Via(to.name), Node: to.name}, err
		}}})
		if r.Err != nil || r.Epoch != uint64(i+2) {
			t.Fatalf("move %d: %+v", i, r)
		}
		c.mu.Lock()
		c.places["echo-on-a"] = to.name
		c.mu.Unlock()
		if random.IntN(2) == 0 {
			nodes[cut[0]].link(t, cut[1]).cut(errTest)
		}
		from, to = to, from
	}
	over()
	sending.Wait()
	var got []string
	for _, q := range all {
		q.mu.Lock()
		got = append(got, q.inbox...)
		q.mu.Unlock()
	}
	if !slices.Equal(got, sent) || len(sent) == 0 {
		t.Errorf("%d sent, %d there: %v", len(sent), len(got), got)
	}
}
