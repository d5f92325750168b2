package telemetry_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"connectrpc.com/connect"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/telemetry/events"
)

// What happens on a node is an event of the right kind, about whom it happened to.
func TestEvents(t *testing.T) {
	n := newNode(t, nil)
	n.put("web", "imports: [math]")
	put := n.happened(events.PolicyPut)
	if put.Policy != "web" || put.Version != 1 || put.Tenant != "" {
		t.Errorf("put %+v", put)
	}
	n.spawn("acme", "c", "web")
	for _, c := range []struct {
		code string
		kind events.Kind
	}{
		{"", events.CellStarted},
		{"", events.HostStarted},
		{"exceed MemoryExceeded", events.MemKill},
		{"exceed CPUExceeded", events.CPUKill},
		{"exceed OutputExceeded", events.OutputKill},
		{"exceed Timeout", events.WallKill},
		{"deny fs open /etc/shadow\x1b[2J", events.Denied},
	} {
		t.Run(string(c.kind), func(t *testing.T) {
			if c.code != "" {
				_ = n.exec("acme", "c", c.code)
			}
			e := n.happened(c.kind)
			if c.kind != events.HostStarted && (e.Tenant != "acme" || e.Cell != "c") || e.Message == "" || e.At.IsZero() {
				t.Errorf("event %+v", e)
			}
			if c.kind == events.Denied && (e.Denial == nil || e.Denial.Capability != "fs" || e.Message != "fs: open /etc/shadow·[2J") {
				t.Errorf("denied %+v of %+v", e, e.Denial)
			}
		})
	}
	n.put("web", "imports: [json]")
	loaded := n.happened(events.PolicyHotload)
	if loaded.Tenant != "acme" || loaded.Cell != "c" || loaded.Policy != "web" || loaded.Version == 0 {
		t.Errorf("loaded %+v", loaded)
	}
	_ = n.exec("acme", "c", "crash")
	if e := n.happened(events.CellCrashed); e.Cell != "c" || e.Epoch != 1 {
		t.Errorf("crashed %+v", e)
	}
	n.happened(events.HostEnded)
	_, err := n.Cells.Spawn(t.Context(), connect.NewRequest(&pb.SpawnRequest{Tenant: "acme", Name: "again", Policy: &pb.PolicyRef{Name: "web"}, Restart: &pb.Restart{When: "on-failure", Max: 1}}))
	must(t, err)
	_ = n.exec("acme", "again", "crash")
	if e := n.happened(events.CellRestarted); e.Cell != "again" || e.Epoch != 1 {
		t.Errorf("restarted %+v", e)
	}
	await.That(t, "it is back and crashes again", func() bool {
		_ = n.exec("acme", "again", "crash")
		all, _, _, _ := n.Events.Since(0)
		return slices.ContainsFunc(all, func(e events.Event) bool { return e.Kind == events.CellQuarantined && e.Cell == "again" })
	})
	n.spawn("acme", "d", "web")
	_, err = n.Cells.Kill(t.Context(), connect.NewRequest(&pb.KillRequest{Tenant: "acme", Name: "d"}))
	must(t, err)
	if e := n.happened(events.CellEnded); e.Cell != "d" {
		t.Errorf("ended %+v", e)
	}
	n.spawn("acme", "odd", "web")
	_, err = n.Cells.Quarantine(t.Context(), connect.NewRequest(&pb.QuarantineRequest{Tenant: "acme", Name: "odd", Reason: "it looks odd"}))
	must(t, err)
	await.That(t, "the event of a quarantine by call", func() bool {
		all, _, _, _ := n.Events.Since(0)
		return slices.ContainsFunc(all, func(e events.Event) bool {
			return e.Kind == events.CellQuarantined && e.Tenant == "acme" && e.Cell == "odd" && e.Epoch == 1 && e.Message == "it looks odd"
		})
	})
	n.Ready("on a socket")
	n.Draining("SIGTERM")
	n.happened(events.NodeReady)
	n.happened(events.NodeDraining)
}

// What a host says of processor time is told apart: of the cell's life, and of a window.
func TestProcessorTime(t *testing.T) {
	for budget, want := range map[string]events.Kind{"cpu_ms: 20": events.CPUKill, "cpu: 20ms/1m": events.CPUThrottle} {
		t.Run(budget, func(t *testing.T) {
			n := newNode(t, nil)
			n.put("web", budget)
			n.spawn("acme", "c", "web")
			if err := n.exec("acme", "c", "spin"); err == nil {
				t.Error("what spins has ended well")
			}
			n.happened(want)
		})
	}
}

// A version that has no sandbox for a running cell is refused to it.
func TestRefusedPolicy(t *testing.T) {
	n := newNode(t, nil)
	n.put("web", "imports: [math]")
	n.spawn("acme", "c", "web")
	_, err := n.Policies.Put(t.Context(), connect.NewRequest(&pb.PutRequest{Name: "web", Text: []byte("version: \"1.0\"\nsandboxes:\n  a: {}\n  b: {}\n")}))
	must(t, err)
	if e := n.happened(events.PolicyRefused); e.Version != 2 || e.Tenant != "acme" || e.Message == "" {
		t.Errorf("refused %+v", e)
	}
	if got := value(parse(t, n.scrape(plainText)), "pyisolate_cells_behind_policy"); got != 1 {
		t.Errorf("%v cells are behind", got)
	}
}

// A guest's own wait, and its own exception, are no limit.
func TestGuestsTimeoutIsNoLimit(t *testing.T) {
	n := newNode(t, nil)
	n.put("web", "imports: [math]")
	n.spawn("acme", "c", "web")
	if err := n.exec("acme", "c", "exceed Timeout Timeout"); !errors.Is(err, cell.Timeout) {
		t.Error(err)
	}
	_ = n.exec("acme", "c", "exceed MemoryExceeded") // after it
	n.happened(events.MemKill)
	all, _, _, _ := n.Events.Since(0)
	if slices.ContainsFunc(all, func(e events.Event) bool { return e.Kind == events.WallKill }) {
		t.Errorf("%+v", all)
	}
}

// What ends since its caller has no more time has not met a limit.
func TestCallersTimeoutIsNoLimit(t *testing.T) {
	n := newNode(t, nil)
	n.put("web", "imports: [math]")
	n.spawn("acme", "c", "web")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := n.Cells.Exec(ctx, connect.NewRequest(&pb.ExecRequest{Tenant: "acme", Name: "c", Code: "spin"})); err == nil {
		t.Error("what spins has ended")
	}
	must(t, n.exec("acme", "c", "")) // after it
	all, _, _, _ := n.Events.Since(0)
	for _, e := range all {
		if e.Kind == events.WallKill {
			t.Errorf("%+v", e)
		}
	}
}
