package server_test

import (
	"errors"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
)

// A request with the id of a cell does nothing to the next one of its name.
func TestIDOfACellBefore(t *testing.T) {
	n := newNode(t)
	old := spawned(t, n.Client, &pb.SpawnRequest{Name: "c"}).GetId()
	_, err := n.Cells.Close(t.Context(), connect.NewRequest(&pb.CloseRequest{Name: "c", Id: old}))
	must(t, err)
	now := spawned(t, n.Client, &pb.SpawnRequest{Name: "c"}).GetId()
	if old == "" || old == now {
		t.Fatalf("the ids are %q and %q", old, now)
	}
	for name, call := range map[string]func(id string) error{
		"exec": func(id string) error {
			_, err := n.Cells.Exec(t.Context(), connect.NewRequest(&pb.ExecRequest{Name: "c", Code: "post 1", Id: id}))
			return err
		},
		"recv": func(id string) error {
			_, err := n.Cells.Recv(t.Context(), connect.NewRequest(&pb.RecvRequest{Name: "c", Wait: durationpb.New(0), Id: id}))
			return err
		},
		"inspect": func(id string) error {
			_, err := n.Cells.Inspect(t.Context(), connect.NewRequest(&pb.InspectRequest{Name: "c", Id: id}))
			return err
		},
		"quarantine": func(id string) error {
			_, err := n.Cells.Quarantine(t.Context(), connect.NewRequest(&pb.QuarantineRequest{Name: "c", Id: id}))
			return err
		},
		"kill": func(id string) error {
			_, err := n.Cells.Kill(t.Context(), connect.NewRequest(&pb.KillRequest{Name: "c", Id: id}))
			return err
		},
	} {
		if err := call(old); !errors.Is(err, cell.CellGone) || !strings.Contains(err.Error(), "another has its name") {
			t.Errorf("%s of the one before: %v", name, err)
		}
	}
	_, err = n.Cells.Close(t.Context(), connect.NewRequest(&pb.CloseRequest{Name: "c", Id: old}))
	must(t, err) // it is closed
	must(t, n.exec(t.Context(), "c", "post 2"))
	if r := n.report(t, "c"); r.GetState() != "running" || r.GetId() != now {
		t.Errorf("%v", r)
	}
	_, err = n.Cells.Close(t.Context(), connect.NewRequest(&pb.CloseRequest{Name: "c", Id: now}))
	must(t, err)
}

// How an exec failed comes out with the id of its request.
func TestItemsOfFailedExecs(t *testing.T) {
	n := newNode(t)
	spawned(t, n.Client, &pb.SpawnRequest{Name: "c"})
	for _, id := range []string{"mine", ""} {
		_, err := n.Cells.Exec(t.Context(), connect.NewRequest(&pb.ExecRequest{Name: "c", Code: "post 1\nraise oops", RequestId: id}))
		if !errors.Is(err, cell.GuestError) {
			t.Errorf("%v", err)
		}
	}
	answer, err := n.Cells.Recv(t.Context(), connect.NewRequest(&pb.RecvRequest{Name: "c", Max: 10}))
	must(t, err)
	var got []string
	for _, i := range answer.Msg.GetItems() {
		got = append(got, i.GetError().GetKind()+":"+i.GetRequestId())
	}
	if all := strings.Join(got, " "); all != ": GuestError:mine : GuestError:" {
		t.Errorf("received %q", all)
	}
}
