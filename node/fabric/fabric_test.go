package fabric

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/api/fault"
	"github.com/pyisolate/pyisolate/api/server"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cluster/directory"
	"github.com/pyisolate/pyisolate/cluster/group"
	"github.com/pyisolate/pyisolate/cluster/schedule"
	"github.com/pyisolate/pyisolate/internal/await"
)

var web = actors.Address{Tenant: "default", Name: "web"}

func TestACellIsReachedFromEveryNode(t *testing.T) {
	w := newWorld(t, 3)
	g, err := w.nodes["n2"].spawn(soon(t), web, "")
	must(t, err)
	for _, n := range w.nodes {
		n.fresh(t)
		if at, err := n.ask(t, web); err != nil || at != "n2" {
			t.Errorf("from %s it is at %q, %v", n.name, at, err)
		}
		if p, known := n.Find(web); !known || p.Node != "n2" || p.Epoch != g.epoch {
			t.Errorf("%s knows %+v, %v", n.name, p, known)
		}
	}
}

func TestANameHasOneCell(t *testing.T) {
	w := newWorld(t, 2)
	_, err := w.nodes["n1"].spawn(soon(t), web, "")
	must(t, err)
	if _, err := w.nodes["n2"].spawn(soon(t), web, ""); !errors.Is(err, cell.Invalid) || !strings.Contains(err.Error(), "on node n1") {
		t.Errorf("the name is had twice: %v", err)
	}
	w.nodes["n2"].fresh(t)
	if r := w.nodes["n2"].system.Ask(soon(t), actors.Envelope{To: web, Body: actors.Close{}}); r.Err != nil {
		t.Fatal(r.Err)
	}
	// Closed, its name is given back in the background; who wants it waits for that.
	if _, err := w.nodes["n2"].spawn(soon(t), web, ""); err != nil {
		t.Errorf("after its end: %v", err)
	}
}

// A cell that has ended keeps its name, so that somebody sees why, and as long as nobody wants it.
func TestTheNameOfACellThatHasEndedIsGivenUp(t *testing.T) {
	w := newWorld(t, 2)
	g, err := w.nodes["n1"].spawn(soon(t), web, "")
	must(t, err)
	g.end(errors.New("by itself"))
	await.That(t, "it has ended", func() bool {
		_, err := w.nodes["n1"].ask(t, web)
		return errors.Is(err, cell.CellGone)
	})
	again, err := w.nodes["n2"].spawn(soon(t), web, "")
	must(t, err)
	if again.epoch <= g.epoch {
		t.Errorf("epoch %d after %d", again.epoch, g.epoch)
	}
	w.nodes["n1"].fresh(t)
	if at, err := w.nodes["n1"].ask(t, web); err != nil || at != "n2" {
		t.Errorf("from n1 it is at %q, %v", at, err)
	}
}

func TestTheSameRequestIsTheSameClaim(t *testing.T) {
	w := newWorld(t, 2)
	first, err := w.nodes["n1"].Claim(soon(t), web, "r1", "web", 3)
	must(t, err)
	again, err := w.nodes["n1"].Claim(soon(t), web, "r1", "web", 3)
	if err != nil || !reflect.DeepEqual(again, first) {
		t.Errorf("again it is %+v, %v", again, err)
	}
	elsewhere, err := w.nodes["n2"].Claim(soon(t), web, "r1", "web", 3)
	if err != nil || elsewhere.Node != "n1" {
		t.Errorf("at another node it is %+v, %v", elsewhere, err)
	}
	w.nodes["n1"].ended(web, func() bool { return true })
	must(t, w.nodes["n1"].given(soon(t), web))
	if _, known := w.nodes["n1"].Find(web); known {
		t.Error("it is still there")
	}
}

func TestEpochsAreTheDirectorys(t *testing.T) {
	w := newWorld(t, 1)
	n := w.nodes["n1"]
	g, err := n.spawn(soon(t), web, "", actors.Restart{When: actors.OnFailure, First: time.Millisecond})
	must(t, err)
	g.end(errors.New("by itself"))
	await.That(t, "the next incarnation has the next epoch, in the directory too", func() bool {
		p, known := n.Find(web)
		r := n.system.Ask(soon(t), actors.Envelope{To: web, Body: actors.Call{Invocation: cell.Invocation{Target: "where"}}})
		return known && r.Err == nil && r.Epoch == p.Epoch && p.Epoch > g.epoch
	})
	if _, err := n.Restart(soon(t), web, g.epoch); !errors.Is(err, cell.CellGone) {
		t.Errorf("an epoch that is over: %v", err)
	}
}

