package server_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/policystore"
)

func spawnOn(tb testing.TB, by *node, at, name string) *pb.CellReport {
	tb.Helper()
	answer, err := by.Cells.Spawn(tb.Context(), connect.NewRequest(&pb.SpawnRequest{Name: name, Placement: &pb.Placement{Node: at}}))
	must(tb, err)
	return answer.Msg.GetReport()
}

// A cell that was lost with its node, and started again since, is found by who has heard of the first
// alone.
func TestStartedAgainSinceItWasLost(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	n1, f1 := w.join(t, "n1")
	w.join(t, "n2")
	spawnOn(t, n1, "n2", "c")
	f1.mourn("c", "n2")
	must(t, n1.exec(ctx, "c", "post 1"))
	f1.mourn("c", "n2")
	if _, err := n1.Cells.Close(ctx, connect.NewRequest(&pb.CloseRequest{Name: "c"})); err != nil {
		t.Error(err)
	}
}

// Any node answers for a cell, whichever has it.
func TestAnyNodeAnswers(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	n1, _ := w.join(t, "n1")
	n2, _ := w.join(t, "n2")
	n3, _ := w.join(t, "n3")
	if r := spawnOn(t, n1, "n2", "c"); r.GetNode() != "n2" || r.GetEpoch() != 5 || r.GetState() != "running" {
		t.Fatalf("spawned %v", r)
	}
	for _, n := range []*node{n1, n2, n3} {
		must(t, n.exec(ctx, "c", "log hello\npost 1"))
		got, err := n.Cells.Recv(ctx, connect.NewRequest(&pb.RecvRequest{Name: "c"}))
		if err != nil || len(got.Msg.GetItems()) != 1 || got.Msg.GetItems()[0].GetPost().GetJson() != "1" {
			t.Fatalf("received %v, %v", got, err)
		}
		_, err = n.Cells.Send(ctx, connect.NewRequest(&pb.SendRequest{Name: "c", Value: &pb.Value{Kind: &pb.Value_Json{Json: "2"}}}))
		must(t, err)
		if r := n.report(t, "c"); r.GetNode() != "n2" || r.GetPosts() == 0 {
			t.Errorf("report %v", r)
		}
		must(t, n.exec(ctx, "c", "post 3\npost 4"))
		if items, err := n.recv(t, &pb.StreamRequest{Name: "c", Limit: 2, All: true}); err != nil || !strings.HasSuffix(strings.Join(items, " "), "3 4") {
			t.Errorf("stream %v, %v", items, err)
		}
		logs, err := n.Cells.Logs(ctx, connect.NewRequest(&pb.LogsRequest{Name: "c"}))
		must(t, err)
		if !logs.Receive() || logs.Msg().GetLog().GetMessage() != "hello" {
			t.Errorf("logs %v, %v", logs.Msg(), logs.Err())
		}
		must(t, logs.Close())
		await.That(t, "all list it", func() bool { // who is busy does not answer in time
			all, err := n.Cells.List(ctx, connect.NewRequest(&pb.ListCellsRequest{}))
			must(t, err)
			if len(all.Msg.GetReports()) != 1 || all.Msg.GetReports()[0].GetNode() != "n2" {
				t.Fatalf("list %v", all)
			}
			return len(all.Msg.GetSilent()) == 0
		})
		await.That(t, "all count it", func() bool {
			stats, err := n.Cells.Stats(ctx, connect.NewRequest(&pb.StatsRequest{}))
			must(t, err)
			return stats.Msg.GetStates()["running"] == 1
		})
		nodes, err := n.Nodes.ListNodes(ctx, connect.NewRequest(&pb.ListNodesRequest{}))
		if err != nil || len(nodes.Msg.GetNodes()) != 4 {
			t.Errorf("nodes %v, %v", nodes, err)
		}
	}
	_, err := n3.Cells.Spawn(ctx, connect.NewRequest(&pb.SpawnRequest{Name: "c", Placement: &pb.Placement{Node: "n3"}}))
	if !errors.Is(err, cell.Invalid) || !strings.Contains(err.Error(), "n2") {
		t.Errorf("the name again: %v", err)
	}
	err = n1.exec(ctx, "c", "raise oops")
	var guest *cell.Error
	if !errors.As(err, &guest) || guest.Kind != cell.GuestError || !strings.Contains(guest.Message, "oops") {
		t.Errorf("the guest's error: %v", err)
	}
	_, err = n3.Cells.Kill(ctx, connect.NewRequest(&pb.KillRequest{Name: "c", Reason: "enough"}))
	must(t, err)
	if err := n1.exec(ctx, "c", "post 1"); !errors.Is(err, cell.CellGone) || !strings.Contains(err.Error(), "enough") {
		t.Errorf("after the kill: %v", err)
	}
	_, err = n1.Cells.Close(ctx, connect.NewRequest(&pb.CloseRequest{Name: "c"}))
	must(t, err)
	if err := n1.exec(ctx, "none", "post 1"); !errors.Is(err, policystore.ErrNotFound) {
		t.Errorf("a cell that there is not: %v", err)
	}
}

