package server_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/api/server"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/telemetry"
)

// What a guest's host dying looks like: the cell ends, and nobody asked its actor.
func TestQuarantineOutlivesTheHost(t *testing.T) {
	var last atomic.Pointer[cell.Cell]
	n := newNode(t, func(c *server.Config) {
		starts := c.Spawner
		c.Spawner = spawner(func(ctx context.Context, spec cell.Spec) (cell.Cell, error) {
			started, err := starts.Spawn(ctx, spec)
			last.Store(&started)
			return started, err
		})
	})
	spawned(t, n.Client, &pb.SpawnRequest{Name: "c", Restart: &pb.Restart{When: "on-failure"}})
	_, err := n.Cells.Quarantine(t.Context(), connect.NewRequest(&pb.QuarantineRequest{Name: "c", Reason: "looks odd"}))
	must(t, err)
	(*last.Load()).Kill("its host died")
	<-(*last.Load()).Done()
	await.That(t, "the node knows", func() bool { return strings.Contains(n.report(t, "c").GetReason(), "looks odd") })
	if r := n.report(t, "c"); r.GetState() != "quarantined" || r.GetEpoch() != 1 {
		t.Errorf("%v", r)
	}
	if err := n.exec(t.Context(), "c", "post 1"); !errors.Is(err, cell.CellGone) {
		t.Errorf("it runs: %v", err)
	}
	_, err = n.Cells.Kill(t.Context(), connect.NewRequest(&pb.KillRequest{Name: "c"}))
	must(t, err)
	await.That(t, "it has ended", func() bool { return n.report(t, "c").GetState() == "killed" })
	spawned(t, n.Client, &pb.SpawnRequest{Name: "c"})
}

// A newer policy reaches a cell through its actor, as everything does.
func TestReloadGoesThroughTheActor(t *testing.T) {
	metrics := telemetry.NewMetrics()
	n := newNode(t, func(c *server.Config) { c.Observer = &telemetry.Observer{Metrics: metrics} })
	n.put(t, "web", "math")
	n.spawn(t, "c", "web")
	n.put(t, "web", "json")
	await.That(t, "it has version 2", func() bool { return n.report(t, "c").GetPolicy().GetVersion() == 2 })
	page := httptest.NewRecorder()
	metrics.Handler().ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
	if want := `pyisolate_operation_wait_seconds_count{op="reload"} 1`; !strings.Contains(page.Body.String(), want) {
		t.Errorf("there is no %s", want)
	}
}

// Who repeats a spawn does not depend on the patience of who asked first.
func TestSpawnAbandoned(t *testing.T) {
	begun := make(chan struct{})
	var starts atomic.Int32
	n := newNode(t, func(c *server.Config) {
		next := c.Spawner
		c.Spawner = spawner(func(ctx context.Context, spec cell.Spec) (cell.Cell, error) {
			if starts.Add(1) > 1 {
				return next.Spawn(ctx, spec)
			}
			close(begun)
			<-ctx.Done()
			return nil, ctx.Err()
		})
	})
	request := func() *connect.Request[pb.SpawnRequest] {
		return connect.NewRequest(&pb.SpawnRequest{Name: "c", RequestId: "1"})
	}
	impatient, leave := context.WithCancel(t.Context())
	defer leave()
	first, second := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := n.Cells.Spawn(impatient, request())
		first <- err
	}()
	<-begun
	go func() {
		_, err := n.Cells.Spawn(t.Context(), request())
		second <- err
	}()
	leave()
	if err := <-first; err == nil {
		t.Error("who went away has a cell")
	}
	if err := <-second; err != nil {
		t.Errorf("who repeated it: %v", err)
	}
	if got := starts.Load(); got != 2 {
		t.Errorf("%d starts", got)
	}
}
