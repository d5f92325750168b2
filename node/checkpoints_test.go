package node

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/api/client"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/checkpoint"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/policystore"
)

// story is a client and what its tests ask of cells.
type story struct {
	*testing.T
	node  *Node
	calls *client.Client
}

func (s story) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s story) put(name, text string) {
	s.Helper()
	_, err := s.calls.Policies.Put(s.Context(), connect.NewRequest(&pb.PutRequest{Name: name, Text: []byte(text)}))
	s.must(err)
}

func (s story) spawn(r *pb.SpawnRequest) *pb.CellReport {
	s.Helper()
	answer, err := s.calls.Cells.Spawn(s.Context(), connect.NewRequest(r))
	s.must(err)
	return answer.Msg.GetReport()
}

func (s story) exec(name, code string) {
	s.Helper()
	_, err := s.calls.Cells.Exec(s.Context(), connect.NewRequest(&pb.ExecRequest{Name: name, Code: code}))
	s.must(err)
}

// call returns what a function returns, in JSON.
func (s story) call(name, target string) string {
	s.Helper()
	answer, err := s.calls.Cells.Call(s.Context(), connect.NewRequest(&pb.CallRequest{Name: name, Target: target}))
	s.must(err)
	return answer.Msg.GetValue().GetJson()
}

func (s story) close(name string) {
	s.Helper()
	_, err := s.calls.Cells.Close(s.Context(), connect.NewRequest(&pb.CloseRequest{Name: name}))
	s.must(err)
}

func (s story) checkpoint(name string) *pb.CheckpointInfo {
	s.Helper()
	answer, err := s.calls.Cells.Checkpoint(s.Context(), connect.NewRequest(&pb.CheckpointRequest{Name: name}))
	s.must(err)
	return answer.Msg.GetCheckpoint()
}

func (s story) list(name string) []*pb.CheckpointInfo {
	s.Helper()
	answer, err := s.calls.Cells.ListCheckpoints(s.Context(), connect.NewRequest(&pb.ListCheckpointsRequest{Name: name}))
	s.must(err)
	return answer.Msg.GetCheckpoints()
}

func (s story) tryRestore(r *pb.RestoreRequest) (*pb.CellReport, error) {
	answer, err := s.calls.Cells.Restore(s.Context(), connect.NewRequest(r))
	if err != nil {
		return nil, err
	}
	return answer.Msg.GetReport(), nil
}

func (s story) restore(id, name string) *pb.CellReport {
	s.Helper()
	report, err := s.tryRestore(&pb.RestoreRequest{Id: id, Name: name})
	s.must(err)
	return report
}

// posts takes what a cell has posted.
func (s story) posts(name string) (all []string) {
	s.Helper()
	answer, err := s.calls.Cells.Recv(s.Context(), connect.NewRequest(&pb.RecvRequest{Name: name, Max: 100, Wait: durationpb.New(time.Second)}))
	s.must(err)
	for _, i := range answer.Msg.GetItems() {
		all = append(all, i.GetPost().GetJson())
	}
	return all
}

// as is a client with a token.
func (s story) as(role, tenant string) story {
	s.Helper()
	made, err := s.calls.Policies.CreateToken(s.Context(), connect.NewRequest(&pb.CreateTokenRequest{Name: role, Role: role, Tenant: tenant}))
	s.must(err)
	c, err := client.New(client.Config{Socket: s.node.Config().Socket, Token: made.Msg.GetSecret()})
	s.must(err)
	s.Cleanup(c.Close)
	return story{s.T, s.node, c}
}

const counting = "import math\nn = 0\ndef step():\n    global n\n    n += 1\n    return n\ndef take():\n    return recv()\n"

