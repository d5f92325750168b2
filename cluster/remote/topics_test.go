package remote

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cluster/remote/internal/envelope"
	"github.com/pyisolate/pyisolate/internal/await"
)

// TestTopics: what is published reaches whoever hears it, on all nodes, as that changes.
func TestTopics(t *testing.T) {
	in := newCluster(t, "a", "b", "c")
	if err := os.WriteFile(in.peersFile(), []byte("a b c"), 0o600); err != nil {
		t.Fatal(err)
	}
	there(t, in, "b")
	c := there(t, in, "c")
	a := here(t, in, "a")
	publish := func(topic string) actors.Published {
		p, err := a.system.Publish(soon(t), "acme", topic, "me", cell.BytesValue([]byte("hello")))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	await.That(t, "all six hear it", func() bool { return publish("news").Delivered == 6 })
	if got := told[[]string](t, a, "other-on-c", "inbox"); len(got) == 0 || got[0] != "hello" {
		t.Errorf("c has %v", got)
	}
	if got := publish("nothing"); got.Delivered != 0 || len(got.Refused) != 0 {
		t.Errorf("nobody hears it: %+v", got)
	}

	if r := a.system.Ask(soon(t), actors.Envelope{To: at("other-on-b"), Body: actors.Close{}}); r.Err != nil {
		t.Fatal(r.Err)
	}
	if got := publish("news"); got.Delivered != 5 || len(got.Refused) != 0 {
		t.Errorf("one has left: %+v", got)
	}
	if err := a.spawn("new-on-a", "fresh"); err != nil {
		t.Fatal(err)
	}
	await.That(t, "b has heard of it", func() bool { return publishedOn(t, a, "b", "fresh") == 1 })
	a.system.Unsubscribe(at("new-on-a"), "fresh")
	await.That(t, "b has heard that it is over", func() bool { return len(a.remote.topics.nodes(actors.Topic{Tenant: "acme", Name: "fresh"})) == 0 })

	c.kill()
	got := publish("news")
	if got.Delivered != 3 || len(got.Refused) != 1 {
		t.Errorf("a node has died: %+v", got)
	} else if k := cell.KindOf(got.Refused[0].Err); k != cell.Busy && k != cell.UnknownOutcome { // it may have been sent yet
		t.Errorf("a node has died: %+v", got)
	}
	a.remote.SetPeers([]string{"a", "b"})
	if got := publish("news"); got.Delivered != 3 || len(got.Refused) != 0 {
		t.Errorf("it is no member any more: %+v", got)
	}
	if err := a.system.Subscribe(at("echo-on-b"), "x"); cell.KindOf(err) != cell.Invalid {
		t.Errorf("a cell of another node: %v", err)
	}
}

// publishedOn is in how many inboxes it is what a cell of another node published.
func publishedOn(tb testing.TB, n *node, on, topic string) (delivered int) {
	tb.Helper()
	r := n.system.Ask(soon(tb), invoke("teller-on-"+on, "publish "+topic, nil))
	if err := r.Value.Decode(&delivered); r.Err != nil || err != nil {
		tb.Fatal(r.Err, err)
	}
	return delivered
}

// TestAudience: what another node says it hears, in whatever order and amount.
func TestAudience(t *testing.T) {
	topic := func(name string) *envelope.Topic { return &envelope.Topic{Tenant: "acme", Name: name} }
	many := make([]*envelope.Topic, topicsOfNode+1)
	for i := range many {
		many[i] = topic(fmt.Sprint(i))
	}
	first := &envelope.TopicUpdate{First: true, Heard: []*envelope.Topic{topic("x"), nil}}
	for name, c := range map[string]struct {
		updates []*envelope.TopicUpdate
		session string // of the last
		want    bool   // x is heard
	}{
		"first":              {[]*envelope.TopicUpdate{first}, "1", true},
		"no first":           {[]*envelope.TopicUpdate{{Heard: []*envelope.Topic{topic("x")}}}, "1", false},
		"left":               {[]*envelope.TopicUpdate{first, {Left: []*envelope.Topic{topic("x"), nil}}}, "1", false},
		"another first":      {[]*envelope.TopicUpdate{first, {First: true}}, "2", false},
		"another life's":     {[]*envelope.TopicUpdate{{First: true}, {Heard: []*envelope.Topic{topic("x")}}}, "2", false},
		"everything":         {[]*envelope.TopicUpdate{{First: true, All: true}}, "1", true},
		"too many":           {[]*envelope.TopicUpdate{{First: true, Heard: many}}, "1", true},
		"too many, and left": {[]*envelope.TopicUpdate{{First: true, Heard: many}, {Left: []*envelope.Topic{topic("x")}}}, "1", true},
	} {
		t.Run(name, func(t *testing.T) {
			var s topics
			for i, u := range c.updates {
				from := asker{"b", "1"}
				if i == len(c.updates)-1 {
					from.session = c.session
				}
				s.update(from, u)
			}
			if got := slices.Contains(s.nodes(actors.Topic{Tenant: "acme", Name: "x"}), "b"); got != c.want {
				t.Error(got)
			}
		})
	}
}

// TestAudienceBounded: what another node has this one keep is bounded in bytes, too.
func TestAudienceBounded(t *testing.T) {
	first := &envelope.TopicUpdate{First: true, Heard: []*envelope.Topic{
		nil,
		{Tenant: "acme"},
		{Name: "x"},
		{Tenant: "acme", Name: strings.Repeat("x", 129)},
		{Tenant: strings.Repeat("x", 65), Name: "x"},
		{Tenant: "acme", Name: strings.Repeat("x", 128)},
	}}
	var s topics
	s.update(asker{"b", "1"}, first)
	if got := s.of["b"].topics; len(got) != 1 || !got[actors.Topic{Tenant: "acme", Name: strings.Repeat("x", 128)}] {
		t.Errorf("%d topics are kept: %.200v", len(got), got)
	}
	more := &envelope.TopicUpdate{}
	for i := range topicsOfNode + 1000 {
		more.Heard = append(more.Heard, &envelope.Topic{Tenant: "acme", Name: fmt.Sprint(i)})
	}
	s.update(asker{"b", "1"}, more)
	if got := s.of["b"]; !got.all || len(got.topics) != 0 {
		t.Errorf("it hears all: %v, and %d topics are kept", got.all, len(got.topics))
	}
}

// TestHeardBeforeItIsAPeer: a node that is let in says once what it hears, also before it is known here as a peer.
func TestHeardBeforeItIsAPeer(t *testing.T) {
	in := newCluster(t, "a", "b")
	if err := os.WriteFile(in.peersFile(), []byte("a b"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := there(t, in, "b")
	a := here(t, in, "a")
	hears := func() bool {
		return slices.Contains(a.remote.topics.nodes(actors.Topic{Tenant: "acme", Name: "news"}), "b")
	}
	await.That(t, "b has said what it hears", hears)
	a.remote.SetPeers([]string{"a"})
	if hears() {
		t.Error("b is no peer, and what is published goes there")
	}
	a.remote.SetPeers([]string{"a", "b"})
	if !hears() {
		t.Error("b is a peer, and what it hears is forgotten")
	}
	a.remote.SetPeers([]string{"a"})
	b.kill()
	await.That(t, "nothing is kept of b", func() bool {
		a.remote.SetPeers([]string{"a"})
		a.remote.topics.mu.Lock()
		defer a.remote.topics.mu.Unlock()
		return len(a.remote.topics.of) == 0
	})
}
