package node

import (
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/telemetry/events"
)

// heard is what a stream of events has said, in short.
type heard struct {
	sync.Mutex
	words []string
}

// hear follows the events of some kinds by way of a node.
func (p *process) hear(kinds ...events.Kind) *heard {
	p.t.Helper()
	r := &pb.EventsRequest{Follow: true}
	for _, k := range kinds {
		r.Kinds = append(r.Kinds, string(k))
	}
	stream, err := p.Nodes.Events(p.t.Context(), connect.NewRequest(r))
	if err != nil {
		p.t.Fatal(err)
	}
	h, done := &heard{}, make(chan struct{})
	go func() {
		defer close(done)
		for stream.Receive() {
			if e := stream.Msg().GetEvent(); e != nil {
				h.Lock()
				h.words = append(h.words, e.GetNode()+" "+e.GetKind()+" "+e.GetCell().GetName())
				h.Unlock()
			}
		}
	}()
	p.t.Cleanup(func() {
		_ = stream.Close()
		<-done
	})
	return h
}

func (h *heard) waits(t *testing.T, word string) {
	t.Helper()
	await.That(t, "it hears "+word, func() bool { return h.has(word) })
}

func (h *heard) has(word string) bool {
	h.Lock()
	defer h.Unlock()
	return slices.Contains(h.words, word)
}

// One node tells of the events of all, also when one is killed, and when one stands still and goes on.
func TestEventsOfThreeNodes(t *testing.T) {
	if testing.Short() {
		t.Skip("three nodes take a while to start")
	}
	all := processes(t)
	all[0].put(onePolicy)
	h := all[0].hear(events.CellStarted)
	for _, p := range all {
		succeeds(t, "a cell starts on "+p.name, func() error { return all[0].spawn("at-"+p.name, p.name) })
		h.waits(t, p.name+" CELL_STARTED at-"+p.name)
	}
	ends := func(p *process, by syscall.Signal) {
		began := time.Now()
		p.signal(by)
		h.waits(t, p.name+" NODE_SILENT ")
		t.Logf("that %s got %q was told after %s", p.name, by, time.Since(began).Round(time.Millisecond))
	}
	ends(all[2], syscall.SIGSTOP)
	all[2].signal(syscall.SIGCONT)
	h.waits(t, "n3 NODE_BACK ")
	all[0].seesAll(3)
	ends(all[1], syscall.SIGKILL)
	succeeds(t, "a cell starts on who is left", func() error { return all[0].spawn("later", "n3") })
	h.waits(t, "n3 CELL_STARTED later")
	_ = all[1].running.Wait()
	all[1].start()
	h.waits(t, "n2 NODE_BACK ")
	if h.has("n1 NODE_SILENT ") {
		t.Errorf("the node that tells is said to be silent: %v", h.words)
	}
}
