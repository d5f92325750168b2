package server_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/api/server"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/policystore"
)

func (n *node) spawn(tb testing.TB, name, policy string) {
	tb.Helper()
	r := &pb.SpawnRequest{Name: name}
	if policy != "" {
		r.Policy = &pb.PolicyRef{Name: policy}
	}
	_, err := n.Cells.Spawn(tb.Context(), connect.NewRequest(r))
	must(tb, err)
}

func (n *node) exec(ctx context.Context, name, code string) error {
	_, err := n.Cells.Exec(ctx, connect.NewRequest(&pb.ExecRequest{Name: name, Code: code}))
	return err
}

func (n *node) report(t *testing.T, name string) *pb.CellReport {
	t.Helper()
	answer, err := n.Cells.Inspect(t.Context(), connect.NewRequest(&pb.InspectRequest{Name: name}))
	must(t, err)
	return answer.Msg.GetReport()
}

// recv renders what comes until the limit, or the end.
func (n *node) recv(t *testing.T, r *pb.StreamRequest) (items []string, end error) {
	t.Helper()
	stream, err := n.Cells.Stream(t.Context(), connect.NewRequest(r))
	must(t, err)
	defer func() { _ = stream.Close() }()
	for stream.Receive() {
		switch item := stream.Msg().GetItem().(type) {
		case *pb.StreamResponse_Post:
			items = append(items, item.Post.GetJson()+string(item.Post.GetRaw()))
		case *pb.StreamResponse_Error:
			items = append(items, item.Error.GetKind())
		case *pb.StreamResponse_Log:
			items = append(items, item.Log.GetLevel()+":"+item.Log.GetMessage())
		case *pb.StreamResponse_Denial:
			items = append(items, "denied:"+item.Denial.GetAction())
		case *pb.StreamResponse_Lost:
			items = append(items, fmt.Sprintf("lost:%d", item.Lost))
		}
	}
	return items, stream.Err()
}

func TestCellLife(t *testing.T) {
	for _, backend := range []cell.Backend{cell.SubInterpreter, cell.Process} {
		t.Run(string(backend), func(t *testing.T) {
			n, ctx, tenant, name := newNode(t), t.Context(), "shop", "one"
			n.put(t, "web", "math")
			started, err := n.Cells.Spawn(ctx, connect.NewRequest(&pb.SpawnRequest{Tenant: tenant, Name: name, Policy: &pb.PolicyRef{Name: "web", Sandbox: "main"}, Backend: string(backend)}))
			must(t, err)
			if r := started.Msg.GetReport(); r.GetState() != "running" || r.GetBackend() != string(backend) || r.GetPolicy().GetVersion() != 1 {
				t.Errorf("started %v", r)
			}
			_, err = n.Cells.Exec(ctx, connect.NewRequest(&pb.ExecRequest{Tenant: tenant, Name: name, Code: "log hello\npost 1\npost 2\nraise oops"}))
			var guest *cell.Error
			if !errors.As(err, &guest) || guest.Kind != cell.GuestError || !strings.Contains(guest.Message, "oops") {
				t.Errorf("exec: %v", err)
			}
			items, err := n.recv(t, &pb.StreamRequest{Tenant: tenant, Name: name, Limit: 3, All: true})
			if got := strings.Join(items, " "); err != nil || !strings.HasSuffix(got, "1 2 GuestError") || !strings.Contains(got, "hello") {
				t.Errorf("received %q, %v", got, err)
			}
			_, err = n.Cells.Kill(ctx, connect.NewRequest(&pb.KillRequest{Tenant: tenant, Name: name, Reason: "enough"}))
			must(t, err)
			items, err = n.recv(t, &pb.StreamRequest{Tenant: tenant, Name: name})
			if len(items) != 0 || !errors.Is(err, cell.CellGone) {
				t.Errorf("after the end %v, %v", items, err)
			}
			_, err = n.Cells.Exec(ctx, connect.NewRequest(&pb.ExecRequest{Tenant: tenant, Name: name, Code: "post 1"}))
			if !errors.Is(err, cell.CellGone) || !strings.Contains(err.Error(), "enough") {
				t.Errorf("exec after the end: %v", err)
			}
			await.That(t, "the cell is reported as killed", func() bool {
				answer, err := n.Cells.Inspect(ctx, connect.NewRequest(&pb.InspectRequest{Tenant: tenant, Name: name}))
				return err == nil && answer.Msg.GetReport().GetState() == "killed"
			})
		})
	}
}