// A node that is cut off kills its cells before others may have their names, starts none, and has
// those that come after.
func TestANodeWithoutALeaseRunsNothing(t *testing.T) {
	w := newWorld(t, 3)
	var n *node // one that does not lead, so that the others go on
	for _, one := range w.nodes {
		if one.cluster.Group().Leader() != one.name {
			n = one
		}
	}
	g, err := n.spawn(soon(t), web, "", actors.Restart{When: actors.OnFailure, First: time.Millisecond})
	must(t, err)
	var other *node
	for _, one := range w.nodes {
		if one != n {
			other = one
		}
	}
	n.cluster.Control().Close() //nolint:errcheck // it hears no more of its lease
	select {
	case <-g.done:
	case <-soon(t).Done():
		t.Fatal("the cell lives without a lease")
	}
	if err := n.Valid(); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("it may run cells: %v", err)
	}
	if _, err := n.trySpawn(soon(t), actors.Address{Tenant: "default", Name: "other"}, ""); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("it starts one: %v", err)
	}
	if _, err := n.Choose(soon(t), schedule.Wish{Node: n.name}, nil); !errors.Is(err, fault.ErrUnavailable) || !strings.Contains(err.Error(), "it has no lease") {
		t.Errorf("it is asked for a place: %v", err)
	}
	await.That(t, "the others know that the cell's node is gone", func() bool {
		p, known := other.Find(web)
		return known && p.Node == "" && p.Lost == n.name
	})
	again, err := other.spawn(soon(t), web, "")
	if err != nil || again.epoch <= g.epoch {
		t.Fatalf("the name is not free: %v", err)
	}
	if _, err := n.Restart(soon(t), web, g.epoch); err == nil {
		t.Error("the old one is started again")
	}
}

// Without a majority nothing is agreed, which callers hear long before they give up.
func TestWithoutAMajorityCallersHearOfItSoon(t *testing.T) {
	w := newWorld(t, 3)
	n := w.nodes["n1"]
	seat, err := n.seat()
	must(t, err)
	for _, other := range []string{"n2", "n3"} {
		must(t, w.nodes[other].cluster.Close(soon(t)))
	}
	for what, do := range map[string]func() error{
		"refresh": func() error { return n.Refresh(t.Context()) },
		"claim":   func() error { _, err := n.Claim(t.Context(), web, "", "", 0); return err },
		"make room": func() error {
			return n.makeRoom(t.Context(), seat, directory.Record{Cell: cellOf(web), Owner: directory.Seat{Node: "n1", Session: 99}, Phase: directory.Active})
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			if err := do(); !errors.Is(err, fault.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v", err)
			}
			if took := time.Since(began); took > 3*agreeWithin {
				t.Errorf("it took %s", took)
			}
		})
	}
}

func TestChoice(t *testing.T) {
	w := newWorld(t, 3)
	n := w.nodes["n1"]
	for _, c := range []struct {
		name    string
		wish    schedule.Wish
		without []string
		want    string
		kind    cell.Kind
	}{
		{"by label", schedule.Wish{Labels: map[string]string{"name": "n3"}}, nil, "n3", 0},
		{"the only one that is left", schedule.Wish{}, []string{"n1", "n3"}, "n2", 0},
		{"none is left", schedule.Wish{}, []string{"n1", "n2", "n3"}, "", cell.Busy},
		{"none will do", schedule.Wish{Backend: "microvm"}, nil, "", cell.Invalid},
		{"no such node", schedule.Wish{Node: "n9"}, nil, "", cell.Invalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := n.Choose(soon(t), c.wish, c.without)
			if got != c.want || (err != nil) != (c.want == "") || err != nil && !errors.Is(err, c.kind) {
				t.Errorf("it chooses %q, %v", got, err)
			}
		})
	}
	// What was claimed counts at once: cells of a tenant spread however fast they come.
	of := map[string]int{}
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		n.fresh(t)
		at, err := n.Choose(soon(t), schedule.Wish{Tenant: "default", Cell: name}, nil)
		must(t, err)
		_, err = w.nodes[at].spawn(soon(t), actors.Address{Tenant: "default", Name: name}, "")
		must(t, err)
		of[at]++
	}
	if of["n1"] != 2 || of["n2"] != 2 || of["n3"] != 2 {
		t.Errorf("six cells are spread as %v", of)
	}
	n.room.Closed = "it is draining"
	if _, err := n.Choose(soon(t), schedule.Wish{Node: "n1"}, nil); !errors.Is(err, cell.Busy) || !strings.Contains(err.Error(), "n1: it is draining") {
		t.Errorf("a node that drains: %v", err)
	}
}

