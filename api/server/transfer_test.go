package server_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/actors"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	api "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1/pyisolatev1connect"
	"github.com/pyisolate/pyisolate/api/server"
	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/checkpoint"
	"github.com/pyisolate/pyisolate/internal/await"
)

// target is n1, to which n2, which has cells a and b of tenant default, moves them. A cell is made when making
// gives one.
type target struct {
	*node
	broker  *capability.Broker
	world   *world
	archive *checkpoint.Archive
	peer    func(name string) api.TransferServiceClient
	making  chan struct{}
	asked   chan struct{} // one for each cell that is to be made
	alive   atomic.Int64  // cells
	last    atomic.Pointer[empty]
	busy    atomic.Int64 // as many are refused
	refusal error        // nil: Busy
}

func newTarget(t *testing.T) *target {
	t.Helper()
	dir := t.TempDir()
	ring, err := checkpoint.OpenRing(filepath.Join(dir, "ring"), nil)
	must(t, err)
	archive, err := checkpoint.OpenArchive(filepath.Join(dir, "archive"), ring, checkpoint.Bounds{Bytes: 1 << 20, TenantBytes: 1 << 20, TenantCount: 64, Keep: 2, Age: time.Hour})
	must(t, err)
	w := newWorld(t)
	out := &target{world: w, archive: archive, making: make(chan struct{}), asked: make(chan struct{}, 64)}
	out.node, _ = w.join(t, "n1", func(c *server.Config) {
		out.broker = c.Broker
		c.Checkpoints = &server.Checkpoints{Archive: archive, Python: func() string { return "cpython-314" }}
		c.Spawner = spawner(func(ctx context.Context, spec cell.Spec) (cell.Cell, error) {
			out.asked <- struct{}{}
			select {
			case <-out.making:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			if out.busy.Add(-1) >= 0 {
				return nil, cmp.Or(out.refusal, error(cell.Errorf(cell.Busy, "no host can be had now")))
			}
			out.alive.Add(1)
			made := &empty{Cell: &rude{spec: spec, done: make(chan struct{})}, alive: &out.alive}
			out.last.Store(made)
			return made, nil
		})
	})
	for _, name := range []string{"a", "b"} {
		a := actors.Address{Tenant: "default", Name: name}
		w.places[a] = server.Place{Address: a, Node: "n2", Session: sessionOf, Epoch: 7, Claim: name, Phase: server.Active}
	}
	out.peer = func(name string) api.TransferServiceClient {
		way := w.fabric(name).transport
		t.Cleanup(way.CloseIdleConnections)
		return api.NewTransferServiceClient(&http.Client{Transport: asAdmin{way}}, "http://n1", connect.WithGRPC())
	}
	return out
}

// asAdmin calls as a node does for somebody.
type asAdmin struct{ http.RoundTripper }

func (a asAdmin) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Set("Pyisolate-Principal", `{"name":"somebody","role":"admin"}`)
	return a.RoundTripper.RoundTrip(r)
}

// empty is a cell that counts among those alive until it is killed.
type empty struct {
	cell.Cell
	killed atomic.Bool
	alive  *atomic.Int64
	end    func() error // of its state's being put in; nil: nothing more

	mu    sync.Mutex
	state bytes.Buffer // that was put into it
	ended atomic.Bool  // and has come to an end
}

func (e *empty) Kill(reason string) {
	if e.killed.CompareAndSwap(false, true) {
		e.alive.Add(-1)
		e.Cell.Kill(reason)
	}
}

func wanted(name, migration string) *pb.ReserveRequest {
	return &pb.ReserveRequest{Migration: migration, Cell: &pb.CellRef{Tenant: "default", Name: name}, Id: "life", Epoch: 7, Python: "cpython-314",
		Principal: "somebody", Spawn: &pb.SpawnRequest{Topics: []string{"given"}}}
}

func reserve(ctx context.Context, from api.TransferServiceClient, r *pb.ReserveRequest) error {
	_, err := from.Reserve(ctx, connect.NewRequest(r))
	return err
}

