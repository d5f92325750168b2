package node

import (
	"crypto/rand"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/policystore"
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

// A cell goes from node to node with its state and its id, and any node finds it. Where it cannot go it stays.
func TestACellMoves(t *testing.T) {
	if testing.Short() {
		t.Skip("three nodes take a while to start")
	}
	all := processes(t)
	t.Run("and goes on", func(t *testing.T) { goesOn(t, all) })
	t.Run("or stays", func(t *testing.T) { stays(t, all) })
	t.Run("unless it is aborted", func(t *testing.T) { isAborted(t, all) })
	t.Run("and those that receive follow", func(t *testing.T) { isFollowed(t, all) })
	t.Run("and nothing is done twice", func(t *testing.T) { isAskedMeanwhile(t, all) })
	t.Run("and checkpoints and moves go after it", func(t *testing.T) { isSavedMeanwhile(t, all) })
	t.Run("and all are spread evenly", func(t *testing.T) { areBalanced(t, all) })
	t.Run("and all leave a node that is drained", func(t *testing.T) { allLeave(t, all) })
}

func goesOn(t *testing.T, all []*process) {
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
	if got := one.list("a"); len(got) != 1 || got[0].GetNodes()[0] != "n1" {
		t.Errorf("states are left: %v", got)
	}
}

// What cannot go elsewhere goes on where it is.
func stays(t *testing.T, all []*process) {
	one := story{t, nil, all[0].Client}
	succeeds(t, "a cell starts", func() error { return all[0].spawnPlain("b", "n2") })
	one.exec("b", "n = 41\ndef f(): return n + 1\nheld = (i for i in range(3))")
	for to, want := range map[string]cell.Kind{"n2": cell.Invalid, "n9": cell.Invalid, "": cell.Invalid, "n3": cell.NotCheckpointable} {
		if _, err := all[0].move("b", to); cell.KindOf(err) != want {
			t.Errorf("to %q: %v", to, err)
		}
	}
	if got := one.call("b", "f"); got != "42" {
		t.Errorf("it answers %s", got)
	}
	if now := all[2].inspect("b"); now.GetNode() != "n2" || now.GetState() != "running" || now.GetMigration() != nil {
		t.Errorf("it is %v", now)
	}
	one.exec("b", "del held")
	if _, err := all[0].move("b", "n3"); err != nil {
		t.Error(err)
	}
	if got := one.call("b", "f"); got != "42" {
		t.Errorf("it answers %s", got)
	}
}

// A move that waits for what runs is given up when somebody says so, or nobody waits for it any more.
func isAborted(t *testing.T, all []*process) {
	one := story{t, nil, all[0].Client}
	succeeds(t, "a cell starts", func() error { return all[0].spawnPlain("c", "n2") })
	one.exec("c", "n = 1\ndef slow():\n  post('begun')\n  recv()\n  return n")
	answered := make(chan string, 1)
	go func() { answered <- one.call("c", "slow") }()
	awaitPost(t, all[0].Client, "c")
	moves := make(chan error, 1)
	go func() { _, err := all[0].move("c", "n3"); moves <- err }()
	await.That(t, "it is said that it waits", func() bool { return all[1].inspect("c").GetMigration().GetPhase() == "freeze" })
	if _, err := all[2].move("c", "n1"); cell.KindOf(err) != cell.Busy {
		t.Errorf("moved twice at once: %v", err)
	}
	abort := func() error {
		_, err := all[2].Cells.AbortMigration(t.Context(), connect.NewRequest(&pb.AbortMigrationRequest{Name: "c"}))
		return err
	}
	if err := abort(); err != nil {
		t.Errorf("abort: %v", err)
	}
	if err := <-moves; cell.KindOf(err) != cell.Cancelled {
		t.Errorf("the move that was aborted: %v", err)
	}
	if err := abort(); !errors.Is(err, policystore.ErrNotFound) {
		t.Errorf("abort of nothing: %v", err)
	}
	_, err := all[0].Cells.Send(t.Context(), connect.NewRequest(&pb.SendRequest{Name: "c", Value: &pb.Value{Kind: &pb.Value_Json{Json: "1"}}}))
	one.must(err)
	if got := <-answered; got != "1" {
		t.Errorf("what ran has answered %s", got)
	}
	if now := all[0].inspect("c"); now.GetNode() != "n2" || now.GetMigration() != nil {
		t.Errorf("it is %v", now)
	}
	if _, err := all[0].move("c", "n3"); err != nil {
		t.Errorf("another one: %v", err)
	}
}

// What a cell posts reaches who receives it once and in order, wherever the cell goes.
func isFollowed(t *testing.T, all []*process) {
	one := story{t, nil, all[0].Client}
	succeeds(t, "a cell starts", func() error { return all[0].spawnPlain("d", "n1") })
	one.exec("d", "n = 0\ndef say():\n  global n\n  n += 1\n  post(n)")
	const posts = 60
	got := make(chan []string, len(all))
	in, err := all[2].Cells.Stream(t.Context(), connect.NewRequest(&pb.StreamRequest{Name: "d", Limit: posts}))
	one.must(err)
	go func() {
		var items []string
		for in.Receive() {
			if p := in.Msg().GetPost(); p != nil {
				items = append(items, p.GetJson())
			}
		}
		if in.Err() != nil {
			items = append(items, in.Err().Error())
		}
		got <- items
	}()
	for i := range posts {
		if i%10 == 5 {
			to := []string{"n2", "n3", "n1"}[i/10%3]
			if told, err := all[0].move("d", to); err != nil {
				t.Fatalf("to %s: %v, after %v", to, err, told)
			}
		}
		one.call("d", "say")
	}
	for i, item := range <-got {
		if item != strconv.Itoa(i+1) {
			t.Fatalf("item %d is %s", i+1, item)
		}
	}
}

// Calls that are made while a cell moves are done once each.
func isAskedMeanwhile(t *testing.T, all []*process) {
	one := story{t, nil, all[0].Client}
	succeeds(t, "a cell starts", func() error { return all[0].spawnPlain("e", "n1") })
	one.exec("e", "n = 0\ndef f():\n  global n\n  n += 1\n  return n")
	var asking sync.WaitGroup
	stop := make(chan struct{})
	var made atomic.Int64
	for _, p := range all {
		asking.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				_, err := p.Cells.Call(t.Context(), connect.NewRequest(&pb.CallRequest{Name: "e", Target: "f", RequestId: rand.Text(), Acknowledged: true}))
				if err != nil {
					t.Errorf("by way of %s: %v", p.name, err)
					return
				}
				made.Add(1)
			}
		})
	}
	for _, to := range []string{"n2", "n3", "n1", "n3", "n2"} {
		if told, err := all[0].move("e", to); err != nil {
			t.Errorf("to %s: %v, after %v", to, err, told)
		}
	}
	close(stop)
	asking.Wait()
	if got := one.call("e", "f"); got != strconv.FormatInt(made.Load()+1, 10) {
		t.Errorf("after %d calls it counts %s", made.Load(), got)
	}
	t.Logf("%d calls while it moved five times", made.Load())
}