func TestSpawnRefuses(t *testing.T) {
	n := newNode(t)
	n.put(t, "web", "math")
	_, err := n.Policies.Put(t.Context(), connect.NewRequest(&pb.PutRequest{Name: "strong", Text: []byte("version: \"1.0\"\nsandboxes:\n  a: {backend: process}\n  b: {}\n")}))
	must(t, err)
	_, err = n.Policies.Put(t.Context(), connect.NewRequest(&pb.PutRequest{Name: "grants", Text: []byte(
		"version: \"1.0\"\nsandboxes:\n  a:\n    capabilities:\n      kv: {namespace: x}\n")}))
	must(t, err)
	n.spawn(t, "taken", "web")
	for _, c := range []struct {
		name  string
		spawn *pb.SpawnRequest
		want  error
		says  string
	}{
		{"no such policy", &pb.SpawnRequest{Policy: &pb.PolicyRef{Name: "none"}}, policystore.ErrNotFound, "none"},
		{"a policy without a name", &pb.SpawnRequest{Policy: &pb.PolicyRef{}}, policystore.ErrInvalid, "name"},
		{"a policy and a document", &pb.SpawnRequest{Policy: &pb.PolicyRef{Name: "web"}, Document: string(permits("math"))}, cell.Invalid, "not both"},
		{"a document that is none", &pb.SpawnRequest{Document: "version: ["}, policystore.ErrInvalid, "document"},
		{"a document of two sandboxes", &pb.SpawnRequest{Document: "version: \"1.0\"\nsandboxes:\n  a: {}\n  b: {}\n"}, policystore.ErrNotFound, "a, b"},
		{"an import that the policy does not give", &pb.SpawnRequest{Policy: &pb.PolicyRef{Name: "web"}, AllowedImports: []string{"json"}}, cell.PolicyDenied, "json"},
		{"an import that nobody gets", &pb.SpawnRequest{AllowedImports: []string{"math", "ctypes"}}, cell.Invalid, "allowed_imports: ctypes cannot be granted: no guest may name it; "},
		{"an import that is no name", &pb.SpawnRequest{AllowedImports: []string{"a]b: c"}}, cell.Invalid, "module name"},
		{"more memory than the policy gives", &pb.SpawnRequest{Policy: &pb.PolicyRef{Name: "web"}, Limits: &pb.Limits{Memory: 1 << 30}}, cell.PolicyDenied, "memory"},
		{"a negative limit", &pb.SpawnRequest{Limits: &pb.Limits{Output: -1}}, cell.Invalid, "output"},
		{"a restart that is none", &pb.SpawnRequest{Restart: &pb.Restart{When: "always"}}, cell.Invalid, "on-failure"},
		{"a bad topic", &pb.SpawnRequest{Topics: []string{"a b"}}, cell.Invalid, "topic"},
		{"a long request_id", &pb.SpawnRequest{RequestId: strings.Repeat("a", 129)}, cell.Invalid, "request_id"},
		{"no such version", &pb.SpawnRequest{Policy: &pb.PolicyRef{Name: "web", Version: 7}}, policystore.ErrNotFound, "7"},
		{"no such sandbox", &pb.SpawnRequest{Policy: &pb.PolicyRef{Name: "web", Sandbox: "x"}}, policystore.ErrNotFound, "main"},
		{"which of two sandboxes", &pb.SpawnRequest{Policy: &pb.PolicyRef{Name: "strong"}}, policystore.ErrNotFound, "a"},
		{"a backend that is too weak", &pb.SpawnRequest{Policy: &pb.PolicyRef{Name: "strong", Sandbox: "a"}, Backend: "subinterpreter"}, cell.PolicyDenied, "process"},
		{"a backend that is none", &pb.SpawnRequest{Policy: &pb.PolicyRef{Name: "web"}, Backend: "vm"}, cell.Invalid, "vm"},
		{"a name that is taken", &pb.SpawnRequest{Name: "taken", Policy: &pb.PolicyRef{Name: "web"}}, cell.Invalid, "already"},
		{"a bad name", &pb.SpawnRequest{Name: "a b", Policy: &pb.PolicyRef{Name: "web"}}, cell.Invalid, "name"},
		{"a bad tenant", &pb.SpawnRequest{Tenant: "a/b", Policy: &pb.PolicyRef{Name: "web"}}, cell.Invalid, "tenant"},
		{"a capability that the node lacks", &pb.SpawnRequest{Policy: &pb.PolicyRef{Name: "grants"}}, cell.Invalid, "kv"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := n.Cells.Spawn(t.Context(), connect.NewRequest(c.spawn))
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want %v with %q", err, c.want, c.says)
			}
		})
	}
	all, err := n.Cells.List(t.Context(), connect.NewRequest(&pb.ListCellsRequest{}))
	if err != nil || len(all.Msg.GetReports()) != 1 {
		t.Errorf("cells are left of what was refused: %v, %v", all, err)
	}
}