// What is given up while it is made is ended by who makes it, once, and its name is free.
func TestGivenUpWhileItIsMade(t *testing.T) {
	frozen := func(w *world) server.Place {
		w.mu.Lock()
		defer w.mu.Unlock()
		a := actors.Address{Tenant: "default", Name: "a"}
		p := w.places[a]
		p.Node, p.Epoch, p.Checkpoint, p.Copies = "n1", 8, "of nothing", []string{"n1"}
		w.places[a] = p
		return p
	}
	for name, giveUp := range map[string]func(*testing.T, *target, api.TransferServiceClient){
		"by its source": func(t *testing.T, _ *target, from api.TransferServiceClient) {
			_, err := from.Cancel(t.Context(), connect.NewRequest(&pb.CancelRequest{Migration: "m"}))
			must(t, err)
		},
		"by its cell's coming": func(_ *testing.T, n *target, _ api.TransferServiceClient) { n.server.Inherit(frozen(n.world)) },
	} {
		t.Run(name, func(t *testing.T) {
			n := newTarget(t)
			from := n.peer("n2")
			made := make(chan error, 1)
			go func() { made <- reserve(t.Context(), from, wanted("a", "m")) }()
			select {
			case <-n.asked:
			case err := <-made:
				t.Fatal(err)
			}
			giveUp(t, n, from)
			if name == "by its cell's coming" {
				await.That(t, "it is in hand", func() bool { n.world.mu.Lock(); defer n.world.mu.Unlock(); return n.world.hands > 0 })
				await.That(t, "it is given up", func() bool { return n.server.Unwanted("n2", "m") })
			}
			n.making <- struct{}{}
			if err := <-made; err == nil {
				t.Error("it is reserved")
			}
			await.That(t, "no cell is left", func() bool { return n.alive.Load() == 0 })
			if name == "by its cell's coming" {
				return // whose name is not n2's any more
			}
			close(n.making)
			if err := reserve(t.Context(), from, wanted("a", "m2")); err != nil {
				t.Errorf("the next one: %v", err)
			}
		})
	}
}

// A move of a cell gives up what was reserved for the one before, whose source could not say any more that it has come
// to nothing: made, or still being made.
func TestOneReservationOfACell(t *testing.T) {
	n := newTarget(t)
	from := n.peer("n2")
	made := make(chan error, 1)
	go func() { made <- reserve(t.Context(), from, wanted("a", "m1")) }()
	<-n.asked
	next := make(chan error, 1)
	go func() { next <- reserve(t.Context(), from, wanted("a", "m2")) }()
	await.That(t, "the first is given up", func() bool { return n.server.Unwanted("n2", "m1") })
	close(n.making)
	if err := <-made; err == nil {
		t.Error("what was given up while it was made is reserved")
	}
	must(t, <-next)
	must(t, reserve(t.Context(), from, wanted("a", "m3")))
	must(t, reserve(t.Context(), from, wanted("b", "m4")))
	await.That(t, "each has one", func() bool { return n.alive.Load() == 2 })
	if err := reserve(t.Context(), from, wanted("a", "m3")); connect.CodeOf(err) != connect.CodeUnavailable && connect.CodeOf(err) != connect.CodeResourceExhausted {
		t.Errorf("the same once more: %v", err)
	}
	if alive := n.alive.Load(); alive != 2 {
		t.Errorf("%d cells are left", alive)
	}
}

// What this node has inherited and cannot even begin with goes to another node.
func TestInheritedInVain(t *testing.T) {
	n := newTarget(t)
	close(n.making)
	bad := wanted("a", "m")
	bad.Spawn.Restart = &pb.Restart{When: "on-failure", Max: 2000}
	must(t, reserve(t.Context(), n.peer("n2"), bad))
	a := actors.Address{Tenant: "default", Name: "a"}
	at := func() server.Place {
		n.world.mu.Lock()
		defer n.world.mu.Unlock()
		return n.world.places[a]
	}
	n.world.mu.Lock()
	own := n.world.places[a]
	own.Node, own.Epoch, own.Copies = "n1", 8, []string{"n1", "n3"}
	n.world.places[a] = own
	n.world.mu.Unlock()
	n.server.Inherit(own)
	await.That(t, "it is another's", func() bool { return at().Node == "n3" && at().Epoch == 9 })
	await.That(t, "no cell is left", func() bool { return n.alive.Load() == 0 })
}

// A cell that is this node's, and on its way, is not said to be closed when it is not there yet; one that is
// nobody's is.
func TestCloseOfACellThatComes(t *testing.T) {
	n := newTarget(t)
	a := actors.Address{Tenant: "default", Name: "a"}
	n.world.mu.Lock()
	own := n.world.places[a]
	own.Node, own.Epoch = "n1", 8
	n.world.places[a] = own
	n.world.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := n.Cells.Close(ctx, connect.NewRequest(&pb.CloseRequest{Name: "a"})); err == nil {
		t.Error("it is said to be closed, and comes")
	}
	closing := make(chan error, 1)
	go func() {
		_, err := n.Cells.Close(t.Context(), connect.NewRequest(&pb.CloseRequest{Name: "a"}))
		closing <- err
	}()
	n.world.mu.Lock()
	delete(n.world.places, a)
	n.world.mu.Unlock()
	must(t, <-closing)
}