// Who calls by way of another node is held to what he may, and is known by where he called.
func TestWhoCallsByWayOfANode(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	n1, _ := w.join(t, "n1")
	w.join(t, "n2")
	for _, tenant := range []string{"shop", "bank"} {
		_, err := n1.Cells.Spawn(ctx, connect.NewRequest(&pb.SpawnRequest{Tenant: tenant, Name: "c", Placement: &pb.Placement{Node: "n2"}}))
		must(t, err)
	}
	shop, _ := n1.as(t, "operator", "shop")
	looks, _ := n1.as(t, "viewer", "shop")
	if _, err := shop.Cells.Exec(ctx, connect.NewRequest(&pb.ExecRequest{Name: "c", Code: "post 1"})); err != nil {
		t.Errorf("his own: %v", err)
	}
	if _, err := shop.Cells.Exec(ctx, connect.NewRequest(&pb.ExecRequest{Tenant: "bank", Name: "c", Code: "post 1"})); !errors.Is(err, policystore.ErrDenied) {
		t.Errorf("another tenant's: %v", err)
	}
	if _, err := looks.Cells.Kill(ctx, connect.NewRequest(&pb.KillRequest{Name: "c"})); !errors.Is(err, policystore.ErrDenied) {
		t.Errorf("a viewer kills: %v", err)
	}
	list, err := shop.Cells.List(ctx, connect.NewRequest(&pb.ListCellsRequest{}))
	if err != nil || len(list.Msg.GetReports()) != 1 || list.Msg.GetReports()[0].GetCell().GetTenant() != "shop" {
		t.Errorf("his list: %v, %v", list, err)
	}
}

// The header that says for whom a node calls counts on connections of nodes alone.
func TestPrincipalHeaderOfStrangers(t *testing.T) {
	w := newWorld(t)
	n1, f1 := w.join(t, "n1")
	n1.spawn(t, "c", "")
	ask := func(way http.RoundTripper, header string) error {
		r := connect.NewRequest(&pb.InspectRequest{Name: "c"})
		if header != "" {
			r.Header().Set("Pyisolate-Principal", header)
		}
		_, err := connect.NewClient[pb.InspectRequest, pb.InspectResponse](&http.Client{Transport: way, Timeout: 20 * time.Second},
			"http://n1/pyisolate.v1.CellService/Inspect", connect.WithGRPC()).CallUnary(t.Context(), r)
		return err
	}
	admin := `{"name":"x","role":"admin"}`
	if err := ask(f1.HTTP("n1"), admin); err != nil {
		t.Errorf("a node: %v", err)
	}
	for _, wrong := range []string{"", "{", `{"role":"admin"}`, `{"name":"x","role":"emperor"}`, `{"name":"x"}`} {
		if err := ask(f1.HTTP("n1"), wrong); connect.CodeOf(err) != connect.CodeUnauthenticated {
			t.Errorf("a node that says %q: %v", wrong, err)
		}
	}
	stranger := w.fabric("stranger")
	defer stranger.transport.CloseIdleConnections()
	if err := ask(stranger.HTTP("n1"), admin); err == nil {
		t.Error("a stranger is answered")
	}
	c := n1.overHTTPS(t, "")
	r := connect.NewRequest(&pb.InspectRequest{Name: "c"})
	r.Header().Set("Pyisolate-Principal", admin)
	if _, err := c.Cells.Inspect(t.Context(), r); !errors.Is(err, policystore.ErrUnauthenticated) {
		t.Errorf("a client with the header: %v", err)
	}
}

