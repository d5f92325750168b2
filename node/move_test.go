package node

import (
	"strconv"
	"testing"
	"time"

	"connectrpc.com/connect"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
)

// move moves a cell by way of this node, and returns what was told of it.
func (p *process) move(name, to string) (all []*pb.MigrateResponse, err error) {
	p.t.Helper()
	in, err := p.Cells.Migrate(p.t.Context(), connect.NewRequest(&pb.MigrateRequest{Name: name, Node: to}))
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }()
	for in.Receive() {
		all = append(all, in.Msg())
	}
	return all, in.Err()
}

func (p *process) inspect(name string) *pb.CellReport {
	p.t.Helper()
	out, err := p.Cells.Inspect(p.t.Context(), connect.NewRequest(&pb.InspectRequest{Name: name}))
	if err != nil {
		p.t.Fatalf("inspect %s by way of %s: %v", name, p.name, err)
	}
	return out.Msg.GetReport()
}

// A cell goes from node to node with its state and its id, and any node finds it.
func TestACellMoves(t *testing.T) {
	if testing.Short() {
		t.Skip("three nodes take a while to start")
	}
	all := processes(t)
	one := story{t, nil, all[0].Client}
	succeeds(t, "a cell starts on n2", func() error { return all[0].spawnPlain("a", "n2") })
	one.exec("a", "n = 0\ndef f():\n  global n\n  n += 1\n  return n")
	was := all[0].inspect("a")
	for i, to := range []string{"n1", "n3", "n2", "n1"} {
		if got := one.call("a", "f"); got != strconv.Itoa(i+1) {
			t.Fatalf("before it goes to %s it answers %s", to, got)
		}
		began := time.Now()
		told, err := all[i%3].move("a", to)
		if err != nil {
			t.Fatalf("to %s: %v, after %v", to, err, told)
		}
		last := told[len(told)-1]
		t.Logf("to %s: %s, of which it was paused for %s", to, time.Since(began).Round(time.Millisecond), last.GetPaused().AsDuration().Round(time.Microsecond))
		if last.GetPhase() != "done" || last.GetNode() != to || last.GetCopied() != last.GetSize() || last.GetSize() == 0 {
			t.Errorf("at last it is said: %v", last)
		}
		now := all[2].inspect("a")
		if now.GetNode() != to || now.GetId() != was.GetId() || now.GetEpoch() != was.GetEpoch()+uint64(i)+1 || now.GetState() != "running" {
			t.Fatalf("it went to %s and is %v", to, now)
		}
	}
}

// spawnPlain starts a cell without a policy on a node by way of this one.
func (p *process) spawnPlain(name, on string) error {
	_, err := p.Cells.Spawn(p.t.Context(), connect.NewRequest(&pb.SpawnRequest{Name: name, Placement: &pb.Placement{Node: on}}))
	return err
}