// Records of nodes that are gone do not stay for ever, but those of cells that have a state.
func TestOldRecordsAreRemoved(t *testing.T) {
	w := newWorldThatKeeps(t, 3, 2*time.Second)
	n := w.nodes["n1"] // one that leads
	for _, one := range w.nodes {
		if one.cluster.Group().Leader() == one.name {
			n = one
		}
	}
	var others []*node
	for _, one := range w.nodes {
		if one != n {
			others = append(others, one)
		}
	}
	gone, later := others[0], others[1]
	_, err := gone.spawn(soon(t), web, "")
	must(t, err)
	saved := actors.Address{Tenant: "default", Name: "saved"}
	g, err := gone.spawn(soon(t), saved, "")
	must(t, err)
	must(t, gone.Save(soon(t), saved, g.epoch, "c0ffee", []string{gone.name}))
	removed := func(from *node, a actors.Address) {
		from.Leave()
		if err := from.cluster.Lease().Release(soon(t)); !errors.Is(err, group.ErrUncertain) { // then the lease ends it
			must(t, err)
		}
		await.That(t, "the record says whose the cell was", func() bool {
			p, known := n.Find(a)
			return known && p.Lost == from.name
		})
		await.That(t, "the record is removed", func() bool {
			_, known := n.Find(a)
			return !known
		})
	}
	removed(gone, web)
	after := actors.Address{Tenant: "default", Name: "after"} // when that is, all of before would be
	_, err = later.spawn(soon(t), after, "")
	must(t, err)
	removed(later, after)
	if p, known := n.Find(saved); !known || p.Phase != server.Suspended || p.Checkpoint != "c0ffee" {
		t.Errorf("the one with a checkpoint is %+v, %v", p, known)
	}
}

func TestForgetRequests(t *testing.T) {
	w := newWorld(t, 1)
	for _, c := range []struct{ name, request string }{
		{"nothing", ""}, {"no JSON", "{"}, {"an unknown field", `{"tenant":"a","name":"b","force":true}`}, {"two", `{}{}`}, {"a list", `[]`},
	} {
		if _, err := w.nodes["n1"].answerForget(soon(t), "n2", []byte(c.request)); err == nil {
			t.Errorf("%s is taken", c.name)
		}
	}
	_, err := w.nodes["n1"].spawn(soon(t), web, "")
	must(t, err)
	back, err := w.nodes["n1"].answerForget(soon(t), "n2", []byte(`{"tenant":"default","name":"web"}`))
	if err != nil || string(back) != `{"free":false}` {
		t.Errorf("of a cell that lives: %s, %v", back, err)
	}
	if at, err := w.nodes["n1"].ask(t, web); err != nil || at != "n1" {
		t.Errorf("it does not live any more: %q, %v", at, err)
	}
}

func FuzzForget(f *testing.F) {
	f.Add([]byte(`{"tenant":"default","name":"web"}`))
	f.Add([]byte(`{"tenant":1}`))
	f.Fuzz(func(t *testing.T, request []byte) {
		if a, err := readForget(request); err != nil && a != (actors.Address{}) {
			t.Errorf("%v, and %v", a, err)
		}
	})
}

func BenchmarkLookup(b *testing.B) {
	w := newWorld(b, 1)
	_, err := w.nodes["n1"].spawn(soon(b), web, "")
	must(b, err)
	names := w.nodes["n1"].Names()
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := names.Lookup(web); !ok {
			b.Fatal("it is not there")
		}
	}
}

func BenchmarkClaim(b *testing.B) {
	w := newWorld(b, 3)
	n := w.nodes["n2"]
	for b.Loop() {
		_, err := n.Claim(soon(b), web, "", "", 0)
		must(b, err)
		n.ended(web, func() bool { return true })
		must(b, n.given(soon(b), web))
	}
}
