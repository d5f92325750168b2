package group

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/cluster/directory"
	"github.com/pyisolate/pyisolate/cluster/pki"
	"github.com/pyisolate/pyisolate/cluster/roster"
	"github.com/pyisolate/pyisolate/internal/await"
)

// told is a machine and what it has told.
type told struct {
	machine
	changes []change
}

func newMachine() *told {
	m := &told{}
	m.told = func(c change) { m.changes = append(m.changes, c) }
	return m
}

func (m *told) entry(t testing.TB, index uint64, kind byte, encode func() ([]byte, error)) outcome {
	t.Helper()
	text, err := encode()
	must(t, err)
	return m.Apply(&raft.Log{Index: index, Data: append([]byte{kind}, text...)}).(outcome)
}

func filled(t testing.TB) *told {
	t.Helper()
	m := newMachine()
	m.entry(t, 1, ofRoster, roster.Command{Op: roster.Found, Name: "n1", Address: "10.0.0.1:7000", Key: make([]byte, 32), Until: time.Now()}.Encode)
	m.entry(t, 2, ofDirectory, directory.Command{Op: directory.Open, Seat: directory.Seat{Node: "n1"}}.Encode)
	out := m.entry(t, 3, ofDirectory, directory.Command{Op: directory.Claim, Cell: cellA, Seat: directory.Seat{Node: "n1", Session: 2}}.Encode)
	must(t, out.err)
	return m
}

func TestMachine(t *testing.T) {
	m := filled(t)
	if len(m.changes) != 3 || !m.changes[0].roster || len(m.changes[2].records) != 1 {
		t.Errorf("told %+v", m.changes)
	}
	out := m.entry(t, 4, ofDirectory, directory.Command{Op: directory.Release, Cell: cellA, Epoch: 9}.Encode)
	if !errors.Is(out.err, directory.ErrStale) || len(m.changes[3].records) != 0 || m.at() != 4 {
		t.Errorf("%v; told %+v, at %d", out.err, m.changes[3], m.at())
	}
	s, err := m.Snapshot()
	must(t, err)
	var b bytes.Buffer
	must(t, s.(*snapshot).write(&b))

	back := newMachine()
	back.entry(t, 1, ofDirectory, directory.Command{Op: directory.Open, Seat: directory.Seat{Node: "n9"}}.Encode)
	must(t, back.Restore(io.NopCloser(bytes.NewReader(b.Bytes()))))
	r, there := back.directory.Find(cellA)
	if _, member := back.roster.Member("n1"); !there || r.Epoch != 1 || !member || back.at() != 4 {
		t.Errorf("restored are %+v, at %d", r, back.at())
	}
	if last := back.changes[len(back.changes)-1]; !last.roster || len(last.records) != 1 {
		t.Errorf("told %+v", last)
	}
	for i := range b.Len() {
		if err := newMachine().Restore(io.NopCloser(bytes.NewReader(b.Bytes()[:i]))); err == nil && i < b.Len()-1 {
			t.Errorf("the first %d bytes are a snapshot", i)
		}
	}
	newer := strings.Replace(b.String(), `_cluster":1`, `_cluster":2`, 1)
	if err := newMachine().Restore(io.NopCloser(strings.NewReader(newer))); err == nil {
		t.Error("a newer format is read")
	}
}

// A snapshot that could not be read again takes the place of no log.
func TestNoUnreadableSnapshot(t *testing.T) {
	m := filled(t)
	for i := range 256 {
		v := pki.Invite{ID: fmt.Sprint(i), Hash: make([]byte, 32), Name: strings.Repeat("<", 4<<10), Expires: time.Now().Add(time.Hour)}
		_, err := m.roster.Apply(roster.Command{Op: roster.Invite, Invite: &v})
		must(t, err)
	}
	s, err := m.Snapshot()
	must(t, err)
	if err := s.(*snapshot).write(io.Discard); err == nil || !strings.Contains(err.Error(), "withdraw") {
		t.Errorf("%v", err)
	}
}

// A node that does not understand an entry stops: it must not have another state than the rest.
func TestUnknownEntries(t *testing.T) {
	for name, entry := range map[string]string{
		"a new kind": `x{}`, "a new change": `d{"op":"explode"}`, "a new field": `d{"op":"open","seat":{"node":"n1"},"color":1}`, "nothing": ``, "a new change of the roster": `r{"op":"paint"}`,
	} {
		m := filled(t)
		if out := m.Apply(&raft.Log{Index: 5, Data: []byte(entry)}).(outcome); !uncertain(out.err) || m.failed() == nil {
			t.Errorf("%s: %v", name, out.err)
		}
		if out := m.entry(t, 6, ofDirectory, directory.Command{Op: directory.Open, Seat: directory.Seat{Node: "n1"}}.Encode); !uncertain(out.err) {
			t.Errorf("%s, and then: %v", name, out.err)
		}
		if _, err := m.Snapshot(); err == nil {
			t.Errorf("%s: it makes a snapshot", name)
		}
	}
}