// A node that is not there, and one that is known to be gone.
func TestNodeIsGone(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	n1, f1 := w.join(t, "n1")
	n2, _ := w.join(t, "n2")
	spawnOn(t, n1, "n2", "c")
	must(t, n1.exec(ctx, "c", "post 1"))
	w.lose(t, n2)
	f1.transport.CloseIdleConnections()
	if err := n1.exec(ctx, "c", "post 1"); !errors.Is(err, fault.ErrUnavailable) || !strings.Contains(err.Error(), "n2") {
		t.Errorf("its node does not answer: %v", err)
	}
	list, err := n1.Cells.List(ctx, connect.NewRequest(&pb.ListCellsRequest{}))
	must(t, err)
	if r := list.Msg.GetReports(); len(r) != 1 || r[0].GetState() != "unknown" || len(list.Msg.GetSilent()) != 1 {
		t.Errorf("list %v", list.Msg)
	}
	w.die("n2")
	if err := n1.exec(ctx, "c", "post 1"); !errors.Is(err, cell.CellGone) || !strings.Contains(err.Error(), "n2") {
		t.Errorf("its node is gone: %v", err)
	}
	list, err = n1.Cells.List(ctx, connect.NewRequest(&pb.ListCellsRequest{}))
	must(t, err)
	if r := list.Msg.GetReports(); len(r) != 1 || r[0].GetState() != "lost" || r[0].GetNode() != "n2" {
		t.Errorf("list %v", list.Msg)
	}
	if r := spawnOn(t, n1, "", "c"); r.GetNode() != "n1" || r.GetEpoch() != 6 {
		t.Errorf("spawned again %v", r)
	}
}

// An answer that is lost leaves the outcome unknown, unless the request may be passed on again; then
// it is done once.
func TestAcknowledged(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	n1, f1 := w.join(t, "n1")
	n2, _ := w.join(t, "n2")
	spawnOn(t, n1, "n2", "c")
	lose := func(n int) {
		f1.losing.Lock()
		defer f1.losing.Unlock()
		f1.lose, f1.sent = n, 0
	}
	exec := func(r *pb.ExecRequest) error {
		r.Name = "c"
		_, err := n1.Cells.Exec(ctx, connect.NewRequest(r))
		return err
	}
	lose(1)
	if err := exec(&pb.ExecRequest{Code: "post 1", RequestId: "a"}); !errors.Is(err, cell.UnknownOutcome) || f1.sent != 1 {
		t.Errorf("passed on once: %v, %d times", err, f1.sent)
	}
	lose(2)
	if err := exec(&pb.ExecRequest{Code: "post 2", RequestId: "b", Acknowledged: true}); err != nil || f1.sent != 3 {
		t.Errorf("passed on again: %v, %d times", err, f1.sent)
	}
	lose(100)
	if err := exec(&pb.ExecRequest{Code: "post 3", RequestId: "c", Acknowledged: true}); !errors.Is(err, cell.UnknownOutcome) || f1.sent != 5 {
		t.Errorf("passed on too often: %v, %d times", err, f1.sent)
	}
	lose(0)
	if err := exec(&pb.ExecRequest{Code: "post 4", Acknowledged: true}); !errors.Is(err, cell.Invalid) {
		t.Errorf("without an id: %v", err)
	}
	answer, err := n2.Cells.Recv(ctx, connect.NewRequest(&pb.RecvRequest{Name: "c", Max: 100, Wait: durationpb.New(0)}))
	must(t, err)
	got := ""
	for _, one := range answer.Msg.GetItems() {
		got += one.GetPost().GetJson()
	}
	if got != "123" {
		t.Errorf("done: %s, want each once", got)
	}
}

// A node that is chosen and has no room passes: the next is tried.
func TestNextNode(t *testing.T) {
	w := newWorld(t)
	n1, _ := w.join(t, "n1")
	w.join(t, "n2")
	w.join(t, "n3")
	w.first, w.full["n2"] = "n2", true
	if r := spawnOn(t, n1, "", "c"); r.GetNode() != "n1" {
		t.Errorf("spawned %v", r)
	}
	_, err := n1.Cells.Spawn(t.Context(), connect.NewRequest(&pb.SpawnRequest{Name: "d", Placement: &pb.Placement{Node: "n2"}}))
	if !errors.Is(err, cell.Busy) || !strings.Contains(err.Error(), "n2 is full") {
		t.Errorf("the node that was wished for: %v", err)
	}
}

