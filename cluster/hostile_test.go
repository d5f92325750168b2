package cluster

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/cluster/control"
	"github.com/pyisolate/pyisolate/cluster/enroll"
	"github.com/pyisolate/pyisolate/cluster/group"
	"github.com/pyisolate/pyisolate/cluster/members"
	"github.com/pyisolate/pyisolate/cluster/pki"
	"github.com/pyisolate/pyisolate/cluster/roster"
	"github.com/pyisolate/pyisolate/cluster/wire"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/internal/loopback"
)

// insider is a port with a certificate, used by somebody who does not run a node.
type insider struct {
	*wire.Wire
	*control.Control
}

func (i insider) close() {
	_ = i.Control.Close()
	_ = i.Wire.Close()
}

func newInsider(t *testing.T, id *pki.Identity, at string, to *node) insider {
	t.Helper()
	w, err := wire.Listen(soon(t), wire.Config{
		Identity: id, Address: at, Limits: wire.Limits{Rate: 1000, Burst: 1000},
		Lookup: func(string) (string, error) { return to.at, nil }, Allow: func(pki.Peer) error { return nil },
	})
	must(t, err)
	i := insider{w, control.Open(w, nil)}
	t.Cleanup(i.close)
	return i
}

// A node that has a certificate and does not vote is let in, and may not ask for what others decide.
func TestInsider(t *testing.T) {
	t.Parallel()
	nodes := form(t, 3)
	n4 := join(t, nodes[0], "n4")
	id, err := pki.LoadIdentity(n4.dir + "/" + identityFile)
	must(t, err)
	insiders := map[*node]insider{}
	for _, n := range nodes {
		insiders[n] = newInsider(t, id, "127.0.0.1:0", n)
	}
	encode := func(c roster.Command) []byte {
		text, err := c.Encode()
		must(t, err)
		return text
	}
	enrol := func(c roster.Command) []byte { return []byte(`{"enrol":` + string(encode(c)) + `}`) }
	request, err := pki.NewRequest("n9")
	must(t, err)
	petition := enroll.Petition{Token: "0123456789abcdef", Secret: []byte("x"), Name: "n9", Request: request.DER(), Address: "h:1"}
	text, err := json.Marshal(petition)
	must(t, err)
	until := time.Now().Add(time.Hour)
	key := make([]byte, 32)
	for name, c := range map[string]struct {
		topic   string
		request []byte
		says    string // in an answer or an error
	}{
		"the authority's key":         {topicAuthority, nil, "does not vote"},
		"to vote":                     {topicDirectory, enrol(roster.Command{Op: roster.Promote, Name: "n4"}), "may not ask"},
		"a key for another":           {topicDirectory, enrol(roster.Command{Op: roster.Renew, Name: "n1", Key: key, Until: until}), "may not ask"},
		"another place for another":   {topicMove, encode(roster.Command{Op: roster.Move, Name: "n1", Address: "h:1"}), "another change than where it is"},
		"another change than a place": {topicMove, encode(roster.Command{Op: roster.Remove, Name: "n4"}), "another change than where it is"},
		"another's lease":             {topicDirectory, []byte(`{"renew":{"node":"n1","session":3}}`), "asks for the lease of node n1"},
		"the end of another":          {topicDirectory, []byte(`{"propose":{"op":"end","seat":{"node":"n1","session":3}}}`), "asks for a change by node n1"},
		"what nobody knows":           {topicDirectory, []byte(`{"propose":{"op":"dance"}}`), "no change that this version knows"},
		"garbage":                     {topicDirectory, []byte("{"), "cannot be read"},
		"a node with a wrong token":   {topicAdmit, text, "not valid"},
		"a node without sense":        {topicAdmit, []byte(`{"token":1}`), "unmarshal"},
		"a certificate for garbage":   {enroll.Topic, []byte("garbage"), "not a request"},
		"to be seen off":              {topicFarewell, nil, "is not retired"},
		"what has no topic":           {"cluster/keys", nil, "nobody answers"},
	} {
		t.Run(name, func(t *testing.T) {
			var said string
			await.That(t, "who leads has judged it", func() bool {
				n := leader(t, nodes)
				answer, err := insiders[n].Ask(soon(t), n.name, c.topic, c.request)
				if said = string(answer); err != nil {
					said = err.Error()
				}
				return !strings.Contains(said, group.ErrNoLeader.Error()) // it was lost meanwhile
			})
			if !strings.Contains(said, c.says) {
				t.Error(said)
			}
		})
	}
	n1 := leader(t, nodes)
	in := insiders[n1]
	for _, s := range []wire.Stream{wire.Directory, wire.Policy} {
		n1.wire.Listener(s) // of the policies, which this cluster has none of
		if c, err := in.Dial(soon(t), n1.name, s); err == nil {
			_ = c.Close()
			t.Errorf("%s, on which leaders are believed, is open to one that does not vote", s)
		}
	}
	if m, _ := n1.Group().Roster().Member("n4"); m.Voter || len(m.Keys) != 1 {
		t.Errorf("%+v", m)
	}
	// It is told what it needs to be a node. When it is removed, it is not told anything any more.
	if _, err := in.Ask(soon(t), n1.name, topicRoster, nil); err != nil {
		t.Error(err)
	}
	n1.removes(t, "n4", false)
	for _, topic := range []string{topicRoster, topicReport, topicAuthority, enroll.Topic} {
		if _, err := in.Ask(soon(t), n1.name, topic, request.DER()); err == nil {
			t.Errorf("%s is answered to one that was removed", topic)
		}
	}
}

