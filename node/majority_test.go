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

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cluster"
	"github.com/pyisolate/pyisolate/internal/logged"
	"github.com/pyisolate/pyisolate/internal/loopback"
	"github.com/pyisolate/pyisolate/policystore"
)

// end stops a process for ever, or until it is started again.
func (p *process) end() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	_ = p.running.Wait()
}

// recoverAlone does what `cluster recover` does.
func (p *process) recoverAlone(ctx context.Context) (r cluster.Recovery, err error) {
	err = WithData(p.data, "v1", func(dir string) error {
		if r, err = cluster.Recover(ctx, filepath.Join(dir, ClusterDir)); err != nil {
			return err
		}
		_, err := policystore.Reduce(filepath.Join(dir, "policies"), p.name, false)
		return err
	})
	return r, err
}

// Two of three nodes are destroyed. The third goes on alone with the policies, and with the cells of which
// it has checkpoints, in epochs that nobody has got to; others join it.
func TestALostMajority(t *testing.T) {
	if testing.Short() {
		t.Skip("three nodes take a while to start")
	}
	all := processes(t)
	left := all[2]
	all[0].put(onePolicy)
	for name, on := range map[string]string{"kept": left.name, "gone": all[1].name} {
		succeeds(t, "a cell starts", func() error { return all[0].spawn(name, on) })
	}
	if err := left.exec("kept", "x = 7"); err != nil {
		t.Fatal(err)
	}
	made, err := left.Cells.Checkpoint(t.Context(), connect.NewRequest(&pb.CheckpointRequest{Name: "kept"}))
	if err != nil {
		t.Fatal(err)
	}
	id := made.Msg.GetCheckpoint().GetId()
	left.end()
	if _, err := left.recoverAlone(t.Context()); !errors.Is(err, cluster.ErrAnswers) || !strings.Contains(err.Error(), "n1 n2") {
		t.Fatalf("while the others are there: %v", err)
	}
	for _, p := range all[:2] {
		p.end()
		if err := os.RemoveAll(p.data); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // it may be done again
		if _, err := left.recoverAlone(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	left.start()
	left.seesAll(1)
	succeeds(t, "a cell starts under the policy that there was", func() error { return left.spawn("new", left.name) })
	if err := left.exec("new", "import json"); cell.KindOf(err) != cell.PolicyDenied {
		t.Errorf("what the policy does not permit: %v", err)
	}
	back, err := left.Cells.Restore(t.Context(), connect.NewRequest(&pb.RestoreRequest{Id: id}))
	if err != nil {
		t.Fatal(err)
	}
	if epoch := back.Msg.GetReport().GetEpoch(); epoch < 1<<32 {
		t.Errorf("it goes on in epoch %d, which somebody may have got to", epoch)
	}
	if err := left.exec("kept", "assert x == 7"); err != nil {
		t.Error(err)
	}
	if err := left.exec("gone", "x = 1"); cell.KindOf(err) != cell.CellGone {
		t.Errorf("a cell that is lost: %v", err)
	}
	next := &process{t: t, name: "n4", logged: &logged.Text{}, data: filepath.Join(filepath.Dir(left.data), "n4")}
	invited, err := left.Cluster.Invite(t.Context(), connect.NewRequest(&pb.InviteRequest{Lifetime: durationpb.New(time.Minute)}))
	if err != nil {
		t.Fatal(err)
	}
	err = WithData(next.data, "v1", func(dir string) error {
		return cluster.Join(t.Context(), cluster.Joining{Dir: filepath.Join(dir, ClusterDir), Token: invited.Msg.GetToken(), Node: next.name, Address: loopback.Address()})
	})
	if err != nil {
		t.Fatal(err)
	}
	next.start()
	next.seesAll(2)
	succeeds(t, "a cell starts on the new node", func() error { return left.spawn("further", next.name) })
}
