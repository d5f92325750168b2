package server_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/api/client"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/api/server"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/telemetry"
	"github.com/pyisolate/pyisolate/telemetry/events"
)

// teller is a node of a world that keeps events.
type teller struct {
	*node
	*fabric
	hub *events.Hub
}

// tellers are nodes of a world, n1 first, whose indexes have nothing in common.
func tellers(t *testing.T, w *world, count int) (all []teller) {
	t.Helper()
	for range count {
		hub := events.NewHubFrom(64, uint64(1000*(1+len(w.nodes))))
		n, f := w.join(t, fmt.Sprintf("n%d", 1+len(w.nodes)), func(c *server.Config) { c.Observer = &telemetry.Observer{Events: hub} })
		all = append(all, teller{n, f, hub})
	}
	return all
}

func (n teller) publish(tenant, message string, at int64) {
	e := events.Event{Kind: events.PolicyPut, Tenant: tenant, Message: message}
	if tenant != "" {
		e.Kind, e.Cell = events.CellStarted, "c"
	}
	if at != 0 {
		e.At = time.Unix(at, 0)
	}
	n.hub.Publish(e)
}

// word is a message of a stream in short: the node, and what happened there.
func word(m *pb.EventsResponse) string {
	if m.GetLost() > 0 {
		return fmt.Sprintf("%s lost %d", m.GetLostOf(), m.GetLost())
	}
	e := m.GetEvent()
	if strings.HasPrefix(e.GetKind(), "NODE_") {
		return e.GetNode() + " " + e.GetKind()
	}
	return e.GetNode() + " " + e.GetMessage()
}

// told is what a stream that does not follow says, without the node n9, of which every world says that it is
// lost.
func told(t *testing.T, by *client.Client, r *pb.EventsRequest) (words []string, last map[string]uint64) {
	t.Helper()
	stream, err := by.Nodes.Events(t.Context(), connect.NewRequest(r))
	must(t, err)
	defer func() { _ = stream.Close() }()
	last = map[string]uint64{}
	for stream.Receive() {
		if e := stream.Msg().GetEvent(); e.GetNode() != "n9" {
			words = append(words, word(stream.Msg()))
			last[e.GetNode()] = e.GetIndex()
		}
	}
	must(t, stream.Err())
	return words, last
}

// hearing is a stream that is followed.
type hearing struct {
	sync.Mutex
	words []string
}

func follow(t *testing.T, by *client.Client, r *pb.EventsRequest) *hearing {
	t.Helper()
	r.Follow = true
	stream, err := by.Nodes.Events(t.Context(), connect.NewRequest(r))
	must(t, err)
	h, done := &hearing{}, make(chan struct{})
	go func() {
		defer close(done)
		for stream.Receive() {
			h.Lock()
			h.words = append(h.words, word(stream.Msg()))
			h.Unlock()
		}
	}()
	t.Cleanup(func() {
		_ = stream.Close()
		<-done
	})
	return h
}

func (h *hearing) count(word string) (n int) {
	h.Lock()
	defer h.Unlock()
	for _, one := range h.words {
		if one == word {
			n++
		}
	}
	return n
}

// hears waits for words in that order, each of which comes once.
func (h *hearing) hears(t *testing.T, words ...string) {
	t.Helper()
	defer func() { // also when that is waited for in vain
		if t.Failed() {
			h.Lock()
			defer h.Unlock()
			t.Logf("it heard %v", h.words)
		}
	}()
	await.That(t, fmt.Sprint("it hears ", words), func() bool {
		h.Lock()
		defer h.Unlock()
		left := words
		for _, one := range h.words {
			if len(left) > 0 && one == left[0] {
				left = left[1:]
			}
		}
		return len(left) == 0
	})
	for _, one := range words {
		if n := h.count(one); n != 1 {
			t.Errorf("%q came %d times: %v", one, n, h.words)
		}
	}
}

