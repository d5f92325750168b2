package server_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/pyisolate/pyisolate/api/client"
	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/policystore"
)

func spawned(t *testing.T, c *client.Client, r *pb.SpawnRequest) *pb.CellReport {
	t.Helper()
	answer, err := c.Cells.Spawn(t.Context(), connect.NewRequest(r))
	must(t, err)
	return answer.Msg.GetReport()
}

// A cell can be spawned without a policy, and under a document of its own.
func TestSpawnWithoutStoredPolicy(t *testing.T) {
	n := newNode(t)
	r := spawned(t, n.Client, &pb.SpawnRequest{Name: "none", AllowedImports: []string{"math"}, Limits: &pb.Limits{Memory: 8 << 20, Wall: durationpb.New(time.Second)}})
	if p := r.GetPolicy(); p.GetRef() != nil || len(p.GetHash()) != 32 || r.GetEpoch() != 1 || r.GetState() != "running" {
		t.Errorf("%v", r)
	}
	if l := r.GetLimits(); l.GetMemory() != 8<<20 || l.GetWall().AsDuration() != time.Second || l.GetFiles() != cell.DefaultFiles {
		t.Errorf("limits %v", l)
	}
	r = spawned(t, n.Client, &pb.SpawnRequest{Name: "own", Document: string(permits("math")), Topics: []string{"b", "a"}})
	if p := r.GetPolicy(); p.GetRef() != nil || !slices.Equal(r.GetTopics(), []string{"a", "b"}) {
		t.Errorf("%v", r)
	}
	// What an operator may have without a policy is not more than computing.
	operator, _ := n.as(t, "operator", "")
	spawned(t, operator, &pb.SpawnRequest{Name: "o", AllowedImports: []string{"json", "collections.abc"}})
	for name, r := range map[string]*pb.SpawnRequest{
		"a document":              {Document: string(permits("math"))},
		"a module that does more": {AllowedImports: []string{"socket"}},
		"all modules":             {AllowedImports: []string{"*"}},
	} {
		if _, err := operator.Cells.Spawn(t.Context(), connect.NewRequest(r)); !errors.Is(err, policystore.ErrDenied) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A spawn that is repeated is answered with the same cell.
func TestSpawnAgain(t *testing.T) {
	n := newNode(t)
	first := spawned(t, n.Client, &pb.SpawnRequest{RequestId: "r"})
	if again := spawned(t, n.Client, &pb.SpawnRequest{RequestId: "r"}); again.GetId() != first.GetId() {
		t.Errorf("%v and %v", first, again)
	}
	named := spawned(t, n.Client, &pb.SpawnRequest{Name: "c", RequestId: "r"})
	if again := spawned(t, n.Client, &pb.SpawnRequest{Name: "c", RequestId: "r"}); again.GetId() != named.GetId() || named.GetId() == first.GetId() {
		t.Errorf("%v and %v", named, again)
	}
	other, _ := n.as(t, "operator", "")
	if _, err := other.Cells.Spawn(t.Context(), connect.NewRequest(&pb.SpawnRequest{Name: "c", RequestId: "r"})); !errors.Is(err, cell.Invalid) {
		t.Errorf("another client's: %v", err)
	}
	// What could not be started is tried again.
	for range 2 {
		if _, err := n.Cells.Spawn(t.Context(), connect.NewRequest(&pb.SpawnRequest{Name: "d", RequestId: "d", Policy: &pb.PolicyRef{Name: "none"}})); !errors.Is(err, policystore.ErrNotFound) {
			t.Errorf("%v", err)
		}
	}
}

// Exec, Call and Send that come again are done once, and of two clients each is done.
func TestRequestIDs(t *testing.T) {
	n := newNode(t)
	spawned(t, n.Client, &pb.SpawnRequest{Name: "c"})
	other, _ := n.as(t, "operator", "")
	for _, c := range []*client.Client{n.Client, n.Client, other} {
		_, err := c.Cells.Exec(t.Context(), connect.NewRequest(&pb.ExecRequest{Name: "c", Code: "post 1", RequestId: "x"}))
		must(t, err)
	}
	items, err := n.Cells.Recv(t.Context(), connect.NewRequest(&pb.RecvRequest{Name: "c", Max: 10, Wait: durationpb.New(0)}))
	if err != nil || len(items.Msg.GetItems()) != 2 {
		t.Errorf("%v, %v", items, err)
	}
	for range 2 {
		answer, err := n.Cells.Call(t.Context(), connect.NewRequest(&pb.CallRequest{Name: "c", Target: "f", Args: "[1]", RequestId: "x"}))
		if err != nil || answer.Msg.GetValue().GetJson() != "[1]" || answer.Msg.GetEpoch() != 1 {
			t.Errorf("%v, %v", answer, err)
		}
	}
	if _, err := n.Cells.Exec(t.Context(), connect.NewRequest(&pb.ExecRequest{Name: "c", RequestId: strings.Repeat("x", 129)})); !errors.Is(err, cell.Invalid) {
		t.Errorf("a long id: %v", err)
	}
}

func TestRecv(t *testing.T) {
	n := newNode(t)
	spawned(t, n.Client, &pb.SpawnRequest{Name: "c"})
	recv := func(r *pb.RecvRequest) []*pb.Item {
		t.Helper()
		r.Name = "c"
		answer, err := n.Cells.Recv(t.Context(), connect.NewRequest(r))
		must(t, err)
		return answer.Msg.GetItems()
	}
	if got := recv(&pb.RecvRequest{Wait: durationpb.New(0)}); len(got) != 0 {
		t.Errorf("%v", got)
	}
	if got := recv(&pb.RecvRequest{Wait: durationpb.New(20 * time.Millisecond)}); len(got) != 0 {
		t.Errorf("%v", got)
	}
	must(t, n.exec(t.Context(), "c", "flood 10"))
	if got := recv(&pb.RecvRequest{}); len(got) != 1 || got[0].GetPost().GetJson() != "0" {
		t.Errorf("%v", got)
	}
	if got := recv(&pb.RecvRequest{Max: 5}); len(got) != 5 || got[4].GetPost().GetJson() != "5" {
		t.Errorf("%v", got)
	}
	if got := recv(&pb.RecvRequest{Max: 1000}); len(got) != 4 {
		t.Errorf("%v", got)
	}
	if err := n.exec(t.Context(), "c", "raise no"); !errors.Is(err, cell.GuestError) {
		t.Error(err)
	}
	if got := recv(&pb.RecvRequest{}); len(got) != 1 || got[0].GetError().GetKind() != "GuestError" {
		t.Errorf("%v", got)
	}
	if _, err := n.Cells.Recv(t.Context(), connect.NewRequest(&pb.RecvRequest{Name: "c", Max: 1001})); !errors.Is(err, cell.Invalid) {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := n.Cells.Recv(ctx, connect.NewRequest(&pb.RecvRequest{Name: "c"})); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the call's own end: %v", err)
	}
}

// Values go in and come out, and to all that hear a topic.
func TestSendAndPublish(t *testing.T) {
	n := newNode(t)
	for _, name := range []string{"a", "b"} {
		spawned(t, n.Client, &pb.SpawnRequest{Name: name, Topics: []string{"news"}})
	}
	_, err := n.Cells.Send(t.Context(), connect.NewRequest(&pb.SendRequest{Name: "a", Value: &pb.Value{Kind: &pb.Value_Json{Json: `{"n":1}`}}}))
	must(t, err)
	answer, err := n.Cells.Publish(t.Context(), connect.NewRequest(&pb.PublishRequest{Topic: "news", Value: &pb.Value{Kind: &pb.Value_Raw{Raw: []byte("xy")}}}))
	if err != nil || answer.Msg.GetDelivered() != 2 || len(answer.Msg.GetRefused()) != 0 {
		t.Errorf("%v, %v", answer, err)
	}
	must(t, n.exec(t.Context(), "a", "recv 1\nrecv 1"))
	got, err := n.Cells.Recv(t.Context(), connect.NewRequest(&pb.RecvRequest{Name: "a", Max: 2}))
	if err != nil || len(got.Msg.GetItems()) != 2 || got.Msg.GetItems()[0].GetPost().GetJson() != `{"n":1}` || got.Msg.GetItems()[1].GetPost().GetJson() != `"xy"` {
		t.Errorf("%v, %v", got, err)
	}
	for name, r := range map[string]*pb.SendRequest{
		"no value":     {Name: "a"},
		"no JSON":      {Name: "a", Value: &pb.Value{Kind: &pb.Value_Json{Json: "{"}}},
		"two texts":    {Name: "a", Value: &pb.Value{Kind: &pb.Value_Json{Json: "1 2"}}},
		"a bad tenant": {Tenant: "/", Name: "a", Value: &pb.Value{Kind: &pb.Value_Json{Json: "1"}}},
	} {
		if _, err := n.Cells.Send(t.Context(), connect.NewRequest(r)); !errors.Is(err, cell.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A cell that is started again goes on under its name, and so does who receives from it.
func TestRestart(t *testing.T) {
	n := newNode(t)
	r := spawned(t, n.Client, &pb.SpawnRequest{Name: "c", Restart: &pb.Restart{When: "on-failure", Max: 1}})
	id := r.GetId()
	stream, err := n.Cells.Stream(t.Context(), connect.NewRequest(&pb.StreamRequest{Name: "c"}))
	must(t, err)
	defer func() { _ = stream.Close() }()
	must(t, n.exec(t.Context(), "c", "post 1"))
	if err := n.exec(t.Context(), "c", "exit broken"); !errors.Is(err, cell.CellGone) {
		t.Errorf("the operation that ended it: %v", err)
	}
	await.That(t, "it runs again", func() bool { r = n.report(t, "c"); return r.GetState() == "running" && r.GetEpoch() == 2 })
	if r.GetRestarts() != 1 || r.GetId() != id {
		t.Errorf("%v, of id %s", r, id)
	}
	_, err = n.Cells.Exec(t.Context(), connect.NewRequest(&pb.ExecRequest{Name: "c", Code: "post 0", Epoch: 1}))
	if !errors.Is(err, cell.CellGone) {
		t.Errorf("for the incarnation before: %v", err)
	}
	must(t, n.exec(t.Context(), "c", "post 2"))
	for _, want := range []string{"1", "2"} {
		for stream.Receive() && stream.Msg().GetPost() == nil { // how the first ended is an item, too
		}
		if got := stream.Msg().GetPost().GetJson(); got != want {
			t.Errorf("received %s, want %s; %v", got, want, stream.Err())
		}
	}
	if err := n.exec(t.Context(), "c", "exit broken"); !errors.Is(err, cell.CellGone) {
		t.Error(err)
	}
	await.That(t, "it is quarantined", func() bool { return n.report(t, "c").GetState() == "quarantined" })
	if why := n.report(t, "c").GetReason(); !strings.Contains(why, "2 times") {
		t.Errorf("reason %q", why)
	}
	for stream.Receive() {
		t.Log(stream.Msg())
	}
	if !errors.Is(stream.Err(), cell.CellGone) {
		t.Errorf("the stream ended with %v", stream.Err())
	}
	_, err = n.Cells.Close(t.Context(), connect.NewRequest(&pb.CloseRequest{Name: "c"}))
	must(t, err)
	spawned(t, n.Client, &pb.SpawnRequest{Name: "c"})
}

// A policy says whether its cells are started again, and what they are confined by then is the
// newest of it.
func TestRestartByPolicy(t *testing.T) {
	n := newNode(t)
	put := func(imports string) {
		t.Helper()
		_, err := n.Policies.Put(t.Context(), connect.NewRequest(&pb.PutRequest{Name: "web", Text: []byte(
			"version: \"1.0\"\nsandboxes:\n  main:\n    imports: [" + imports + "]\n    restart: {strategy: fresh, max: 3}\n")}))
		must(t, err)
	}
	put("math")
	n.spawn(t, "c", "web")
	if err := n.exec(t.Context(), "c", "exit broken"); !errors.Is(err, cell.CellGone) {
		t.Error(err)
	}
	put("json")
	await.That(t, "the second incarnation has version 2", func() bool {
		r := n.report(t, "c")
		return r.GetState() == "running" && r.GetEpoch() == 2 && r.GetPolicy().GetVersion() == 2
	})
	put("re")
	await.That(t, "it follows", func() bool { return n.report(t, "c").GetPolicy().GetVersion() == 3 })
	_, err := n.Cells.Spawn(t.Context(), connect.NewRequest(&pb.SpawnRequest{Name: "d", Policy: &pb.PolicyRef{Name: "web"}, Restart: &pb.Restart{When: "never"}}))
	must(t, err)
	if err := n.exec(t.Context(), "d", "exit broken"); !errors.Is(err, cell.CellGone) {
		t.Error(err)
	}
	await.That(t, "what the client says goes before the policy", func() bool { return n.report(t, "d").GetState() == "crashed" })
}

func TestEnds(t *testing.T) {
	n := newNode(t)
	spawned(t, n.Client, &pb.SpawnRequest{Name: "c"})
	_, err := n.Cells.Quarantine(t.Context(), connect.NewRequest(&pb.QuarantineRequest{Name: "c", Reason: "looks odd"}))
	must(t, err)
	if r := n.report(t, "c"); r.GetState() != "quarantined" || !strings.Contains(r.GetReason(), "looks odd") {
		t.Errorf("%v", r)
	}
	if err := n.exec(t.Context(), "c", "post 1"); !errors.Is(err, cell.CellGone) {
		t.Errorf("%v", err)
	}
	for range 2 {
		_, err = n.Cells.Close(t.Context(), connect.NewRequest(&pb.CloseRequest{Name: "c"}))
		must(t, err)
	}
	if _, err := n.Cells.Inspect(t.Context(), connect.NewRequest(&pb.InspectRequest{Name: "c"})); !errors.Is(err, policystore.ErrNotFound) {
		t.Errorf("a cell that was closed is remembered: %v", err)
	}
	spawned(t, n.Client, &pb.SpawnRequest{Name: "c"})
	for range 2 {
		_, err = n.Cells.Kill(t.Context(), connect.NewRequest(&pb.KillRequest{Name: "c"}))
		must(t, err)
	}
	for _, what := range []error{
		func() error {
			_, err := n.Cells.Kill(t.Context(), connect.NewRequest(&pb.KillRequest{Name: "nobody"}))
			return err
		}(),
		func() error {
			_, err := n.Cells.Send(t.Context(), connect.NewRequest(&pb.SendRequest{Name: "nobody", Value: &pb.Value{Kind: &pb.Value_Json{Json: "1"}}}))
			return err
		}(),
	} {
		if !errors.Is(what, policystore.ErrNotFound) {
			t.Errorf("%v", what)
		}
	}
}

// However many wait for what a cell posts, it can be looked at and ended.
func TestReceiversHoldUpNobody(t *testing.T) {
	n := newNode(t)
	spawned(t, n.Client, &pb.SpawnRequest{Name: "c"})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 200)
	for range 200 {
		go func() {
			_, err := n.Cells.Recv(ctx, connect.NewRequest(&pb.RecvRequest{Name: "c"}))
			ended <- err
		}()
	}
	await.That(t, "they wait", func() bool { return n.server.Actors().Stats().Aside >= 200 })
	if n.report(t, "c").GetState() != "running" {
		t.Error("it does not run")
	}
	_, err := n.Cells.Kill(t.Context(), connect.NewRequest(&pb.KillRequest{Name: "c"}))
	must(t, err)
	for range 200 {
		if err := <-ended; !errors.Is(err, cell.CellGone) {
			t.Errorf("%v", err)
		}
	}
}

func TestLogs(t *testing.T) {
	n := newNode(t)
	spawned(t, n.Client, &pb.SpawnRequest{Name: "c"})
	must(t, n.exec(t.Context(), "c", "log one\ndeny open /x\nlog two"))
	logs := func(follow bool) *connect.ServerStreamForClient[pb.LogsResponse] {
		s, err := n.Cells.Logs(t.Context(), connect.NewRequest(&pb.LogsRequest{Name: "c", Follow: follow}))
		must(t, err)
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	read := func(s *connect.ServerStreamForClient[pb.LogsResponse], most int) (got []string) {
		for len(got) < most && s.Receive() {
			got = append(got, s.Msg().GetLog().GetMessage()+s.Msg().GetDenial().GetCapability())
			if l := s.Msg().GetLog(); l != nil && l.GetAt() == nil {
				t.Error("a log has no time")
			}
		}
		return got
	}
	await.That(t, "all is there", func() bool { return len(read(logs(false), 10)) == 3 })
	following := logs(true)
	if got := strings.Join(read(following, 3), " "); got != "one open two" {
		t.Errorf("%q", got)
	}
	must(t, n.exec(t.Context(), "c", "log three"))
	if got := read(following, 1); len(got) != 1 || got[0] != "three" {
		t.Errorf("%v", got)
	}
	_, err := n.Cells.Kill(t.Context(), connect.NewRequest(&pb.KillRequest{Name: "c"}))
	must(t, err)
	if got := read(following, 10); len(got) != 0 || following.Err() != nil {
		t.Errorf("after the end %v, %v", got, following.Err())
	}
}

func TestStats(t *testing.T) {
	n := newNode(t)
	for _, tenant := range []string{"a", "a", "b"} {
		spawned(t, n.Client, &pb.SpawnRequest{Tenant: tenant, RequestId: ""})
	}
	_, err := n.Cells.Exec(t.Context(), connect.NewRequest(&pb.ExecRequest{Tenant: "a", Name: spawned(t, n.Client, &pb.SpawnRequest{Tenant: "a", Name: "p"}).GetCell().GetName(), Code: "post 1\nlog x"}))
	must(t, err)
	await.That(t, "all is counted", func() bool {
		s, err := n.Cells.Stats(t.Context(), connect.NewRequest(&pb.StatsRequest{Tenant: "a"}))
		return err == nil && s.Msg.GetStates()["running"] == 3 && s.Msg.GetPosts() == 1 && s.Msg.GetWarmMisses() == 0
	})
	await.That(t, "all tenants' are counted, and hosts have cells ready", func() bool { // a host that is busy does not answer in time
		s, err := n.Cells.Stats(t.Context(), connect.NewRequest(&pb.StatsRequest{}))
		must(t, err)
		if spawns := s.Msg.GetWarmHits() + s.Msg.GetWarmMisses(); spawns != 4 {
			t.Fatalf("%d spawns", spawns)
		}
		return s.Msg.GetStates()["running"] == 4 && s.Msg.GetWarm() > 0
	})
	bound, _ := n.as(t, "viewer", "b")
	if _, err := bound.Cells.Stats(t.Context(), connect.NewRequest(&pb.StatsRequest{Tenant: "a"})); !errors.Is(err, policystore.ErrDenied) {
		t.Errorf("%v", err)
	}
	await.That(t, "a tenant's own is counted", func() bool {
		own, err := bound.Cells.Stats(t.Context(), connect.NewRequest(&pb.StatsRequest{}))
		must(t, err)
		if all := own.Msg.GetStates(); len(all) != 1 {
			t.Fatalf("%v", all)
		}
		return own.Msg.GetStates()["running"] == 1
	})
}

// A node without checkpoints says so, and none migrates cells.
func TestNoCheckpoints(t *testing.T) {
	n := newNode(t)
	_, err := n.Cells.Checkpoint(t.Context(), connect.NewRequest(&pb.CheckpointRequest{Name: "c"}))
	_, err2 := n.Cells.ListCheckpoints(t.Context(), connect.NewRequest(&pb.ListCheckpointsRequest{}))
	_, err3 := n.Cells.Restore(t.Context(), connect.NewRequest(&pb.RestoreRequest{}))
	stream, err4 := n.Cells.Migrate(t.Context(), connect.NewRequest(&pb.MigrateRequest{}))
	if err4 == nil {
		stream.Receive()
		err4 = stream.Err()
		_ = stream.Close()
	}
	for _, err := range []error{err, err2, err3, err4} {
		if err == nil || !errors.Is(err, fault.ErrUnimplemented) {
			t.Errorf("%v", err)
		}
	}
}