// uncertain is of what was agreed and not applied: it is not refused.
func uncertain(err error) bool {
	return errors.Is(err, ErrUncertain) && !errors.Is(err, directory.ErrInvalid) && !errors.Is(err, roster.ErrInvalid)
}

// enrolled is a network whose leader has founded the roster, in which one other is a member that does
// not vote, and the third is not.
func enrolled(t *testing.T) (leader, member, stranger *node) {
	t.Helper()
	w := steady(t, 3, testTTL)
	leader = w.leader(t, "")
	for _, n := range w.nodes {
		switch {
		case n == leader:
		case member == nil:
			member = n
		default:
			stranger = n
		}
	}
	_, err := leader.Enrol(t.Context(), roster.Command{Op: roster.Found, Name: leader.name, Address: "10.0.0.1:7000", Key: make([]byte, 32), Until: time.Now().Add(time.Hour)})
	must(t, err)
	admit := invitation(t, leader, member.name, 1)
	_, err = leader.Enrol(t.Context(), admit)
	must(t, err)
	return leader, member, stranger
}

// invitation is what lets a node in that somebody has invited.
func invitation(t *testing.T, by *node, name string, key byte) roster.Command {
	t.Helper()
	token, err := pki.NewToken(pki.Fingerprint{}, []string{"10.0.0.1:7000"})
	must(t, err)
	v, err := token.Invite("", time.Now(), time.Minute)
	must(t, err)
	_, err = by.Enrol(t.Context(), roster.Command{Op: roster.Invite, Invite: &v})
	must(t, err)
	return roster.Command{
		Op: roster.Admit, ID: token.ID(), Secret: token.Secret(), Name: name, Address: "10.0.0.9:7000",
		Key: bytes.Repeat([]byte{key}, 32), Until: time.Now().Add(time.Hour),
	}
}

// Nodes join through any node that votes, and all know of it.
func TestEnrol(t *testing.T) {
	leader, member, stranger := enrolled(t)
	_, err := leader.Enrol(t.Context(), roster.Command{Op: roster.Promote, Name: member.name})
	must(t, err)
	admit := invitation(t, member, "n9", 9)
	out, err := member.Enrol(t.Context(), admit)
	must(t, err)
	if out.Member.Name != "n9" || out.Member.Joined.IsZero() {
		t.Errorf("joined: %+v", out.Member)
	}
	admit.Name, admit.Key = "n8", bytes.Repeat([]byte{8}, 32)
	for _, n := range []*node{leader, member} {
		if _, err := n.Enrol(t.Context(), admit); !errors.Is(err, pki.ErrUsed) {
			t.Errorf("%s: another with the same token: %v", n.name, err)
		}
	}
	for _, n := range []*node{leader, member, stranger} {
		must(t, n.Fence(t.Context()))
		if all := n.Roster().Members(); len(all) != 3 || all[2].Name != "n9" {
			t.Errorf("%s knows %+v", n.name, all)
		}
	}
}

// What a node may not decide, whatever certificate it has.
func TestMayEnrol(t *testing.T) {
	leader, member, stranger := enrolled(t)
	until := time.Now().Add(time.Hour)
	key := bytes.Repeat([]byte{7}, 32)
	for name, c := range map[string]struct {
		by      *node
		command roster.Command
		refused bool
	}{
		"a stranger invites":                {stranger, roster.Command{Op: roster.Invite, Invite: &pki.Invite{ID: "0123456789abcdef", Hash: key, Expires: until}}, true},
		"a stranger removes":                {stranger, roster.Command{Op: roster.Remove, Name: leader.name}, true},
		"a member makes itself a voter":     {member, roster.Command{Op: roster.Promote, Name: member.name}, true},
		"a member founds":                   {member, roster.Command{Op: roster.Found, Name: "n9", Address: "h:1", Key: key, Until: until}, true},
		"a member that does not vote signs": {member, roster.Command{Op: roster.Renew, Name: member.name, Key: key, Until: until}, true},
		"a member admits":                   {member, invitation(t, leader, "n9", 9), true},
		"a member invites for ever":         {member, roster.Command{Op: roster.Invite, Invite: &pki.Invite{ID: "0123456789abcdee", Hash: key, Expires: time.Now().Add(pki.MaxInvite + time.Hour)}}, true},
		"a member invites no name":          {member, roster.Command{Op: roster.Invite, Invite: &pki.Invite{ID: "0123456789abcded", Hash: key, Name: "N 9", Expires: until}}, true},
		"a member moves another":            {member, roster.Command{Op: roster.Move, Name: leader.name, Address: "h:1"}, true},
		"a member moves":                    {member, roster.Command{Op: roster.Move, Name: member.name, Address: "h:1"}, false},
		"a member invites":                  {member, roster.Command{Op: roster.Invite, Invite: &pki.Invite{ID: "0123456789abcdef", Hash: key, Expires: until}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := c.by.Enrol(t.Context(), c.command); errors.Is(err, roster.ErrInvalid) != c.refused {
				t.Errorf("%v", err)
			}
		})
	}
	_, err := leader.Enrol(t.Context(), roster.Command{Op: roster.Retire, Name: member.name})
	must(t, err)
	invite := roster.Command{Op: roster.Invite, Invite: &pki.Invite{ID: "0123456789abcdec", Hash: key, Expires: until}}
	if _, err := member.Enrol(t.Context(), invite); !errors.Is(err, roster.ErrInvalid) {
		t.Errorf("a member invites that is about to be removed: %v", err)
	}
}