// A policy's minimum makes a stronger cell of one that asks for nothing.
func TestSpawnTakesThePolicysBackend(t *testing.T) {
	n := newNode(t)
	_, err := n.Policies.Put(t.Context(), connect.NewRequest(&pb.PutRequest{Name: "strong", Text: []byte("version: \"1.0\"\nsandboxes:\n  a: {backend: process}\n")}))
	must(t, err)
	n.spawn(t, "c", "strong")
	if got := n.report(t, "c").GetBackend(); got != "process" {
		t.Errorf("backend %s", got)
	}
}

// An operator leaves the node's boundary only where the policy says so.
func TestSpawnKeepsTheNodesBackend(t *testing.T) {
	n := newNode(t, func(c *server.Config) { c.Backend = cell.Process })
	n.put(t, "silent", "math")
	_, err := n.Policies.Put(t.Context(), connect.NewRequest(&pb.PutRequest{Name: "names", Text: []byte("version: \"1.0\"\nsandboxes:\n  a: {backend: subinterpreter}\n")}))
	must(t, err)
	for _, c := range []struct {
		role, policy, backend string
		want                  string // "": it is refused
	}{
		{"operator", "silent", "subinterpreter", ""},
		{"operator", "", "subinterpreter", ""},
		{"operator", "silent", "process", "process"},
		{"operator", "silent", "", "process"},
		{"operator", "names", "subinterpreter", "subinterpreter"},
		{"operator", "names", "", "process"},
		{"policy-admin", "silent", "subinterpreter", "subinterpreter"},
	} {
		r := &pb.SpawnRequest{Backend: c.backend}
		if c.policy != "" {
			r.Policy = &pb.PolicyRef{Name: c.policy}
		}
		as, _ := n.as(t, c.role, "")
		got, err := as.Cells.Spawn(t.Context(), connect.NewRequest(r))
		switch {
		case c.want == "" && !errors.Is(err, cell.PolicyDenied):
			t.Errorf("%+v: %v", c, err)
		case c.want != "" && (err != nil || got.Msg.GetReport().GetBackend() != c.want):
			t.Errorf("%+v: %v, %v", c, got, err)
		}
	}
}

// A cell follows its policy, and one that keeps to a version does not.
func TestCellsFollow(t *testing.T) {
	n := newNode(t)
	n.put(t, "web", "math")
	n.spawn(t, "follows", "web")
	_, err := n.Cells.Spawn(t.Context(), connect.NewRequest(&pb.SpawnRequest{Name: "keeps", Policy: &pb.PolicyRef{Name: "web", Version: 1}}))
	must(t, err)
	n.put(t, "web", "json")
	await.That(t, "version 2 is in force, and it is said by which layers", func() bool { // which is said after it
		p := n.report(t, "follows").GetPolicy()
		return p.GetVersion() == 2 && len(p.GetLayers()) > 0
	})
	if r := n.report(t, "follows").GetPolicy(); r.GetProblem() != "" {
		t.Errorf("policy of the cell that follows: %v", r)
	}
	if v := n.report(t, "keeps").GetPolicy().GetVersion(); v != 1 {
		t.Errorf("the cell that keeps to version 1 has %d", v)
	}
	// What the node cannot grant leaves the cell as it is, and says so.
	_, err = n.Policies.Put(t.Context(), connect.NewRequest(&pb.PutRequest{Name: "web", Text: []byte(
		"version: \"1.0\"\nsandboxes:\n  main:\n    capabilities:\n      kv: {namespace: x}\n")}))
	must(t, err)
	await.That(t, "version 3 is refused", func() bool {
		p := n.report(t, "follows").GetPolicy()
		return p.GetVersion() == 2 && p.GetNewest() == 3 && strings.Contains(p.GetProblem(), "kv")
	})
	_, err = n.Policies.Delete(t.Context(), connect.NewRequest(&pb.DeleteRequest{Name: "web"}))
	must(t, err)
	await.That(t, "the deletion is known", func() bool { return n.report(t, "follows").GetPolicy().GetDeleted() })
	if err := n.exec(t.Context(), "follows", "post 1"); err != nil {
		t.Errorf("exec after all that: %v", err)
	}
}