// A cell goes on after its checkpoint, and the cells that are restored go on from there: with the
// guest's variables, what it had not received and what was not received of it.
func TestCheckpointAndRestore(t *testing.T) {
	for _, backend := range []string{"subinterpreter", "process"} {
		t.Run(backend, func(t *testing.T) {
			n, calls, _ := opened(t, nil)
			s := story{t, n, calls}
			s.put("one", onePolicy)
			first := s.spawn(&pb.SpawnRequest{Name: "a", Policy: &pb.PolicyRef{Name: "one"}, Backend: backend})
			s.exec("a", counting+"post('unreceived')")
			s.call("a", "step")
			_, err := calls.Cells.Send(t.Context(), connect.NewRequest(&pb.SendRequest{Name: "a", Value: &pb.Value{Kind: &pb.Value_Json{Json: `"letter"`}}}))
			s.must(err)
			kept := s.checkpoint("a")
			if kept.GetCell().GetName() != "a" || kept.GetEpoch() != first.GetEpoch() || kept.GetPolicy().GetName() != "one" || kept.GetBackend() != backend || kept.GetSize() == 0 {
				t.Errorf("the checkpoint is %v", kept)
			}
			for range 3 {
				s.call("a", "step")
			}
			second := s.restore(kept.GetId(), "b")
			if second.GetBackend() != backend || second.GetId() == first.GetId() || second.GetPosts() != 1 {
				t.Errorf("restored is %v", second)
			}
			if got := s.call("b", "step"); got != "2" {
				t.Errorf("b is at %s", got)
			}
			if got := s.call("a", "step"); got != "5" {
				t.Errorf("a is at %s", got)
			}
			if got := s.call("b", "take"); got != `"letter"` {
				t.Errorf("b's inbox has %s", got)
			}
			for _, name := range []string{"a", "b"} {
				if got := s.posts(name); len(got) != 1 || got[0] != `"unreceived"` {
					t.Errorf("%s has posted %v", name, got)
				}
			}
			if _, err := s.tryRestore(&pb.RestoreRequest{Id: kept.GetId()}); !errors.Is(err, cell.Invalid) {
				t.Errorf("the name is taken: %v", err)
			}
			s.close("a")
			if again := s.restore(kept.GetId(), ""); again.GetCell().GetName() != "a" || s.call("a", "step") != "2" {
				t.Errorf("restored under its own name: %v", again)
			}
		})
	}
}

// A restored cell is under the policy of now, and on no weaker boundary than it was.
func TestRestoreUnderTheCurrentPolicy(t *testing.T) {
	n, calls, _ := opened(t, nil)
	s := story{t, n, calls}
	s.put("one", onePolicy)
	s.spawn(&pb.SpawnRequest{Name: "a", Policy: &pb.PolicyRef{Name: "one"}})
	s.spawn(&pb.SpawnRequest{Name: "strong", Policy: &pb.PolicyRef{Name: "one"}, Backend: "process"})
	s.exec("a", counting)
	kept, strong := s.checkpoint("a"), s.checkpoint("strong")

	if got := s.restore(strong.GetId(), "strong2"); got.GetBackend() != "process" {
		t.Errorf("a process came back as %s", got.GetBackend())
	}
	s.put("one", "version: 1.0\nsandboxes:\n  main:\n    imports: [math]\n    backend: process\n")
	if got := s.restore(kept.GetId(), "b"); got.GetBackend() != "process" || got.GetPolicy().GetVersion() != 2 {
		t.Errorf("the policy wants a process: %v", got)
	}
	s.put("one", "version: 1.0\nsandboxes:\n  main:\n    imports: [json]\n")
	if _, err := s.tryRestore(&pb.RestoreRequest{Id: kept.GetId(), Name: "c"}); !errors.Is(err, cell.PolicyDenied) || !strings.Contains(err.Error(), "math") {
		t.Errorf("the policy has no math any more: %v", err)
	}
	if _, err := calls.Cells.Inspect(t.Context(), connect.NewRequest(&pb.InspectRequest{Name: "c"})); !errors.Is(err, policystore.ErrNotFound) {
		t.Errorf("what could not be restored is there: %v", err)
	}
	_, err := calls.Policies.Delete(t.Context(), connect.NewRequest(&pb.DeleteRequest{Name: "one"}))
	s.must(err)
	if _, err := s.tryRestore(&pb.RestoreRequest{Id: kept.GetId(), Name: "c"}); !errors.Is(err, policystore.ErrNotFound) {
		t.Errorf("there is no policy any more: %v", err)
	}
}

// The same request has one checkpoint, and one cell.
func TestCheckpointsOnce(t *testing.T) {
	n, calls, _ := opened(t, nil)
	s := story{t, n, calls}
	s.spawn(&pb.SpawnRequest{Name: "a"})
	var first string
	for range 2 {
		got, err := calls.Cells.Checkpoint(t.Context(), connect.NewRequest(&pb.CheckpointRequest{Name: "a", RequestId: "r"}))
		s.must(err)
		if id := got.Msg.GetCheckpoint().GetId(); first == "" {
			first = id
		} else if id != first {
			t.Errorf("two checkpoints: %s, %s", first, id)
		}
	}
	one, err := s.tryRestore(&pb.RestoreRequest{Id: first, Name: "b", RequestId: "r"})
	s.must(err)
	two, err := s.tryRestore(&pb.RestoreRequest{Id: first, Name: "b", RequestId: "r"})
	s.must(err)
	if one.GetId() != two.GetId() {
		t.Errorf("two cells: %s, %s", one.GetId(), two.GetId())
	}
}