// Close is answered when it is agreed that the cell is gone: it would come back with the loss of its node else.
func TestCloseIsAgreed(t *testing.T) {
	w := newWorld(t)
	n, _ := w.join(t, "n1")
	spawnOn(t, n, "n1", "c")
	w.keep(true)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := n.Cells.Close(ctx, connect.NewRequest(&pb.CloseRequest{Name: "c"})); err == nil {
		t.Error("it is said to be closed, and the cluster has it")
	}
	a := actors.Address{Tenant: "default", Name: "c"}
	w.mu.Lock()
	moved := w.places[a]
	moved.Node, moved.Epoch = "n9", moved.Epoch+1
	w.places[a] = moved
	w.mu.Unlock()
	ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := n.Cells.Close(ctx, connect.NewRequest(&pb.CloseRequest{Name: "c"})); err == nil {
		t.Error("it is said to be closed, and another node has it")
	}
	w.mu.Lock()
	delete(w.places, a)
	w.mu.Unlock()
	for range 2 {
		_, err := n.Cells.Close(t.Context(), connect.NewRequest(&pb.CloseRequest{Name: "c"}))
		must(t, err)
	}
}

// Only the node that has a cell has room made for it, or sends what it says is its state.
func TestStrangersCells(t *testing.T) {
	n := newTarget(t)
	close(n.making)
	late := wanted("a", "late")
	late.Epoch = 6
	for name, err := range map[string]error{
		"another's": reserve(t.Context(), n.peer("n3"), wanted("a", "m")),
		"nobody's":  reserve(t.Context(), n.peer("n2"), wanted("c", "m")),
		"overtaken": reserve(t.Context(), n.peer("n2"), late),
	} {
		if connect.CodeOf(err) != connect.CodeAborted && connect.CodeOf(err) != connect.CodeFailedPrecondition {
			t.Errorf("%s: %v", name, err)
		}
	}
	push := func(from string) error {
		out := n.peer(from).Push(t.Context())
		_ = out.Send(&pb.PushRequest{Part: &pb.PushRequest_Begin_{Begin: &pb.PushRequest_Begin{Transfer: "copy-x", Cell: &pb.CellRef{Tenant: "default", Name: "a"}, KeyId: "k", Key: []byte("short")}}})
		_, err := out.CloseAndReceive()
		return err
	}
	stranger, owner := push("n3"), push("n2")
	if stranger == nil || owner == nil || connect.CodeOf(stranger) == connect.CodeOf(owner) { // whose key is none
		t.Errorf("a stranger's: %v; the owner's: %v", stranger, owner)
	}
}

// A state for which the disk has no room is refused before a cell is made for it; one that may have shrunk is not.
func TestNoRoomForAState(t *testing.T) {
	n := newTarget(t)
	close(n.making)
	from := n.peer("n2")
	var disk unix.Statfs_t
	must(t, unix.Statfs(t.TempDir(), &disk))
	all, free := int64(disk.Blocks)*disk.Frsize, int64(disk.Bavail)*disk.Frsize
	if os.Geteuid() == 0 {
		free = int64(disk.Bfree) * disk.Frsize
	}
	r := wanted("a", "m")
	r.Size = 3 * all
	err := reserve(t.Context(), from, r)
	if connect.CodeOf(err) != connect.CodeResourceExhausted || !strings.Contains(err.Error(), "node n1 is full") || !strings.Contains(err.Error(), "bytes free") ||
		!strings.Contains(err.Error(), fmt.Sprintf("a needs about %d", r.Size)) || len(n.asked) > 0 {
		t.Errorf("%d cells are made, and it is refused by: %v", len(n.asked), err)
	}
	for i, size := range []int64{0, -1, free / 2 * 3} { // of which half is there
		r.Size, r.Migration = size, fmt.Sprint(i)
		if err := reserve(t.Context(), from, r); err != nil {
			t.Errorf("of %d bytes: %v", size, err)
		}
		_, err := from.Cancel(t.Context(), connect.NewRequest(&pb.CancelRequest{Migration: r.Migration}))
		must(t, err)
	}
}