// A program in another dialect than the policy's is refused.
func TestExecDialect(t *testing.T) {
	n := newNode(t)
	_, err := n.Policies.Put(t.Context(), connect.NewRequest(&pb.PutRequest{Name: "r", Text: []byte("version: \"1.0\"\nsandboxes:\n  a: {dialect: restricted}\n")}))
	must(t, err)
	n.spawn(t, "c", "r")
	_, err = n.Cells.Exec(t.Context(), connect.NewRequest(&pb.ExecRequest{Name: "c", Code: "post 1", Dialect: "python"}))
	if !errors.Is(err, cell.PolicyDenied) {
		t.Errorf("error %v", err)
	}
}

// The client's deadline is the guest's, and so is its leaving.
func TestExecEndsWithItsCall(t *testing.T) {
	n := newNode(t)
	n.put(t, "web", "math")
	n.spawn(t, "c", "web")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.exec(ctx, "c", "post 1\nspin") }()
	if items, err := n.recv(t, &pb.StreamRequest{Name: "c", Limit: 1}); err != nil || len(items) != 1 {
		t.Fatal(items, err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("exec ended with %v", err)
	}
	await.That(t, "the guest is interrupted", func() bool { return !n.report(t, "c").GetBusy() })
	if err := n.exec(t.Context(), "c", "post 2"); err != nil {
		t.Errorf("the cell is of no use any more: %v", err)
	}
}

// Ended cells are remembered, some of them, and their names are free.
func TestEndedCells(t *testing.T) {
	n := newNode(t)
	n.put(t, "web", "math")
	for i := range 20 {
		name := fmt.Sprintf("c%02d", i)
		n.spawn(t, name, "web")
		_, err := n.Cells.Kill(t.Context(), connect.NewRequest(&pb.KillRequest{Name: name}))
		must(t, err)
	}
	await.That(t, "16 are remembered", func() bool {
		all, err := n.Cells.List(t.Context(), connect.NewRequest(&pb.ListCellsRequest{}))
		return err == nil && len(all.Msg.GetReports()) == 16 && all.Msg.GetReports()[0].GetState() == "killed"
	})
	n.spawn(t, "c19", "web")
	if got := n.report(t, "c19").GetState(); got != "running" {
		t.Errorf("the new cell of the name is %s", got)
	}
}

// Calls under way when the server ends say so, and cells end.
func TestEnd(t *testing.T) {
	n := newNode(t)
	n.put(t, "web", "math")
	n.spawn(t, "c", "web")
	watch, err := n.Policies.Watch(t.Context(), connect.NewRequest(&pb.WatchRequest{}))
	must(t, err)
	defer func() { _ = watch.Close() }()
	ended := make(chan error, 1)
	go func() { ended <- n.exec(t.Context(), "c", "post 1\nspin") }()
	if _, err := n.recv(t, &pb.StreamRequest{Name: "c", Limit: 1}); err != nil {
		t.Fatal(err)
	}
	must(t, n.server.Close(t.Context()))
	if err := <-ended; !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("exec: %v", err)
	}
	for watch.Receive() {
		t.Log(watch.Msg())
	}
	if !errors.Is(watch.Err(), fault.ErrUnavailable) {
		t.Errorf("watch: %v", watch.Err())
	}
	if _, err := n.Policies.List(t.Context(), connect.NewRequest(&pb.ListRequest{})); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("after the end: %v", err)
	}
}