// Checkpoints and moves that are asked for while a cell moves are made where it is then. Two moves at a time are not.
func isSavedMeanwhile(t *testing.T, all []*process) {
	succeeds(t, "a cell starts", func() error { return all[0].spawnPlain("h", "n1") })
	var asking sync.WaitGroup
	stop := make(chan struct{})
	var saved, moved, refused atomic.Int64
	until := func(ask func() error) {
		asking.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := ask(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i, p := range all {
		until(func() error {
			_, err := p.Cells.Checkpoint(t.Context(), connect.NewRequest(&pb.CheckpointRequest{Name: "h"}))
			saved.Add(1)
			return err
		})
		until(func() error {
			_, err := p.move("h", all[(i+1)%len(all)].name)
			if cell.KindOf(err) == cell.Busy || cell.KindOf(err) == cell.Invalid { // it is being moved, or there already
				refused.Add(1)
				return nil
			}
			moved.Add(1)
			return err
		})
	}
	if !await.Within(time.Minute, func() bool { return saved.Load() >= 15 && moved.Load() >= 10 || t.Failed() }) {
		t.Error("in a minute there are fewer")
	}
	close(stop)
	asking.Wait()
	t.Logf("%d checkpoints and %d moves, and %d were refused; it is in epoch %d", saved.Load(), moved.Load(), refused.Load(), all[0].inspect("h").GetEpoch())
}

// A node that is drained has its cells go on on others.
func areBalanced(t *testing.T, all []*process) {
	one := story{t, nil, all[0].Client}
	for i := range 6 {
		name := "b" + strconv.Itoa(i)
		succeeds(t, "a cell starts", func() error { return all[0].spawnPlain(name, "n2") })
		one.exec(name, "n = 7\ndef f(): return n")
	}
	rebalance := func(dry bool) []*pb.CellMove {
		out, err := all[0].Cluster.Rebalance(t.Context(), connect.NewRequest(&pb.RebalanceRequest{DryRun: dry}))
		one.must(err)
		for _, m := range out.Msg.GetMoves() {
			if m.GetError() != "" || m.GetFrom() != "n2" {
				t.Errorf("rebalanced: %v", m)
			}
		}
		return out.Msg.GetMoves()
	}
	planned := rebalance(true)
	if moved := rebalance(false); len(moved) < 3 || len(moved) != len(planned) {
		t.Errorf("planned %v, moved %v", planned, moved)
	}
	if again := rebalance(true); len(again) != 0 {
		t.Errorf("it would go on with %v", again)
	}
	for i := range 6 {
		if got := one.call("b"+strconv.Itoa(i), "f"); got != "7" {
			t.Errorf("b%d answers %s", i, got)
		}
	}
}

func allLeave(t *testing.T, all []*process) {
	one := story{t, nil, all[0].Client}
	for i := range 4 {
		name := "g" + strconv.Itoa(i)
		succeeds(t, "a cell starts", func() error { return all[0].spawnPlain(name, "n3") })
		one.exec(name, "n = 7\ndef f(): return n")
	}
	out, err := all[0].Cluster.Drain(t.Context(), connect.NewRequest(&pb.DrainRequest{Node: "n3"}))
	one.must(err)
	if len(out.Msg.GetMoved()) < 4 || len(out.Msg.GetClosed()) != 0 {
		t.Errorf("drained: %v", out.Msg)
	}
	for i := range 4 {
		name := "g" + strconv.Itoa(i)
		if got := one.call(name, "f"); got != "7" || all[0].inspect(name).GetNode() == "n3" {
			t.Errorf("%s answers %s on %s", name, got, all[0].inspect(name).GetNode())
		}
	}
}

// spawnPlain starts a cell without a policy on a node by way of this one.
func (p *process) spawnPlain(name, on string) error {
	_, err := p.Cells.Spawn(p.t.Context(), connect.NewRequest(&pb.SpawnRequest{Name: name, Placement: &pb.Placement{Node: on}}))
	return err
}