// What all nodes have kept comes in the order of time, whichever is asked, to who may hear of it.
func TestKeptEventsOfAllNodes(t *testing.T) {
	w := newWorld(t)
	all := tellers(t, w, 3)
	all[0].publish("a", "first", 1)
	all[2].publish("b", "second", 2)
	all[1].publish("", "third", 3)
	all[0].publish("", "fourth", 4)
	bound, _ := all[1].as(t, "viewer", "a")
	for name, c := range map[string]struct {
		by   *client.Client
		ask  *pb.EventsRequest
		want []string
	}{
		"by n1":            {all[0].Client, &pb.EventsRequest{}, []string{"n1 first", "n3 second", "n2 third", "n1 fourth"}},
		"by n3":            {all[2].Client, &pb.EventsRequest{}, []string{"n1 first", "n3 second", "n2 third", "n1 fourth"}},
		"of another node":  {all[0].Client, &pb.EventsRequest{Node: "n2"}, []string{"n2 third"}},
		"of this node":     {all[0].Client, &pb.EventsRequest{Node: "n1"}, []string{"n1 first", "n1 fourth"}},
		"to who is bound":  {bound, &pb.EventsRequest{}, []string{"n1 first"}},
		"of a kind":        {all[1].Client, &pb.EventsRequest{Kinds: []string{"CELL_STARTED", "NODE_SILENT"}}, []string{"n1 first", "n3 second"}},
		"after one's last": {all[1].Client, &pb.EventsRequest{After: 1000}, []string{"n3 second", "n2 third", "n1 fourth"}},
	} {
		await.That(t, name+", all nodes answer in time", func() bool { // which one that is busy does not
			got, _ := told(t, c.by, c.ask)
			silent := slices.ContainsFunc(got, func(word string) bool { return strings.HasSuffix(word, "NODE_SILENT") })
			if !silent && !slices.Equal(got, c.want) {
				t.Errorf("%s: %v, want %v", name, got, c.want)
			}
			return !silent
		})
	}
	_, last := told(t, all[0].Client, &pb.EventsRequest{})
	all[1].publish("", "fifth", 5)
	if got, _ := told(t, all[2].Client, &pb.EventsRequest{AfterOf: last}); !slices.Equal(got, []string{"n2 fifth"}) {
		t.Errorf("after %v: %v", last, got)
	}
	stream, err := all[0].Nodes.Events(t.Context(), connect.NewRequest(&pb.EventsRequest{Node: "n7"}))
	must(t, err)
	if stream.Receive() || !errors.Is(stream.Err(), policystore.ErrNotFound) {
		t.Errorf("of a node that there is not: %v", stream.Err())
	}
}

// Nodes that cannot be reached stop nobody's events, and theirs come, each once, when they can be again.
func TestEventsOfSilentNodes(t *testing.T) {
	w := newWorld(t)
	all := tellers(t, w, 3)
	all[1].publish("a", "before", 0)
	bound, _ := all[0].as(t, "viewer", "a")
	everything, of2, tenants := follow(t, all[0].Client, &pb.EventsRequest{}), follow(t, all[0].Client, &pb.EventsRequest{Node: "n2"}), follow(t, bound, &pb.EventsRequest{})
	everything.hears(t, "n2 before", "n9 NODE_SILENT")
	all[2].publish("b", "then", 0)
	everything.hears(t, "n2 before", "n3 then")
	of2.hears(t, "n2 before")
	tenants.hears(t, "n2 before")

	f := all[0].fabric
	f.losing.Lock()
	f.cut = 1
	f.losing.Unlock()
	f.hangUp()
	everything.hears(t, "n2 NODE_SILENT")
	everything.hears(t, "n3 NODE_SILENT")
	for _, h := range []*hearing{tenants, of2} { // or the link is back before they have noticed
		h.hears(t, "n2 before", "n2 NODE_SILENT")
	}
	all[1].publish("a", "meanwhile", 0)
	all[0].publish("", "here", 0)
	everything.hears(t, "n1 here")
	if got, _ := told(t, all[0].Client, &pb.EventsRequest{}); len(got) != 3 || got[0] != "n1 here" {
		t.Errorf("what is kept: %v", got)
	}
	f.losing.Lock()
	f.cut = 0
	f.losing.Unlock()
	everything.hears(t, "n2 before", "n2 NODE_SILENT", "n2 NODE_BACK", "n2 meanwhile")
	tenants.hears(t, "n2 before", "n2 NODE_SILENT", "n2 NODE_BACK", "n2 meanwhile")
	of2.hears(t, "n2 before", "n2 NODE_SILENT", "n2 NODE_BACK", "n2 meanwhile")
	all[1].publish("a", "after", 0)
	for _, h := range []*hearing{everything, tenants, of2} {
		h.hears(t, "n2 meanwhile", "n2 after")
	}
	if n := of2.count("n3 NODE_SILENT") + of2.count("n1 here") + tenants.count("n3 then"); n != 0 {
		t.Errorf("%d events that were not asked for: %v, %v", n, of2.words, tenants.words)
	}
}

