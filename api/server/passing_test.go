package server_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/api/server"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/policystore"
)

// loses has the next answers be lost, and the link be cut after so many requests; 0: it is not.
func (f *fabric) loses(answers, cut int) {
	f.losing.Lock()
	defer f.losing.Unlock()
	f.lose, f.cut, f.sent = answers, cut, 0
}

func (f *fabric) tries() int {
	f.losing.Lock()
	defer f.losing.Unlock()
	return f.sent
}

// A request that may have been done is never said not to be, whatever becomes of later tries.
func TestDoubtLasts(t *testing.T) {
	for name, c := range map[string]struct {
		cut   int
		after func(w *world, n2 *node)
	}{
		"the node is not reached any more": {cut: 1},
		"its node has restarted, and knows nothing of it": {after: func(w *world, _ *node) {
			w.mu.Lock()
			defer w.mu.Unlock()
			for a, p := range w.places {
				p.Session++
				w.places[a] = p
			}
		}},
		"its node is gone": {after: func(w *world, _ *node) { w.die("n2") }},
		"the cell is gone": {after: func(w *world, n2 *node) {
			_, err := n2.Cells.Close(context.Background(), connect.NewRequest(&pb.CloseRequest{Name: "c"}))
			if err != nil {
				panic(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			w := newWorld(t)
			n1, f1 := w.join(t, "n1")
			n2, _ := w.join(t, "n2")
			spawnOn(t, n1, "n2", "c")
			f1.loses(1, c.cut)
			if c.after != nil {
				f1.after = func() { c.after(w, n2) }
			}
			_, err := n1.Cells.Exec(t.Context(), connect.NewRequest(&pb.ExecRequest{Name: "c", Code: "post 1", RequestId: "a", Acknowledged: true}))
			if !errors.Is(err, cell.UnknownOutcome) || errors.Is(err, fault.ErrUnavailable) {
				t.Errorf("%v after %d requests, want UnknownOutcome", err, f1.tries())
			}
		})
	}
}

// Nothing that is certain is made uncertain: a link that was never there.
func TestNeverSent(t *testing.T) {
	w := newWorld(t)
	n1, f1 := w.join(t, "n1")
	w.join(t, "n2")
	spawnOn(t, n1, "n2", "c")
	f1.loses(0, 1)
	must(t, n1.exec(t.Context(), "c", "post 1"))
	_, err := n1.Cells.Exec(t.Context(), connect.NewRequest(&pb.ExecRequest{Name: "c", Code: "post 1", RequestId: "a", Acknowledged: true}))
	if !errors.Is(err, fault.ErrUnavailable) || errors.Is(err, cell.UnknownOutcome) || f1.tries() != 1 {
		t.Errorf("%v after %d requests", err, f1.tries())
	}
}

// What was never sent may go to wherever the cell is by then.
func TestNeverSentGoesElsewhere(t *testing.T) {
	w := newWorld(t)
	n1, f1 := w.join(t, "n1")
	w.join(t, "n3")
	spawnOn(t, n1, "n3", "c")
	f1.believe("c", "n2") // which is not there
	if _, err := n1.Cells.Exec(t.Context(), connect.NewRequest(&pb.ExecRequest{Name: "c", Code: "post 1", RequestId: "a", Acknowledged: true})); err != nil {
		t.Error(err)
	}
	f1.believe("c", "n2")
	if err := n1.exec(t.Context(), "c", "post 1"); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("without acknowledged: %v", err)
	}
}

// A node that is chosen and not reached starts nothing: the next is tried, unless it was wished for.
func TestChosenNodeIsNotReached(t *testing.T) {
	w := newWorld(t)
	n1, f1 := w.join(t, "n1")
	w.first = "n9"
	f1.loses(0, 0)
	if r := spawnOn(t, n1, "", "c"); r.GetNode() != "n1" || f1.tries() != 1 {
		t.Errorf("spawned %v after %d requests", r, f1.tries())
	}
	_, err := n1.Cells.Spawn(t.Context(), connect.NewRequest(&pb.SpawnRequest{Name: "d", Placement: &pb.Placement{Node: "n9"}}))
	if !errors.Is(err, fault.ErrUnavailable) || !strings.Contains(err.Error(), "n9") {
		t.Errorf("the node that was wished for: %v", err)
	}
}

// acknowledged needs an id wherever the cell is, that a client which works with one node works with three.
func TestAcknowledgedNeedsAnID(t *testing.T) {
	n := newNode(t)
	n.spawn(t, "c", "")
	ctx := t.Context()
	_, exec := n.Cells.Exec(ctx, connect.NewRequest(&pb.ExecRequest{Name: "c", Acknowledged: true}))
	_, call := n.Cells.Call(ctx, connect.NewRequest(&pb.CallRequest{Name: "c", Target: "f", Acknowledged: true}))
	_, send := n.Cells.Send(ctx, connect.NewRequest(&pb.SendRequest{Name: "c", Value: &pb.Value{Kind: &pb.Value_Json{Json: "1"}}, Acknowledged: true}))
	for name, err := range map[string]error{"Exec": exec, "Call": call, "Send": send} {
		if !errors.Is(err, cell.Invalid) || !strings.Contains(err.Error(), "request_id") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A node that is wrong about where a cell is asks once what is true, and goes there: to another node,
// or to itself.
func TestWrongAboutTheNode(t *testing.T) {
	w := newWorld(t)
	n1, f1 := w.join(t, "n1")
	w.join(t, "n2")
	w.join(t, "n3")
	spawnOn(t, n1, "n3", "far")
	spawnOn(t, n1, "n1", "near")
	for _, name := range []string{"far", "near"} {
		f1.believe(name, "n2")
		if err := n1.exec(t.Context(), name, "post 1"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A node that hears later than others that it has a cell is asked for it all the same.
func TestHearsLateThatItHasACell(t *testing.T) {
	w := newWorld(t)
	n1, _ := w.join(t, "n1")
	archive, _ := someArchive(t)
	_, f2 := w.join(t, "n2", func(c *server.Config) {
		c.Checkpoints = &server.Checkpoints{Archive: archive, Python: func() string { return "fake" }}
	})
	spawnOn(t, n1, "n2", "c")
	f2.believe("c", "n3")
	if _, err := n1.Cells.Checkpoint(t.Context(), connect.NewRequest(&pb.CheckpointRequest{Name: "c"})); err != nil {
		t.Error(err)
	}
}

// So does the call that moves a cell: it is answered by the node that has it, here that nothing can be moved.
func TestMovesGoAfterACell(t *testing.T) {
	w := newWorld(t)
	n1, f1 := w.join(t, "n1")
	w.join(t, "n2", func(c *server.Config) { c.Checkpoints = &server.Checkpoints{} }) // it could
	w.join(t, "n3")
	spawnOn(t, n1, "n3", "far")
	f1.believe("far", "n2")
	in, err := n1.Cells.Migrate(t.Context(), connect.NewRequest(&pb.MigrateRequest{Name: "far", Node: "n1"}))
	must(t, err)
	if in.Receive() || !errors.Is(in.Err(), fault.ErrUnimplemented) {
		t.Errorf("it is answered %v, %v", in.Msg(), in.Err())
	}
}

// A move that has begun and lost its cell is told as that, also when the cell is back, from its checkpoint, before the
// client has heard: another is for the client to begin.
func TestAMoveIsBegunOnce(t *testing.T) {
	w := newWorld(t)
	may := func(c *server.Config) {
		archive, _ := someArchive(t)
		c.Checkpoints = &server.Checkpoints{Archive: archive, Python: func() string { return "fake" }}
	}
	n1, f1 := w.join(t, "n1", may)
	w.join(t, "n2", may)
	spawnOn(t, n1, "n1", "c")
	back := false
	f1.refuse = func() error {
		if back {
			return nil
		}
		back = true
		a := actors.Address{Tenant: "default", Name: "c"}
		p := w.places[a]
		p.Epoch += 2
		w.places[a] = p
		return cell.Errorf(cell.CellGone, "its lease was over")
	}
	in, err := n1.Cells.Migrate(t.Context(), connect.NewRequest(&pb.MigrateRequest{Name: "c", Node: "n2"}))
	must(t, err)
	var phases []string
	for in.Receive() {
		phases = append(phases, in.Msg().GetPhase())
	}
	if !errors.Is(in.Err(), cell.CellGone) || !strings.Contains(in.Err().Error(), "its lease was over") || !slices.Contains(phases, "abort") {
		t.Errorf("it came to %v, %v", phases, in.Err())
	}
}

// Two nodes that each think that the other has a cell do not send a call back and forth.
func TestWrongAboutEachOther(t *testing.T) {
	w := newWorld(t)
	n1, f1 := w.join(t, "n1")
	_, f2 := w.join(t, "n2")
	f1.believe("c", "n2")
	f2.believe("c", "n1")
	err := n1.exec(t.Context(), "c", "post 1")
	if !errors.Is(err, policystore.ErrNotFound) || f1.tries() != 1 || f2.tries() != 0 {
		t.Errorf("%v, after %d and %d requests", err, f1.tries(), f2.tries())
	}
}

// The time of a call is the guest's on whichever node, and so is its end.
func TestTimeGoesAlong(t *testing.T) {
	w := newWorld(t)
	n1, _ := w.join(t, "n1")
	n2, _ := w.join(t, "n2")
	spawnOn(t, n1, "n2", "c")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := n1.exec(ctx, "c", "spin"); !errors.Is(err, cell.Timeout) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("its time is over: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	if err := n1.exec(ctx, "c", "spin"); err == nil {
		t.Error("the client went, and is answered")
	}
	await.That(t, "nothing is under way there", func() bool { return n2.server.Underway() == 0 })
	must(t, n1.exec(t.Context(), "c", "post 1"))
}

// A client that goes while it streams from another node has both nodes stop.
func TestStreamEndsOnBothNodes(t *testing.T) {
	w := newWorld(t)
	n1, f1 := w.join(t, "n1")
	n2, _ := w.join(t, "n2")
	spawnOn(t, n1, "n2", "c")
	for end, cut := range map[string]func(cancel context.CancelFunc){
		"the client goes": func(cancel context.CancelFunc) { cancel() },
		"the node goes":   func(context.CancelFunc) { f1.hangUp() },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		s, err := n1.Cells.Stream(ctx, connect.NewRequest(&pb.StreamRequest{Name: "c"}))
		must(t, err)
		must(t, n2.exec(t.Context(), "c", "post 1"))
		if !s.Receive() {
			t.Fatalf("%s: %v", end, s.Err())
		}
		cut(cancel)
		for s.Receive() {
		}
		if s.Err() == nil {
			t.Errorf("%s: the stream ends as if it were whole", end)
		}
		cancel()
		_ = s.Close()
		await.That(t, end+": nothing is under way", func() bool { return n1.server.Underway() == 0 && n2.server.Underway() == 0 })
	}
}

// Many clients of many nodes: what each asks of a cell is begun in its order, and done once.
func TestManyByWayOfManyNodes(t *testing.T) {
	const clients, each = 6, 20
	w, ctx := newWorld(t), t.Context()
	var nodes []*node
	for _, name := range []string{"n1", "n2", "n3"} {
		n, _ := w.join(t, name)
		nodes = append(nodes, n)
	}
	spawnOn(t, nodes[0], "n3", "c")
	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() {
			for i := range each {
				if err := nodes[c%3].exec(ctx, "c", fmt.Sprintf("post %d", c*1000+i)); err != nil {
					t.Errorf("client %d: %v", c, err)
				}
			}
		})
	}
	all.Wait()
	next := [clients]int{}
	for n := 0; n < clients*each; {
		answer, err := nodes[1].Cells.Recv(ctx, connect.NewRequest(&pb.RecvRequest{Name: "c", Max: 100, Wait: durationpb.New(20 * time.Second)}))
		must(t, err)
		if len(answer.Msg.GetItems()) == 0 {
			t.Fatalf("%d posts came", n)
		}
		for _, item := range answer.Msg.GetItems() {
			var v int
			_, err := fmt.Sscan(item.GetPost().GetJson(), &v)
			must(t, err)
			if v%1000 != next[v/1000] {
				t.Fatalf("client %d's %d came, want %d", v/1000, v%1000, next[v/1000])
			}
			next[v/1000]++
			n++
		}
	}
}

// A request of 1 MiB and its answer go by way of another node as they do without.
func TestLargeByWayOfANode(t *testing.T) {
	w := newWorld(t)
	n1, _ := w.join(t, "n1")
	w.join(t, "n2")
	spawnOn(t, n1, "n2", "c")
	raw := []byte(strings.Repeat("x", 1<<20-4096))
	answer, err := n1.Cells.Call(t.Context(), connect.NewRequest(&pb.CallRequest{Name: "c", Target: "f", Raw: raw}))
	if err != nil || len(answer.Msg.GetValue().GetRaw()) != len(raw) {
		t.Fatalf("%d bytes, %v", len(answer.Msg.GetValue().GetRaw()), err)
	}
}

// The largest message that follows others in one answer comes, also by way of another node.
func TestLargestAnswer(t *testing.T) {
	if testing.Short() {
		t.Skip("64 MiB take a while")
	}
	w := newWorld(t)
	n1, _ := w.join(t, "n1")
	n2, _ := w.join(t, "n2")
	for _, n := range []*node{n1, n2} {
		_, err := n.Policies.Put(t.Context(), connect.NewRequest(&pb.PutRequest{Name: "large", Text: []byte("version: 1.0\nsandboxes:\n  main:\n    message: 64MiB\n")}))
		must(t, err)
	}
	_, err := n1.Cells.Spawn(t.Context(), connect.NewRequest(&pb.SpawnRequest{Name: "c", Policy: &pb.PolicyRef{Name: "large"}, Placement: &pb.Placement{Node: "n2"}}))
	must(t, err)
	sizes := []int{1<<20 - 1, cell.MaxMessageBytes - 64}
	for _, size := range sizes {
		must(t, n1.exec(t.Context(), "c", `post "`+strings.Repeat("x", size-2)+`"`))
	}
	answer, err := n1.Cells.Recv(t.Context(), connect.NewRequest(&pb.RecvRequest{Name: "c", Max: 10}))
	must(t, err)
	for i, item := range answer.Msg.GetItems() {
		if got := len(item.GetPost().GetJson()); got != sizes[i] {
			t.Errorf("%d bytes, want %d", got, sizes[i])
		}
	}
	if n := len(answer.Msg.GetItems()); n != len(sizes) {
		t.Errorf("%d items", n)
	}
}
