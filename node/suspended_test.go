package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/api/client"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/policystore"
)

// A cell that its heir may not have go on, as its policy is another by now, is suspended: any node tells of it, has
// it go on or closes it.
func TestSuspendedCells(t *testing.T) {
	if testing.Short() {
		t.Skip("three nodes take a while to start")
	}
	all := processes(t)
	all[0].put(withJSON)
	for i, name := range []string{"a", "b", "c"} {
		suspendable(t, all, name, fmt.Sprint(i+1))
	}
	all[0].put(withoutJSON)
	dead, living := all[1], []*process{all[0], all[2]}
	await.That(t, "the cells are under the next policy", func() bool {
		return !slices.ContainsFunc([]string{"a", "b", "c"}, func(name string) bool { return all[0].inspect(name).GetPolicy().GetVersion() != 2 })
	})
	was := all[0].inspect("a")
	dead.signal(syscall.SIGKILL)
	for _, p := range living {
		await.That(t, p.name+" tells that all are suspended", func() bool {
			return p.tellsSuspended("a") && p.tellsSuspended("b") && p.tellsSuspended("c")
		})
	}
	for _, p := range living {
		isToldOf(t, p, "a", was)
	}
	living = asOne(t, living)
	t.Run("its policy has a say", func(t *testing.T) { isRefused(t, living) })
	t.Run("it is closed", func(t *testing.T) { isClosed(t, living) })
	t.Run("it goes on once", func(t *testing.T) { goesOnOnce(t, living, was) })
	t.Run("also by its checkpoint", func(t *testing.T) { goesOnByID(t, living) })
}

const (
	withoutJSON = "version: 1.0\nsandboxes:\n  main:\n    imports: [math]\n"
	withJSON    = "version: 1.0\nsandboxes:\n  main:\n    imports: [math, json]\n"
)

// suspendable starts a cell on n2 that counts, with a module in its state, and waits for a copy of its checkpoint:
// it is the so-maniest of the node.
func suspendable(t *testing.T, all []*process, name, copies string) {
	t.Helper()
	one := story{t, nil, all[0].Client}
	succeeds(t, "a cell starts on n2", func() error {
		_, err := all[0].Cells.Spawn(t.Context(), connect.NewRequest(&pb.SpawnRequest{Name: name, Policy: &pb.PolicyRef{Name: "one"},
			Placement: &pb.Placement{Node: "n2"}, Checkpoint: &pb.CheckpointPolicy{Messages: 4, Replicas: 1}}))
		return err
	})
	one.exec(name, "import json\n"+counter)
	for range 3 {
		one.call(name, "f")
	}
	all[1].copied(copies)
}

