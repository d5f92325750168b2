package fabric

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/internal/await"
)

// A cell that is closed while its name is claimed has no name in the cluster when it has ended.
func TestClosedWhileItClaims(t *testing.T) {
	w := newWorld(t, 1)
	n := w.nodes["n1"]
	err := n.system.Spawn(soon(t), web, actors.Plan{
		Next: func(ctx context.Context, _ uint64) (uint64, error) {
			if r := n.system.Ask(ctx, actors.Envelope{To: web, Body: actors.Close{}}); r.Err != nil {
				t.Error(r.Err)
			}
			p, err := n.Claim(ctx, web, "r1", "", 0)
			return p.Epoch, err
		},
		Start: func(_ context.Context, epoch uint64) (cell.Cell, error) {
			return &guest{at: n.name, epoch: epoch, done: make(chan struct{})}, nil
		},
	})
	if !errors.Is(err, cell.CellGone) {
		t.Error(err)
	}
	await.That(t, "nobody has the name", func() bool {
		n.fresh(t)
		_, known := n.Find(web)
		return !known
	})
}

// A client who leaves while a name is claimed for him leaves none behind, whether it comes to be agreed or not.
func TestWhoClaimsAndLeaves(t *testing.T) {
	w := newWorld(t, 1)
	n := w.nodes["n1"]
	var all sync.WaitGroup
	for i := range 100 {
		a := actors.Address{Tenant: "default", Name: fmt.Sprint("c", i)}
		ctx, cancel := context.WithTimeout(soon(t), time.Duration(i%25)*100*time.Microsecond)
		all.Go(func() {
			if _, err := n.trySpawn(ctx, a, fmt.Sprint("r", i)); err == nil {
				must(t, n.system.Ask(soon(t), actors.Envelope{To: a, Body: actors.Close{}}).Err)
			}
		})
		<-ctx.Done()
		cancel()
	}
	all.Wait()
	await.That(t, "nobody has a name", func() bool {
		n.fresh(t)
		return len(n.Places("")) == 0
	})
}