// Who has no certificate of the cluster gets no stream, and no answer on the one for new nodes.
func TestOutsider(t *testing.T) {
	t.Parallel()
	n1 := found(t, "n1")
	n1.open()
	leader(t, []*node{n1})
	before := n1.Status().Applied
	other := found(t, "n2") // of a cluster of its own
	id, err := pki.LoadIdentity(other.dir + "/" + identityFile)
	must(t, err)
	in := newInsider(t, id, "127.0.0.1:0", n1)
	for _, s := range []wire.Stream{wire.Control, wire.Directory, wire.Policy, wire.Actors, wire.API} {
		if c, err := in.Dial(soon(t), "n1", s); err == nil {
			_ = c.Close()
			t.Errorf("%s is open to a node of another cluster", s)
		}
	}
	for name, first := range map[string][]byte{
		"nothing":    nil,
		"garbage":    bytes.Repeat([]byte("GET / HTTP/1.1\r\n"), 100),
		"half a TLS": {0x16, 3, 1, 2, 0, 1},
	} {
		c, err := net.Dial("tcp", n1.at)
		must(t, err)
		_, _ = c.Write(first)
		_ = c.(*net.TCPConn).CloseWrite() // it may be closed
		must(t, c.SetReadDeadline(time.Now().Add(10*time.Second)))
		if _, err := io.Copy(io.Discard, c); errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", name, err)
		}
		_ = c.Close()
	}
	// Gossip in the clear, and under another key.
	for _, b := range [][]byte{make([]byte, 100), bytes.Repeat([]byte{244}, 1400)} {
		_, _ = rand.Read(b[1:])
		u, err := net.Dial("udp", n1.Cluster.config.GossipAdvertise)
		must(t, err)
		_, _ = u.Write(b)
		_ = u.Close()
	}
	if s := n1.Status(); s.Members != 1 || s.Alive != 1 {
		t.Errorf("%+v", s)
	}
	must(t, n1.Group().Fence(soon(t)))
	if c, _ := n1.Group().Roster().Member("n2"); c.Name != "" {
		t.Errorf("%+v; %d changes before", c, before)
	}
}

// Whoever can gossip can say that somebody is dead. It is looked at, and found out.
func TestSlander(t *testing.T) {
	t.Parallel()
	nodes := form(t, 3, lasting(time.Minute)) // no session is to end by itself
	n1 := nodes[0]
	await.That(t, "all is quiet", func() bool { return n1.presence.of("n3") == Alive })
	for _, name := range []string{"n3", "n1", "nobody"} {
		n1.seen(members.Event{Change: members.Failed, Member: members.Member{Name: name}})
	}
	await.That(t, "it is found out", func() bool { return !n1.silent("n3") })
	if s := n1.Status(); s.Members != 3 || s.Voters != 3 || n1.presence.of("n3") != Failed {
		t.Errorf("%+v", s)
	}
	if _, ok := n1.Group().Sessions()["n3"]; !ok {
		t.Error("a node has lost its session by gossip")
	}
	nodes[2].kill()
	if !n1.silent("n3") {
		t.Error("a node that is not there is taken for one that is")
	}
}