// JSON has a character < as six bytes: what another asked for, and could be read, is refused when it
// could not be read any more in the log. There it would end the cluster for good.
func TestNothingUnreadable(t *testing.T) {
	leader, member, _ := enrolled(t)
	wide := strings.Repeat("<", 64)
	claim := directory.Command{Op: directory.Claim, Cell: cellA, Seat: directory.Seat{Node: member.name, Session: 1}, Nodes: slices.Repeat([]string{wide}, 64)}
	invite := roster.Command{Op: roster.Invite, Invite: &pki.Invite{ID: "0123456789abcdef", Hash: make([]byte, 32), Name: strings.Repeat("<", 4<<10)}}
	for what, c := range map[string]struct {
		kind string
		is   error
		cmd  any
	}{
		"a claim":       {"propose", directory.ErrInvalid, claim},
		"an invitation": {"enrol", roster.ErrInvalid, invite},
	} {
		var text bytes.Buffer
		to := json.NewEncoder(&text)
		to.SetEscapeHTML(false)
		must(t, to.Encode(map[string]any{c.kind: c.cmd}))
		a := read(t, leader.Answer(t.Context(), member.name, text.Bytes()))
		if err := a.err(); !errors.Is(err, c.is) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// Bytes that are no text become three each, which no name of the log has room for.
	broken := directory.Command{Op: directory.Claim, Cell: directory.Cell{Tenant: strings.Repeat("\xff", 64), Name: "a"}}
	for _, n := range []*node{leader, member} {
		if _, err := n.Propose(t.Context(), broken); !errors.Is(err, directory.ErrInvalid) {
			t.Errorf("%s: a name that is no text: %v", n.name, err)
		}
		must(t, n.Fence(t.Context()))
		if err := n.state.failed(); err != nil {
			t.Errorf("%s applies nothing any more: %v", n.name, err)
		}
	}
}

// What its file of the roster does not know, the log tells.
func TestRecoverTheRetired(t *testing.T) {
	leader, _, _ := enrolled(t)
	_, err := leader.Enrol(t.Context(), roster.Command{Op: roster.Retire, Name: leader.name})
	must(t, err)
	must(t, leader.Close())
	if _, err := Recover(t.Context(), leader.config.Dir, leader.name); !errors.Is(err, ErrNoVoter) {
		t.Errorf("%v", err)
	}
}

// What was agreed is there when all nodes were away.
func TestAllRestart(t *testing.T) {
	w := newNetwork(t, 3, time.Hour)
	leader := w.leader(t, "")
	must(t, claimCell(t, w, leader))
	for _, n := range w.nodes {
		must(t, n.Fence(t.Context())) // or there might be nothing to snapshot yet
		must(t, n.Raft().Snapshot().Error())
	}
	var configs []Config
	for name, n := range w.nodes {
		c := n.config
		must(t, n.Close())
		n.layer.sever("")
		c.Transport = nil
		c.Node = name
		configs = append(configs, c)
	}
	slices.SortFunc(configs, func(a, b Config) int { return strings.Compare(a.Node, b.Node) })
	again := newNetworkAt(t, configs)
	again.leader(t, "")
	for _, n := range again.nodes {
		await.That(t, n.name+" knows of the cell", func() bool {
			r, ok := n.Find(cellA)
			return ok && r.Owner.Node == leader.name
		})
	}
}

func FuzzAnswer(f *testing.F) {
	w := newNetwork(f, 1, time.Hour)
	g := w.leader(f, "")
	f.Add([]byte(`{"propose":{"op":"open","seat":{"node":"n1"}}}`))
	f.Add([]byte(`{"enrol":{"op":"move","name":"n1","address":"10.0.0.1:7000"}}`))
	f.Add([]byte(`{"renew":{"node":"n1","session":7}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		read(t, g.Answer(t.Context(), "n1", b))
		if g.state.failed() != nil {
			t.Fatalf("%q ends the group: %v", b, g.state.failed())
		}
	})
}
