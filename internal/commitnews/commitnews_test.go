package commitnews_test

import (
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/goleak"

	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/internal/commitnews"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// counter is a state of how many entries were applied.
type counter struct{ n atomic.Int64 }

func (c *counter) Apply(*raft.Log) any                 { return c.n.Add(1) }
func (c *counter) Snapshot() (raft.FSMSnapshot, error) { return nil, io.ErrUnexpectedEOF }
func (c *counter) Restore(from io.ReadCloser) error    { return from.Close() }

type node struct {
	*raft.Raft
	counter
	log       *raft.InmemStore
	transport *raft.InmemTransport
	id        raft.ServerID
}

// group starts three nodes, which tell followers by themselves what is committed when an entry follows, and no sooner.
func group(t *testing.T) (leader *node, followers []*node) {
	t.Helper()
	var servers []raft.Server
	var all []*node
	for _, id := range []string{"a", "b", "c"} {
		n := &node{log: raft.NewInmemStore(), id: raft.ServerID(id)}
		_, n.transport = raft.NewInmemTransport(raft.ServerAddress(id))
		for _, other := range all {
			n.transport.Connect(other.transport.LocalAddr(), other.transport)
			other.transport.Connect(n.transport.LocalAddr(), n.transport)
		}
		all = append(all, n)
		servers = append(servers, raft.Server{ID: n.id, Address: n.transport.LocalAddr()})
	}
	for _, n := range all {
		c := raft.DefaultConfig()
		c.LocalID, c.LogOutput, c.CommitTimeout = n.id, io.Discard, time.Hour
		c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = 500*time.Millisecond, 500*time.Millisecond, 500*time.Millisecond
		snaps := raft.NewInmemSnapshotStore()
		if err := raft.BootstrapCluster(c, n.log, n.log, snaps, n.transport, raft.Configuration{Servers: servers}); err != nil {
			t.Fatal(err)
		}
		var err error
		if n.Raft, err = raft.NewRaft(c, &n.counter, n.log, n.log, snaps, n.transport); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = n.Shutdown().Error() })
	}
	await.That(t, "a leader", func() bool {
		leader, followers = nil, nil
		for _, n := range all {
			if n.State() == raft.Leader {
				leader = n
			} else {
				followers = append(followers, n)
			}
		}
		return leader != nil && len(followers) == 2
	})
	return leader, followers
}

func TestFollowersHear(t *testing.T) {
	leader, followers := group(t)
	news := commitnews.New(leader.Raft, leader.log, leader.transport, leader.id)
	defer news.Close()
	const rounds = 20
	unaided := 0
	for n := range int64(rounds) {
		f := leader.Raft.Apply([]byte("x"), time.Minute)
		if err := f.Error(); err != nil {
			t.Fatal(err)
		}
		for _, of := range followers { // one that gets an entry late hears with it that others have it
			if of.n.Load() > n {
				unaided++
			}
		}
		for _, of := range followers { // it is not told again of what it has too late
			await.That(t, "the entry in the log of node "+string(of.id), func() bool { return of.LastIndex() >= f.Index() })
		}
		news.Committed(f.Index())
		for _, of := range followers {
			await.That(t, "the entry at node "+string(of.id), func() bool { return of.n.Load() == n+1 })
		}
	}
	if unaided == rounds*len(followers) {
		t.Error("the nodes have heard of all entries without it: the test proves nothing")
	}
}

// counting counts what is sent over a transport.
type counting struct {
	raft.Transport
	sent atomic.Int64
}

func (c *counting) AppendEntries(id raft.ServerID, to raft.ServerAddress, args *raft.AppendEntriesRequest, answer *raft.AppendEntriesResponse) error {
	c.sent.Add(1)
	return c.Transport.AppendEntries(id, to, args, answer)
}

// A node that does not lead any more tells nothing, and neither does one that was closed.
func TestNoNews(t *testing.T) {
	leader, followers := group(t)
	f := leader.Raft.Apply([]byte("x"), time.Minute)
	if err := f.Error(); err != nil {
		t.Fatal(err)
	}
	for _, n := range followers { // who does not lead knows the entry, and could tell of it
		await.That(t, "the entry in the log of node "+string(n.id), func() bool { return n.LastIndex() >= f.Index() })
	}
	for _, c := range []struct {
		what   string
		by     *node
		closed bool
		tells  bool
	}{{"a node that does not lead", followers[0], false, false}, {"one that was closed", leader, true, false}, {"the leader", leader, false, true}} {
		over := &counting{Transport: c.by.transport}
		news := commitnews.New(c.by.Raft, c.by.log, over, c.by.id)
		if c.closed {
			news.Close()
		}
		news.Committed(f.Index())
		patience := 100 * time.Millisecond
		if c.tells {
			patience = time.Minute
		}
		if tells := await.Within(patience, func() bool { return over.sent.Load() > 0 }); tells != c.tells {
			t.Errorf("%s tells: %t", c.what, tells)
		}
		news.Close()
	}
}