// The events of a node that comes while a stream is open come, too; one that is none of the cluster's any
// more is not asked again, and has them come from the start should there be another of its name.
func TestEventsOfNodesThatComeAndGo(t *testing.T) {
	w := newWorld(t)
	first := tellers(t, w, 1)[0]
	heard := follow(t, first.Client, &pb.EventsRequest{})
	heard.hears(t, "n9 NODE_SILENT")
	second := tellers(t, w, 1)[0]
	second.publish("", "hello", 0)
	heard.hears(t, "n2 hello")
	must(t, second.server.Close(t.Context()))
	w.die("n2")
	first.transport.CloseIdleConnections()
	heard.hears(t, "n2 hello", "n2 NODE_SILENT")
	first.publish("", "alone", 0)
	heard.hears(t, "n2 NODE_SILENT", "n1 alone")
}

// Who does not take what comes has no more of it kept for him than there is room, and is told what he misses.
func TestSlowReaderOfAllNodes(t *testing.T) {
	w := newWorld(t)
	all := tellers(t, w, 2)
	stream, err := all[0].Nodes.Events(t.Context(), connect.NewRequest(&pb.EventsRequest{Follow: true, Node: "n2"}))
	must(t, err)
	defer func() { _ = stream.Close() }()
	for _, one := range []string{"kept", "followed"} { // from the second on what is missing is counted
		all[1].publish("", one, 0)
		if !stream.Receive() {
			t.Fatal(stream.Err())
		}
	}
	const count, end = 20000, "the end"
	for range count {
		all[1].publish("", strings.Repeat("x", 1000), 0)
	}
	all[1].publish("", end, 0)
	got, lost := 0, 0
	for stream.Receive() {
		lost += int(stream.Msg().GetLost())
		if e := stream.Msg().GetEvent(); e != nil {
			got++
			if e.GetMessage() == end {
				break
			}
		}
	}
	if got+lost != count+1 || lost == 0 {
		t.Errorf("%d came and %d were lost of %d: %v", got, lost, count+1, stream.Err())
	}
}

// Cells of one node alone, whichever is asked.
func TestCellsOfOneNode(t *testing.T) {
	w := newWorld(t)
	n1, _ := w.join(t, "n1")
	n2, _ := w.join(t, "n2")
	spawnOn(t, n1, "n1", "a")
	spawnOn(t, n1, "n2", "b")
	spawnOn(t, n1, "n2", "c")
	for name, n := range map[string]*node{"n1": n1, "n2": n2} {
		for of, want := range map[string]int{"n1": 1, "n2": 2, "": 3} {
			await.That(t, fmt.Sprintf("by %s, of %q: all are told of", name, of), func() bool { // a node that is busy does not answer in time
				list, err := n.Cells.List(t.Context(), connect.NewRequest(&pb.ListCellsRequest{Node: of}))
				must(t, err)
				if len(list.Msg.GetReports()) != want {
					t.Fatalf("by %s, of %q: %v, want %d", name, of, list.Msg, want)
				}
				return len(list.Msg.GetSilent()) == 0
			})
			await.That(t, fmt.Sprintf("by %s, of %q: all are counted", name, of), func() bool {
				stats, err := n.Cells.Stats(t.Context(), connect.NewRequest(&pb.StatsRequest{Node: of}))
				must(t, err)
				lost := map[bool][]string{true: {"n9"}}[of == ""]
				return len(stats.Msg.GetStates()) == 1 && stats.Msg.GetStates()["running"] == uint32(want) && slices.Equal(stats.Msg.GetSilent(), lost)
			})
		}
		if _, err := n.Cells.List(t.Context(), connect.NewRequest(&pb.ListCellsRequest{Node: "n7"})); !errors.Is(err, policystore.ErrNotFound) {
			t.Errorf("of a node that there is not: %v", err)
		}
	}
	w.lose(t, n2)
	list, err := n1.Cells.List(t.Context(), connect.NewRequest(&pb.ListCellsRequest{Node: "n2"}))
	must(t, err)
	if got := list.Msg; len(got.GetReports()) != 2 || got.GetReports()[0].GetState() != "unknown" || !slices.Equal(got.GetSilent(), []string{"n2"}) {
		t.Errorf("of one that does not answer: %v", got)
	}
}