func TestWhoMayCheckpoint(t *testing.T) {
	n, calls, _ := opened(t, nil)
	s := story{t, n, calls}
	s.spawn(&pb.SpawnRequest{Tenant: "acme", Name: "a"})
	own := s.as("operator", "acme")
	made, err := own.calls.Cells.Checkpoint(t.Context(), connect.NewRequest(&pb.CheckpointRequest{Name: "a"}))
	s.must(err)
	id := made.Msg.GetCheckpoint().GetId()
	viewer, other := s.as("viewer", "acme"), s.as("operator", "shop")
	if got := viewer.list(""); len(got) != 1 {
		t.Errorf("a viewer sees %v", got)
	}
	if got := other.list(""); len(got) != 0 {
		t.Errorf("another tenant sees %v", got)
	}
	if _, err := viewer.tryRestore(&pb.RestoreRequest{Id: id, Name: "b"}); !errors.Is(err, policystore.ErrDenied) {
		t.Errorf("a viewer restores: %v", err)
	}
	if _, err := other.tryRestore(&pb.RestoreRequest{Id: id, Name: "b"}); !errors.Is(err, policystore.ErrNotFound) {
		t.Errorf("another tenant restores: %v", err)
	}
	if _, err := other.calls.Cells.DeleteCheckpoint(t.Context(), connect.NewRequest(&pb.DeleteCheckpointRequest{Id: id})); !errors.Is(err, policystore.ErrNotFound) {
		t.Errorf("another tenant removes: %v", err)
	}
	if _, err := s.tryRestore(&pb.RestoreRequest{Id: id, Tenant: "shop"}); !errors.Is(err, cell.Invalid) {
		t.Errorf("for another tenant: %v", err)
	}
	if _, err := own.tryRestore(&pb.RestoreRequest{Id: id, Name: "b"}); err != nil {
		t.Errorf("its own tenant: %v", err)
	}
	// Who may not spawn a cell under a document of its own may not restore one.
	s.spawn(&pb.SpawnRequest{Tenant: "acme", Name: "d", Document: onePolicy})
	made, err = own.calls.Cells.Checkpoint(t.Context(), connect.NewRequest(&pb.CheckpointRequest{Name: "d"}))
	s.must(err)
	if _, err := own.tryRestore(&pb.RestoreRequest{Id: made.Msg.GetCheckpoint().GetId(), Name: "e"}); !errors.Is(err, policystore.ErrDenied) {
		t.Errorf("an operator restores a cell under a document: %v", err)
	}
}

func TestCheckpointBounds(t *testing.T) {
	n, calls, _ := opened(t, func(c *Config) { c.CheckpointKeep, c.CheckpointTenantCount = 2, 3 })
	s := story{t, n, calls}
	for _, name := range []string{"a", "b"} {
		s.spawn(&pb.SpawnRequest{Name: name})
	}
	var last *pb.CheckpointInfo
	for range 3 {
		last = s.checkpoint("a")
	}
	if got := s.list("a"); len(got) != 2 || got[0].GetId() != last.GetId() {
		t.Errorf("kept are %v", got)
	}
	s.checkpoint("b")
	if _, err := calls.Cells.Checkpoint(t.Context(), connect.NewRequest(&pb.CheckpointRequest{Name: "b"})); !errors.Is(err, policystore.ErrLimited) {
		t.Errorf("the tenant has 3: %v", err)
	}
	_, err := calls.Cells.DeleteCheckpoint(t.Context(), connect.NewRequest(&pb.DeleteCheckpointRequest{Id: last.GetId()}))
	s.must(err)
	s.checkpoint("b")
}

// What no state can carry is named, and the cell goes on.
func TestNotCheckpointable(t *testing.T) {
	n, calls, _ := opened(t, nil)
	s := story{t, n, calls}
	s.spawn(&pb.SpawnRequest{Name: "a"})
	s.exec("a", "x = {'rows': [1, (i for i in range(3))]}\ndef f(): return 7")
	_, err := calls.Cells.Checkpoint(t.Context(), connect.NewRequest(&pb.CheckpointRequest{Name: "a"}))
	if !errors.Is(err, cell.NotCheckpointable) || !strings.Contains(err.Error(), "globals['x']['rows'][1]: generator") {
		t.Error(err)
	}
	if s.call("a", "f") != "7" || len(s.list("")) != 0 {
		t.Error("the cell does not go on, or something is kept")
	}
}

