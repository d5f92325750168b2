package node

import (
	"context"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/internal/await"
)

// counter is a cell that answers how often it was called.
const counter = "n = 0\ndef f():\n  global n\n  n += 1\n  return n"

// tryCall is call that may fail.
func (p *process) tryCall(name, function string) (string, error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), 5*time.Second)
	defer cancel()
	out, err := p.Cells.Call(ctx, connect.NewRequest(&pb.CallRequest{Name: name, Target: function}))
	if err != nil {
		return "", err
	}
	return out.Msg.GetValue().GetJson(), nil
}

// copied waits until so many checkpoints of a node's cells have all of their copies.
func (p *process) copied(count string) {
	p.t.Helper()
	await.That(p.t, "a checkpoint of "+p.name+" is copied", func() bool {
		return strings.Contains(metrics(p.t, p.data+".sock"), `pyisolate_checkpoint_replications_total{outcome="full"} `+count)
	})
}

// countsOn2 starts three nodes, and on n2, which is to die, a cell "a" that counts. other is a node that stays, and
// one tells by way of it.
func countsOn2(t *testing.T, saved *pb.CheckpointPolicy) (dead, other *process, one story) {
	t.Helper()
	all := processes(t)
	dead, other = all[1], all[0]
	one = story{t, nil, other.Client}
	succeeds(t, "a cell starts on n2", func() error {
		_, err := other.Cells.Spawn(t.Context(), connect.NewRequest(&pb.SpawnRequest{Name: "a", Placement: &pb.Placement{Node: dead.name}, Checkpoint: saved}))
		return err
	})
	one.exec("a", counter)
	return dead, other, one
}

// A cell whose checkpoints have copies goes on elsewhere when its node is lost, with the newest that was
// copied, and its node comes back without it.
func TestACellOutlivesItsNode(t *testing.T) {
	if testing.Short() {
		t.Skip("three nodes take a while to start")
	}
	dead, other, one := countsOn2(t, &pb.CheckpointPolicy{Messages: 4, Replicas: 1})
	for range 3 {
		one.call("a", "f")
	}
	dead.copied("1")
	was := other.inspect("a")
	kept := one.list("a")
	if len(kept) != 1 || len(kept[0].GetNodes()) != 2 {
		t.Fatalf("its checkpoints are %v", kept)
	}
	if got := one.call("a", "f"); got != "4" { // which no checkpoint has
		t.Fatalf("it answers %s", got)
	}
	dead.signal(syscall.SIGKILL)
	began := time.Now()
	var answer string
	succeeds(t, "the cell goes on", func() (err error) {
		answer, err = other.tryCall("a", "f")
		return err
	})
	t.Logf("it answers again after %s", time.Since(began).Round(time.Millisecond))
	now := other.inspect("a")
	if answer != "4" || now.GetNode() == dead.name || now.GetEpoch() <= was.GetEpoch() || now.GetId() != was.GetId() {
		t.Fatalf("it answers %s, and was %v, and is %v", answer, was, now)
	}
	_ = dead.running.Wait()
	dead.start()
	dead.seesAll(3)
	if hosts := running(t, dead.running.Process.Pid); len(hosts) > 0 {
		t.Logf("hosts of it: %v", hosts)
	}
	succeeds(t, "back again, it reaches the cell", func() error {
		_, err := dead.tryCall("a", "f")
		return err
	})
	if got := dead.inspect("a"); got.GetNode() != now.GetNode() || got.GetEpoch() != now.GetEpoch() {
		t.Errorf("back again it tells %v", got)
	}
}

// A move that fails leaves the checkpoint that was saved before, and its copies: the cell goes on from it when its
// node dies.
func TestAFailedMoveLeavesTheSavedCheckpoint(t *testing.T) {
	if testing.Short() {
		t.Skip("three nodes take a while to start")
	}
	dead, other, one := countsOn2(t, &pb.CheckpointPolicy{Replicas: 1})
	one.call("a", "f")
	saved, err := other.Cells.Checkpoint(t.Context(), connect.NewRequest(&pb.CheckpointRequest{Name: "a"}))
	one.must(err)
	id, nodes := saved.Msg.GetCheckpoint().GetId(), saved.Msg.GetCheckpoint().GetNodes()
	if len(nodes) != 2 {
		t.Fatalf("the checkpoint is with %v", nodes)
	}
	to := "n1"
	if slices.Contains(nodes, to) {
		to = "n3"
	}
	one.call("a", "f")
	one.exec("a", "class Bad:\n  def __setstate__(self, state): raise ValueError('it cannot be restored')\nbad = Bad()\nbad.x = 1")
	if _, err := other.move("a", to); err == nil {
		t.Fatalf("it has moved to %s, where it cannot be restored", to)
	}
	if got := one.call("a", "f"); got != "3" {
		t.Fatalf("it answers %s", got)
	}
	if got := one.list("a"); !slices.ContainsFunc(got, func(c *pb.CheckpointInfo) bool { return c.GetId() == id && len(c.GetNodes()) == 2 }) {
		t.Errorf("its checkpoints are %v", got)
	}
	dead.signal(syscall.SIGKILL)
	var answer string
	succeeds(t, "the cell goes on", func() (err error) {
		answer, err = other.tryCall("a", "f")
		return err
	})
	if answer != "2" {
		t.Errorf("it answers %s, not as of its saved checkpoint", answer)
	}
	if now := other.inspect("a"); !slices.Contains(nodes, now.GetNode()) || now.GetNode() == dead.name {
		t.Errorf("it is %v; the checkpoint was with %v", now, nodes)
	}
}

// A node that is drained keeps no copies of what it could not have go on: they go to another, and so does the cell
// when its own node dies.
func TestCopiesLeaveADrainingNode(t *testing.T) {
	if testing.Short() {
		t.Skip("three nodes take a while to start")
	}
	dead, other, one := countsOn2(t, &pb.CheckpointPolicy{Replicas: 1})
	one.call("a", "f")
	copies := func() []string {
		saved, err := other.Cells.Checkpoint(t.Context(), connect.NewRequest(&pb.CheckpointRequest{Name: "a"}))
		one.must(err)
		return saved.Msg.GetCheckpoint().GetNodes()
	}
	heir, third := "n1", "n3"
	if nodes := copies(); len(nodes) != 2 {
		t.Fatalf("the checkpoint is with %v", nodes)
	} else if nodes[1] == third {
		heir, third = third, heir
	}
	_, err := other.Cluster.Drain(t.Context(), connect.NewRequest(&pb.DrainRequest{Node: heir}))
	one.must(err)
	await.That(t, "the copy is with "+third, func() bool {
		kept := one.list("a")
		return len(kept) == 1 && slices.Contains(kept[0].GetNodes(), third) && !slices.Contains(kept[0].GetNodes(), heir)
	})
	if nodes := copies(); !slices.Equal(nodes, []string{dead.name, third}) {
		t.Fatalf("the next checkpoint is with %v", nodes)
	}
	dead.signal(syscall.SIGKILL)
	succeeds(t, "the cell goes on", func() (err error) {
		_, err = other.tryCall("a", "f")
		return err
	})
	if now := other.inspect("a"); now.GetNode() != third {
		t.Errorf("it is %v", now)
	}
}
