package cluster

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/cluster/pki"
	"github.com/pyisolate/pyisolate/cluster/roster"
	"github.com/pyisolate/pyisolate/cluster/wire"
)

// forge has an insider say on a stream that it leads, and that it votes.
func forge(t *testing.T, in insider, s wire.Stream, victim *node) error {
	t.Helper()
	tr := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{Stream: in.StreamLayer(s), MaxPool: 1, Timeout: 2 * time.Second, Logger: raftLogger(logs(t))})
	defer func() { _ = tr.Close() }()
	r := victim.group.Raft()
	var last raft.Log
	last.Index, last.Term = r.LastIndex(), r.CurrentTerm()
	cmd, err := (roster.Command{Op: roster.Promote, Name: "n4", At: time.Now().UTC()}).Encode()
	must(t, err)
	term := last.Term + 50
	return tr.AppendEntries(raft.ServerID(victim.name), raft.ServerAddress(victim.name), &raft.AppendEntriesRequest{
		RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte("n4"), Addr: []byte("n4")},
		Term:      term, PrevLogEntry: last.Index, PrevLogTerm: last.Term, LeaderCommitIndex: last.Index + 1,
		Entries: []*raft.Log{{Index: last.Index + 1, Term: term, Type: raft.LogCommand, Data: append([]byte{'r'}, cmd...)}},
	}, &raft.AppendEntriesResponse{})
}

// A member that does not vote says that it leads, and puts its own promotion on the log of the leader, and
// of a follower.
func TestForgedLog(t *testing.T) {
	t.Parallel()
	nodes := form(t, 3)
	n4 := join(t, leader(t, nodes), "n4")
	id, err := pki.LoadIdentity(filepath.Join(n4.dir, identityFile))
	must(t, err)
	for _, victim := range nodes {
		in := newInsider(t, id, "127.0.0.1:0", victim)
		before := victim.group.Raft().CurrentTerm()
		for _, s := range []wire.Stream{wire.Directory, wire.Policy} {
			victim.wire.Listener(s) // of the policies, which this cluster has none of
			if err := forge(t, in, s, victim); err == nil {
				t.Errorf("node %s takes entries on %s from one that does not vote", victim.name, s)
			}
		}
		if term := victim.group.Raft().CurrentTerm(); term >= before+50 {
			t.Errorf("node %s is in term %d, and was in %d", victim.name, term, before)
		}
	}
	must(t, nodes[0].Group().Fence(soon(t)))
	if m, _ := nodes[0].Group().Roster().Member("n4"); m.Voter {
		t.Errorf("%+v", m)
	}
}

// Who may say that it leads, at a node that lags and at one that does not: those who vote as far as it
// knows; and while it lags, those of whom one of them says so.
func TestAdmitTo(t *testing.T) {
	t.Parallel()
	n1 := found(t, "n1")
	n1.open()
	leader(t, []*node{n1})
	for _, name := range []string{"n2", "n3"} {
		join(t, n1, name)
	}
	now := n1.Group().Roster()
	later := now.Copy() // in which all vote
	for _, name := range []string{"n2", "n3"} {
		_, err := later.Apply(roster.Command{Op: roster.Promote, Name: name})
		must(t, err)
	}
	for name, c := range map[string]struct {
		stream  wire.Stream
		node    string
		current bool
		by      string // who says that all vote
		in      bool
	}{
		"one that votes":                                {wire.Directory, "n1", true, "", true},
		"one that does not":                             {wire.Directory, "n2", true, "", false},
		"the same, of the policies":                     {wire.Policy, "n2", true, "", false},
		"the same, to talk":                             {wire.Control, "n2", true, "", true},
		"one that votes, to one that lags":              {wire.Directory, "n1", false, "", true},
		"one that does not, to one that lags":           {wire.Directory, "n2", false, "", false},
		"one that votes since":                          {wire.Directory, "n2", false, "n1", true},
		"the same, of the policies, too":                {wire.Policy, "n2", false, "n1", true},
		"one that says so itself":                       {wire.Directory, "n2", false, "n2", false},
		"one of whom a friend says so":                  {wire.Directory, "n2", false, "n3", false},
		"a hint that is left, to one that does not lag": {wire.Directory, "n2", true, "n1", false},
		"a stranger":                                    {wire.Directory, "n9", false, "n1", false},
	} {
		t.Run(name, func(t *testing.T) {
			var lone Cluster
			lone.known.Store(&known{roster: now})
			lone.current.Store(c.current)
			if c.by != "" {
				lone.hints.set(c.by, later)
			}
			err := lone.admitTo(c.stream, pki.Peer{Node: pki.Node{Name: c.node}})
			if (err == nil) != c.in || err != nil && !errors.Is(err, errNoSay) {
				t.Error(err)
			}
		})
	}
}