// asOne are nodes that are called by one client, whom all know by his token.
func asOne(t *testing.T, nodes []*process) (all []*process) {
	t.Helper()
	made, err := nodes[0].Policies.CreateToken(t.Context(), connect.NewRequest(&pb.CreateTokenRequest{Name: "one", Role: "admin"}))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range nodes {
		c, err := client.New(client.Config{Socket: p.data + ".sock", Token: made.Msg.GetSecret()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		all = append(all, &process{Client: c, t: t, name: p.name, data: p.data})
	}
	return all
}

func (p *process) tellsSuspended(name string) bool {
	out, err := p.Cells.Inspect(p.t.Context(), connect.NewRequest(&pb.InspectRequest{Name: name}))
	return err == nil && out.Msg.GetReport().GetState() == "suspended" && len(out.Msg.GetReport().GetCopies()) == 2
}

// isToldOf looks at what a node tells of a suspended cell.
func isToldOf(t *testing.T, p *process, name string, was *pb.CellReport) {
	t.Helper()
	r := p.inspect(name)
	if !slices.Contains(r.GetCopies(), "n2") || r.GetCheckpoint() == "" || r.GetNode() == "" || r.GetEpoch() <= was.GetEpoch() {
		t.Errorf("%s tells of it: %v", p.name, r)
	}
	out, err := p.Cells.List(t.Context(), connect.NewRequest(&pb.ListCellsRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	states := map[string]string{}
	for _, one := range out.Msg.GetReports() {
		states[one.GetCell().GetName()] += one.GetState()
	}
	if states[name] != "suspended" {
		t.Errorf("%s lists it as %q", p.name, states[name])
	}
	_, err = p.tryCall(name, "f")
	if cell.KindOf(err) != cell.CellGone || !strings.Contains(err.Error(), "suspended") || !strings.Contains(err.Error(), "restore default/"+name) {
		t.Errorf("asked by way of %s: %v", p.name, err)
	}
}

func (p *process) revive(name, request string) (*pb.CellReport, error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	out, err := p.Cells.Restore(ctx, connect.NewRequest(&pb.RestoreRequest{Name: name, RequestId: request}))
	if err != nil {
		return nil, err
	}
	return out.Msg.GetReport(), nil
}

// isRefused restores what the policy of now does not permit: that is said, and changes nothing.
func isRefused(t *testing.T, living []*process) {
	for _, p := range living {
		if _, err := p.revive("a", "early "+p.name); cell.KindOf(err) != cell.PolicyDenied || !strings.Contains(err.Error(), "json") {
			t.Errorf("by way of %s: %v", p.name, err)
		}
		await.That(t, "it is suspended again", func() bool { return p.tellsSuspended("a") })
	}
	id := living[0].inspect("a").GetCheckpoint()
	if _, err := (story{t, nil, living[0].Client}).tryRestore(&pb.RestoreRequest{Id: id, Name: "another"}); cell.KindOf(err) != cell.PolicyDenied {
		t.Errorf("another cell with its state: %v", err)
	}
	if _, err := living[0].revive("nobody", ""); !errors.Is(err, policystore.ErrNotFound) {
		t.Errorf("a cell that there is not: %v", err)
	}
}

// isClosed closes a suspended cell by way of a node that has no copy: it is forgotten, and so is its state.
func isClosed(t *testing.T, living []*process) {
	by := living[0]
	if slices.Contains(by.inspect("b").GetCopies(), by.name) {
		by = living[1]
	}
	one := story{t, nil, by.Client}
	if len(one.list("b")) != 1 {
		t.Fatalf("its checkpoints are %v", one.list("b"))
	}
	one.close("b")
	one.close("b")
	for _, p := range living {
		await.That(t, p.name+" knows no cell b", func() bool {
			_, err := p.Cells.Inspect(t.Context(), connect.NewRequest(&pb.InspectRequest{Name: "b"}))
			return errors.Is(err, policystore.ErrNotFound)
		})
	}
	if left := one.list("b"); len(left) != 0 {
		t.Errorf("there is still %v", left)
	}
}

// goesOnOnce restores a suspended cell by way of two nodes at once: one has it, and has it again when it asks again.
func goesOnOnce(t *testing.T, living []*process, was *pb.CellReport) {
	living[0].put(withJSON)
	await.That(t, "all nodes know the policy", func() bool {
		for _, p := range living {
			out, err := p.Policies.Get(t.Context(), connect.NewRequest(&pb.GetRequest{Name: "one"}))
			if err != nil || out.Msg.GetVersion().GetNumber() != 3 {
				return false
			}
		}
		return true
	})
	reports, errs := make([]*pb.CellReport, 2), make([]error, 2)
	var asking sync.WaitGroup
	for i, p := range living {
		asking.Go(func() { reports[i], errs[i] = p.revive("a", "by "+p.name) })
	}
	asking.Wait()
	won := slices.IndexFunc(errs, func(err error) bool { return err == nil })
	if won < 0 || errs[1-won] == nil || cell.KindOf(errs[1-won]) != cell.Invalid {
		t.Fatalf("two restores at once: %v, %v", errs[0], errs[1])
	}
	if r := reports[won]; r.GetId() != was.GetId() || r.GetState() != "running" || r.GetEpoch() <= was.GetEpoch() || r.GetPolicy().GetVersion() != 3 {
		t.Errorf("it goes on as %v", r)
	}
	if got, err := living[1-won].tryCall("a", "f"); err != nil || got != "4" {
		t.Errorf("it answers %s, %v", got, err)
	}
	for _, by := range living {
		r, err := by.revive("a", "by "+living[won].name)
		if err != nil || r.GetId() != was.GetId() || r.GetEpoch() != reports[won].GetEpoch() {
			t.Errorf("the same request again, by way of %s: %v, %v", by.name, r, err)
		}
	}
	if _, err := living[won].revive("a", "late"); cell.KindOf(err) != cell.Invalid || !strings.Contains(err.Error(), "is not suspended") {
		t.Errorf("another request, late: %v", err)
	}
}

// goesOnByID restores a suspended cell by its checkpoint's id, for a client that goes away, and that asks again by way
// of each node: it is the same cell, of its name, and the same incarnation each time.
func goesOnByID(t *testing.T, living []*process) {
	waits := living[0].inspect("c")
	r := &pb.RestoreRequest{Id: waits.GetCheckpoint(), RequestId: "again and again"}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	_, _ = living[0].Cells.Restore(ctx, connect.NewRequest(r)) // it does not hear the answer
	cancel()
	var epoch uint64
	for _, by := range slices.Concat(living, living) {
		report, err := (story{t, nil, by.Client}).tryRestore(r)
		if err != nil {
			t.Fatalf("by way of %s: %v", by.name, err)
		}
		if epoch == 0 {
			epoch = report.GetEpoch()
		}
		if report.GetCell().GetName() != "c" || report.GetEpoch() != epoch || epoch <= waits.GetEpoch() {
			t.Errorf("by way of %s: %v", by.name, report)
		}
	}
	if got, err := living[0].tryCall("c", "f"); err != nil || got != "4" {
		t.Errorf("it answers %s, %v", got, err)
	}
	other := &pb.RestoreRequest{Id: waits.GetCheckpoint(), RequestId: "another"}
	if _, err := (story{t, nil, living[1].Client}).tryRestore(other); cell.KindOf(err) != cell.Invalid {
		t.Errorf("by another request: %v", err)
	}
}