// A node that has no room for another request, or refuses it, is there.
func TestBusyIsNotDead(t *testing.T) {
	t.Parallel()
	nodes := form(t, 2)
	n1, n2 := nodes[0], nodes[1]
	const most = 64 // that one node may have under way at another
	ctx, cancel := context.WithCancel(context.Background())
	began := make(chan struct{}, most)
	must(t, n2.Control().Handle("test/stuck", func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
		select {
		case began <- struct{}{}:
			<-ctx.Done()
		case <-ctx.Done():
		}
		return nil, ctx.Err()
	}))
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	await.That(t, "there is room for no other request", func() bool {
		asking.Go(func() { _, _ = n1.Control().Ask(ctx, n2.name, "test/stuck", nil) })
		return len(began) == most
	})
	if _, err := n1.ask(soon(t), n2.name); err == nil {
		t.Error("there is room still")
	}
	await.That(t, "a node that is busy is not taken for one that is dead", func() bool { return !n1.silent(n2.name) })
	var urgently atomic.Bool
	for what, h := range map[string]control.Handler{
		"a node that turns it away": nil,
		"a node that refuses it": func(_ context.Context, _ string, request []byte) ([]byte, error) {
			urgently.CompareAndSwap(false, string(request) == group.Probe)
			return nil, errors.New("no")
		},
	} {
		must(t, n2.Control().Handle(topicLease, h))
		await.That(t, what+" is not taken for one that is dead", func() bool { return !n1.silent(n2.name) })
	}
	if !urgently.Load() {
		t.Error("the question waits behind others")
	}
}

// Entries wait for a node that is not there; what would be in the way does not.
func TestPatience(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		entry  *raft.AppendEntriesRequest
		member bool
		term   uint64 // that it leads in since
		waits  bool
	}{
		"an entry":                {&raft.AppendEntriesRequest{Term: 1, PrevLogEntry: 1}, true, 1, true},
		"a heartbeat":             {&raft.AppendEntriesRequest{Term: 1}, true, 1, false},
		"an entry for a stranger": {&raft.AppendEntriesRequest{Term: 1, PrevLogEntry: 1}, false, 1, false},
		"an entry of an old term": {&raft.AppendEntriesRequest{Term: 1, PrevLogEntry: 1}, true, 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			at := loopback.Address()
			from, err := raft.NewTCPTransport("127.0.0.1:0", nil, 1, time.Second, io.Discard)
			must(t, err)
			p := patient(from, func(string) bool { return c.member })
			defer func() { _ = p.Close() }()
			p.goesOn(c.term, "n2")
			done := make(chan error, 1)
			go func() {
				done <- p.AppendEntries("n2", raft.ServerAddress(at), c.entry, &raft.AppendEntriesResponse{})
			}()
			if !c.waits {
				if err := <-done; err == nil {
					t.Error("it arrived nowhere")
				}
				return
			}
			to, err := raft.NewTCPTransport(at, nil, 1, time.Second, io.Discard)
			must(t, err)
			defer func() { _ = to.Close() }()
			go func() {
				rpc := <-to.Consumer()
				rpc.Respond(&raft.AppendEntriesResponse{Success: true}, nil)
			}()
			must(t, <-done)
		})
	}
}

// A pipeline from which nobody takes answers any more ends, and with it whoever adds to it.
func TestAPipelineDoesNotGetStuck(t *testing.T) {
	t.Parallel()
	from, err := raft.NewTCPTransport("127.0.0.1:0", nil, 1, time.Minute, io.Discard)
	must(t, err)
	to, err := raft.NewTCPTransport("127.0.0.1:0", nil, 1, time.Minute, io.Discard)
	must(t, err)
	over := make(chan struct{})
	defer func() { close(over); _ = to.Close() }()
	go func() {
		for {
			select {
			case rpc := <-to.Consumer():
				rpc.Respond(&raft.AppendEntriesResponse{Success: true}, nil)
			case <-over:
				return
			}
		}
	}()
	p := patient(from, func(string) bool { return true })
	p.stuck = 50 * time.Millisecond
	defer func() { _ = p.Close() }()
	line, err := p.AppendEntriesPipeline("n2", to.LocalAddr())
	must(t, err)
	defer func() { _ = line.Close() }()
	done := make(chan error, 1)
	go func() {
		for {
			if _, err := line.AppendEntries(&raft.AppendEntriesRequest{Term: 1, PrevLogEntry: 1}, &raft.AppendEntriesResponse{}); err != nil {
				done <- err
				return
			}
		}
	}()
	select {
	case err := <-done:
		if !errors.Is(err, raft.ErrPipelineShutdown) {
			t.Error(err)
		}
	case <-soon(t).Done():
		_ = line.Close()
		t.Errorf("it waited until it was closed: %v", <-done)
	}
}