// Cells are checkpointed by time and number, and before the node ends; a node that has the same data
// restores them.
func TestCheckpointsByThemselves(t *testing.T) {
	var data string
	n, calls, logged := opened(t, func(c *Config) { data = c.Data })
	s := story{t, n, calls}
	s.put("often", "version: 1.0\nsandboxes:\n  main:\n    checkpoint: {every: 1s, messages: 3}\n")
	s.spawn(&pb.SpawnRequest{Name: "often", Policy: &pb.PolicyRef{Name: "often"}})
	s.spawn(&pb.SpawnRequest{Name: "last", Checkpoint: &pb.CheckpointPolicy{BeforeDrain: true}})
	s.spawn(&pb.SpawnRequest{Name: "never"})
	step := "n = 0\ndef step():\n    global n\n    n += 1\n    return n"
	for _, name := range []string{"often", "last", "never"} {
		s.exec(name, step)
	}
	for range 2 {
		s.call("often", "step")
	}
	await.That(t, "a checkpoint by number", func() bool { return len(s.list("often")) >= 1 }) // on a busy machine by time, too
	before := len(s.list("often"))
	s.call("often", "step")
	await.That(t, "a checkpoint by time", func() bool { return len(s.list("often")) > before })
	s.call("last", "step")
	if err := n.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	n.save()
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(logged.String(), "saved=1 failed=0") {
		t.Errorf("it logged %s", logged)
	}
	n, calls, _ = opened(t, func(c *Config) { c.Data = data })
	s = story{t, n, calls}
	found := s.list("last")
	if len(found) != 1 || len(s.list("never")) != 0 {
		t.Fatalf("kept are %v", s.list(""))
	}
	s.restore(found[0].GetId(), "")
	if got := s.call("last", "step"); got != "2" {
		t.Errorf("it is at %s", got)
	}
}

// A cell whose policy says so is started again with its newest checkpoint that is there when its host dies.
func TestRestartFromTheLastCheckpoint(t *testing.T) {
	n, calls, _ := opened(t, nil)
	s := story{t, n, calls}
	s.put("again", "version: 1.0\nsandboxes:\n  main:\n    restart: {strategy: checkpoint}\n")
	for _, name := range []string{"kept", "removed", "fresh"} {
		first := s.spawn(&pb.SpawnRequest{Name: name, Policy: &pb.PolicyRef{Name: "again"}})
		s.exec(name, "n = 41\ndef step():\n    global n\n    n += 1\n    return n")
		if name != "fresh" {
			s.checkpoint(name)
		}
		s.call(name, "step")
		if name == "removed" { // the one before is left
			_, err := calls.Cells.DeleteCheckpoint(t.Context(), connect.NewRequest(&pb.DeleteCheckpointRequest{Id: s.checkpoint(name).GetId()}))
			s.must(err)
		}
		s.call(name, "step")
		at := actors.Address{Tenant: "default", Name: name}
		seen := n.server.Actors().Ask(t.Context(), actors.Envelope{To: at, Body: actors.Inspect{}})
		s.must(seen.Err)
		s.must(syscall.Kill(seen.Report.HostPID, syscall.SIGKILL))
		await.That(t, "it runs again", func() bool {
			now, err := calls.Cells.Inspect(t.Context(), connect.NewRequest(&pb.InspectRequest{Name: name}))
			return err == nil && now.Msg.GetReport().GetState() == "running" && now.Msg.GetReport().GetEpoch() > first.GetEpoch()
		})
		if name != "fresh" {
			if got := s.call(name, "step"); got != "42" {
				t.Errorf("it is at %s", got)
			}
		} else if _, err := calls.Cells.Call(t.Context(), connect.NewRequest(&pb.CallRequest{Name: name, Target: "step"})); !errors.Is(err, cell.Invalid) && !errors.Is(err, cell.GuestError) {
			t.Errorf("without a checkpoint there is a state: %v", err)
		}
		s.close(name) // its host is the next one's
	}
}

// A file goes to another node: as it is to one with the same keys, and sealed to a key to any.
func TestCheckpointsTravel(t *testing.T) {
	n, here, _ := opened(t, nil)
	s := story{t, n, here}
	s.spawn(&pb.SpawnRequest{Name: "a"})
	s.exec("a", "x = 42\ndef f(): return x")
	kept := s.checkpoint("a")
	identity, err := checkpoint.NewIdentity()
	s.must(err)
	secret, err := identity.Text()
	s.must(err)
	file := s.export(kept.GetId(), identity.Recipient().Text())

	far, there, _ := opened(t, nil)
	o := story{t, far, there}
	if _, err := o.tryImport(s.export(kept.GetId(), ""), ""); !errors.Is(err, cell.Invalid) || !strings.Contains(err.Error(), "no key") {
		t.Errorf("without the key: %v", err)
	}
	taken, err := o.tryImport(file, secret)
	s.must(err)
	o.restore(taken.GetId(), "")
	if o.call("a", "f") != "42" {
		t.Error("another state")
	}
	if _, err := o.as("operator", "").tryImport(file, secret); !errors.Is(err, policystore.ErrDenied) {
		t.Errorf("an operator takes in what others sealed: %v", err)
	}
	_, err = here.Cells.DeleteCheckpoint(t.Context(), connect.NewRequest(&pb.DeleteCheckpointRequest{Id: kept.GetId()}))
	s.must(err)
	again, err := s.as("operator", "default").tryImport(o.export(taken.GetId(), ""), "")
	if err == nil {
		t.Errorf("it has the other node's key: %v", again)
	}
}