// The same request starts one cell, whichever node would be chosen by now.
func TestSameSpawn(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	n1, _ := w.join(t, "n1")
	w.join(t, "n2")
	spawn := func() *pb.CellReport {
		t.Helper()
		answer, err := n1.Cells.Spawn(ctx, connect.NewRequest(&pb.SpawnRequest{RequestId: "r"}))
		must(t, err)
		return answer.Msg.GetReport()
	}
	w.first = "n2"
	one := spawn()
	w.first = "n1"
	if two := spawn(); two.GetId() != one.GetId() || two.GetNode() != "n2" {
		t.Errorf("again %v, want %v", two, one)
	}
}

// An incarnation has the epoch that the cluster gives it.
func TestEpochsOfTheCluster(t *testing.T) {
	w := newWorld(t)
	n1, f1 := w.join(t, "n1")
	_, err := n1.Cells.Spawn(t.Context(), connect.NewRequest(&pb.SpawnRequest{Name: "c", Restart: &pb.Restart{When: "on-failure"}}))
	must(t, err)
	_ = n1.exec(t.Context(), "c", "exit")
	place := func() uint64 {
		p, _ := f1.Find(actors.Address{Tenant: "default", Name: "c"})
		return p.Epoch
	}
	await.That(t, "it runs again", func() bool {
		r := n1.report(t, "c")
		return r.GetState() == "running" && r.GetRestarts() == 1 && r.GetEpoch() == 6 && place() == 6
	})
	_, err = n1.Cells.Exec(t.Context(), connect.NewRequest(&pb.ExecRequest{Name: "c", Code: "post 1", Epoch: 5}))
	if !errors.Is(err, cell.CellGone) {
		t.Errorf("for the incarnation before: %v", err)
	}
}

// A cell that no node has is closed by any: its name is free then. Of one that is suspended any node tells.
func TestCellsThatNoNodeHas(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	n1, f1 := w.join(t, "n1")
	n2, _ := w.join(t, "n2")
	spawnOn(t, n1, "n2", "lost")
	spawnOn(t, n1, "n2", "waits")
	waits := actors.Address{Tenant: "default", Name: "waits"}
	w.lose(t, n2)
	w.mu.Lock()
	p := w.places[waits]
	p.Checkpoint, p.Copies = "c0ffee", []string{"n2"}
	w.places[waits] = p
	w.mu.Unlock()
	w.die("n2")

	answer, err := n1.Cells.Inspect(ctx, connect.NewRequest(&pb.InspectRequest{Name: "waits"}))
	must(t, err)
	if r := answer.Msg.GetReport(); r.GetState() != "suspended" || r.GetNode() != "n2" || r.GetCheckpoint() != "c0ffee" || !slices.Equal(r.GetCopies(), []string{"n2"}) {
		t.Errorf("it is %v", r)
	}
	if err := n1.exec(ctx, "waits", "post 1"); !errors.Is(err, cell.CellGone) || !strings.Contains(err.Error(), "restore default/waits") {
		t.Errorf("asked: %v", err)
	}
	if err := failure(n1.Cells.Inspect(ctx, connect.NewRequest(&pb.InspectRequest{Name: "lost"}))); !errors.Is(err, cell.CellGone) || !strings.Contains(err.Error(), "spawn it again") {
		t.Errorf("without a checkpoint: %v", err)
	}
	if err := failure(n1.Cells.Close(ctx, connect.NewRequest(&pb.CloseRequest{Name: "lost", Id: "x"}))); !errors.Is(err, cell.CellGone) {
		t.Errorf("closed by an id: %v", err)
	}
	for _, name := range []string{"lost", "waits"} {
		for range 2 {
			must(t, failure(n1.Cells.Close(ctx, connect.NewRequest(&pb.CloseRequest{Name: name}))))
		}
	}
	if left := f1.Places(""); len(left) != 0 {
		t.Errorf("there is still %v", left)
	}
}

// Who lists checkpoints is told of which nodes there are none, also of those that are not asked.
func TestCheckpointsOfLostNodes(t *testing.T) {
	n := newTarget(t).node
	answer, err := n.Cells.ListCheckpoints(t.Context(), connect.NewRequest(&pb.ListCheckpointsRequest{}))
	if err != nil || !slices.Equal(answer.Msg.GetSilent(), []string{"n9"}) {
		t.Errorf("%v, %v", answer, err)
	}
}