func (s story) export(id, recipient string) []byte {
	s.Helper()
	stream, err := s.calls.Cells.ExportCheckpoint(s.Context(), connect.NewRequest(&pb.ExportCheckpointRequest{Id: id, Recipient: recipient}))
	s.must(err)
	var file []byte
	for stream.Receive() {
		file = append(file, stream.Msg().GetData()...)
	}
	s.must(errors.Join(stream.Err(), stream.Close()))
	return file
}

func (s story) tryImport(file []byte, identity string) (*pb.CheckpointInfo, error) {
	stream := s.calls.Cells.ImportCheckpoint(s.Context())
	for at := 0; at < len(file); at += 1000 {
		_ = stream.Send(&pb.ImportCheckpointRequest{Identity: identity, Data: file[at:min(at+1000, len(file))]})
	}
	answer, err := stream.CloseAndReceive()
	if err != nil {
		return nil, err
	}
	return answer.Msg.GetCheckpoint(), nil
}

// Each way in which a checkpoint is not the one that is meant is refused with its reason, and no cell
// is there afterwards.
func TestRefusedCheckpoints(t *testing.T) {
	for _, c := range []struct {
		name string
		ask  *pb.RestoreRequest
		harm func(data string, file []byte) []byte // of the file; nil: none
		want error
		says string
	}{
		{"another cell", &pb.RestoreRequest{Cell: "b"}, nil, cell.Invalid, "it is of default/a, not default/b"},
		{"another epoch", &pb.RestoreRequest{Epoch: 7}, nil, cell.Invalid, "it is of epoch 1, not 7"},
		{"another tenant", &pb.RestoreRequest{Tenant: "shop"}, nil, cell.Invalid, "is of tenant default"},
		{"another node", &pb.RestoreRequest{Node: "far"}, nil, cell.Invalid, "export it, and import it on node"},
		{"a flipped bit", &pb.RestoreRequest{}, func(_ string, b []byte) []byte { b[len(b)/2] ^= 1; return b }, policystore.ErrCorrupt, "is damaged"},
		{"a flipped bit in the header", &pb.RestoreRequest{}, func(_ string, b []byte) []byte {
			return []byte(strings.Replace(string(b), `"epoch":1`, `"epoch":2`, 1))
		}, policystore.ErrCorrupt, "is damaged"},
		{"truncated", &pb.RestoreRequest{}, func(_ string, b []byte) []byte { return b[:len(b)-100] }, policystore.ErrCorrupt, "its end is missing"},
		{"another key", &pb.RestoreRequest{}, func(data string, b []byte) []byte {
			_ = os.Remove(filepath.Join(data, ringFile))
			return b
		}, cell.Invalid, "no key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var data string
			n, calls, _ := opened(t, func(c *Config) { data = c.Data })
			s := story{t, n, calls}
			s.spawn(&pb.SpawnRequest{Name: "a"})
			s.exec("a", "x = 42")
			kept := s.checkpoint("a")
			if c.harm != nil {
				path := filepath.Join(data, archiveDir, kept.GetId()+".ckpt")
				file, err := os.ReadFile(path)
				s.must(err)
				s.must(os.WriteFile(path, c.harm(data, file), 0o600))
			}
			if c.name == "another key" { // the ring is read once
				s.must(n.Close())
				n, calls, _ = opened(t, func(c *Config) { c.Data = data })
				s = story{t, n, calls}
			}
			c.ask.Id, c.ask.Name = kept.GetId(), "restored"
			_, err := s.tryRestore(c.ask)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v", err)
			}
			t.Logf("%s: %v", c.name, err)
			if _, err := calls.Cells.Inspect(context.Background(), connect.NewRequest(&pb.InspectRequest{Name: "restored"})); !errors.Is(err, policystore.ErrNotFound) {
				t.Errorf("there is a cell: %v", err)
			}
		})
	}
}
