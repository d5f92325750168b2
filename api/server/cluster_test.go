package server_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/pyisolate/pyisolate/api/client"
	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/api/server"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cluster"
	"github.com/pyisolate/pyisolate/cluster/group"
	"github.com/pyisolate/pyisolate/cluster/members"
	"github.com/pyisolate/pyisolate/cluster/pki"
	"github.com/pyisolate/pyisolate/cluster/roster"
	"github.com/pyisolate/pyisolate/policystore"
)

// fakeCluster does nothing but note what it was told, and fail as it is told.
type fakeCluster struct {
	self string // "n1" if it is empty

	mu      sync.Mutex
	did     []string
	err     error
	status  cluster.Status
	members []cluster.Member
	stays   error // why it may not leave
}

func (f *fakeCluster) do(format string, args ...any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.did = append(f.did, fmt.Sprintf(format, args...))
	return f.err
}

func (f *fakeCluster) done() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.did)
}

func (f *fakeCluster) Self() string              { return cmp.Or(f.self, "n1") }
func (f *fakeCluster) Members() []cluster.Member { return f.members }
func (f *fakeCluster) Status() cluster.Status    { return f.status }
func (f *fakeCluster) Invites() []pki.Invite {
	return []pki.Invite{{ID: "0123456789abcdef", Hash: []byte("secret"), Name: "n2", Expires: time.Unix(1, 0)}}
}

func (f *fakeCluster) Invite(_ context.Context, name string, life time.Duration) (string, pki.Invite, error) {
	err := f.do("invite %s for %s", name, life)
	return "pyjoin1_secret", pki.Invite{ID: "0123456789abcdef", Name: name, Expires: time.Now().Add(life)}, err
}

func (f *fakeCluster) Withdraw(_ context.Context, id string) error { return f.do("withdraw %s", id) }
func (f *fakeCluster) Remove(_ context.Context, node string, force bool) error {
	return f.do("remove %s %t", node, force)
}
func (f *fakeCluster) MayLeave(context.Context) error   { return f.stays }
func (f *fakeCluster) Leave(context.Context) error      { return f.do("leave") }
func (f *fakeCluster) RotateKeys(context.Context) error { return f.do("rotate") }

// inCluster makes the node one of a cluster; log takes what it says.
func inCluster(f *fakeCluster, drain func(context.Context) error, log *bytes.Buffer) option {
	return func(c *server.Config) {
		c.Cluster, c.Drain = f, drain
		if log != nil {
			c.Logger = slog.New(slog.NewTextHandler(log, nil))
		}
	}
}

func drained(context.Context) error { return nil }

// What is asked reaches the cluster, and who asked is logged; the token is not.
func TestClusterIsAdministered(t *testing.T) {
	f := &fakeCluster{status: cluster.Status{Keys: []string{"new", "old"}}}
	var log bytes.Buffer
	n := newNode(t, inCluster(f, drained, &log))
	invited, err := n.Cluster.Invite(t.Context(), connect.NewRequest(&pb.InviteRequest{Node: "n2", Lifetime: durationpb.New(time.Minute)}))
	must(t, err)
	if invited.Msg.GetToken() != "pyjoin1_secret" || invited.Msg.GetInvitation().GetNode() != "n2" {
		t.Errorf("invited %v", invited.Msg)
	}
	_, err = n.Cluster.Invite(t.Context(), connect.NewRequest(&pb.InviteRequest{}))
	must(t, err)
	_, err = n.Cluster.Withdraw(t.Context(), connect.NewRequest(&pb.WithdrawRequest{Id: "0123456789abcdef"}))
	must(t, err)
	_, err = n.Cluster.Remove(t.Context(), connect.NewRequest(&pb.RemoveRequest{Node: "n3", Force: true}))
	must(t, err)
	rotated, err := n.Cluster.RotateKeys(t.Context(), connect.NewRequest(&pb.RotateKeysRequest{}))
	must(t, err)
	if rotated.Msg.GetKey() != "new" {
		t.Errorf("rotated to %q", rotated.Msg.GetKey())
	}
	_, err = n.Cluster.Leave(t.Context(), connect.NewRequest(&pb.LeaveRequest{}))
	must(t, err)
	want := []string{"invite n2 for 1m0s", "invite  for 1h0m0s", "withdraw 0123456789abcdef", "remove n3 true", "rotate", "leave"}
	if got := f.done(); !slices.Equal(got, want) {
		t.Errorf("did %q, want %q", got, want)
	}
	listed, err := n.Cluster.ListInvites(t.Context(), connect.NewRequest(&pb.ListInvitesRequest{}))
	must(t, err)
	if text := listed.Msg.String(); !strings.Contains(text, "0123456789abcdef") || strings.Contains(text, "secret") {
		t.Errorf("listed %s", text)
	}
	if words := log.String(); strings.Count(words, "by=uid:") != len(want) || strings.Contains(words, "secret") {
		t.Errorf("logged %s", words)
	}
}

// Errors of the cluster have the API's words.
func TestClusterErrors(t *testing.T) {
	f := &fakeCluster{}
	n := newNode(t, inCluster(f, drained, nil))
	for _, c := range []struct{ from, want error }{
		{roster.ErrNoMember, policystore.ErrNotFound},
		{roster.ErrNoInvite, policystore.ErrNotFound},
		{roster.ErrTaken, policystore.ErrConflict},
		{roster.ErrLimited, policystore.ErrLimited},
		{roster.ErrLast, fault.ErrRefused},
		{roster.ErrInvalid, policystore.ErrInvalid},
		{cluster.ErrQuorum, fault.ErrRefused},
		{cluster.ErrBehind, fault.ErrRefused},
		{cluster.ErrNoMember, fault.ErrUnavailable},
		{cluster.ErrClosed, fault.ErrUnavailable},
		{group.ErrNoLeader, fault.ErrUnavailable},
		{group.ErrUncertain, policystore.ErrUncertain},
		{group.ErrClosed, fault.ErrUnavailable},
		{errors.New("disk"), fault.ErrInternal},
	} {
		t.Run(c.from.Error(), func(t *testing.T) {
			f.err = fmt.Errorf("remove n3: %w", c.from)
			_, err := n.Cluster.Remove(t.Context(), connect.NewRequest(&pb.RemoveRequest{Node: "n3"}))
			if !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
		})
	}
}

// A member's name is not given to another.
func TestInviteOfAMember(t *testing.T) {
	f := &fakeCluster{members: []cluster.Member{{Name: "n1"}, {Name: "n2", State: cluster.Failed}}}
	n := newNode(t, inCluster(f, drained, nil))
	if err := failure(n.Cluster.Invite(t.Context(), connect.NewRequest(&pb.InviteRequest{Node: "n2"}))); !errors.Is(err, policystore.ErrConflict) {
		t.Errorf("error %v", err)
	}
	if did := f.done(); len(did) != 0 {
		t.Errorf("the cluster was told %q", did)
	}
}

// What makes no sense does not reach the cluster.
func TestClusterRefusesNonsense(t *testing.T) {
	f := &fakeCluster{}
	n := newNode(t, inCluster(f, drained, nil))
	long := strings.Repeat("a", 1000)
	for name, call := range map[string]func(*client.Client) error{
		"invite a path": func(c *client.Client) error {
			_, err := c.Cluster.Invite(t.Context(), connect.NewRequest(&pb.InviteRequest{Node: "../n"}))
			return err
		},
		"invite for ever": func(c *client.Client) error {
			_, err := c.Cluster.Invite(t.Context(), connect.NewRequest(&pb.InviteRequest{Lifetime: durationpb.New(169 * time.Hour)}))
			return err
		},
		"invite for less than no time": func(c *client.Client) error {
			_, err := c.Cluster.Invite(t.Context(), connect.NewRequest(&pb.InviteRequest{Lifetime: durationpb.New(-time.Hour)}))
			return err
		},
		"invite with a broken duration": func(c *client.Client) error {
			_, err := c.Cluster.Invite(t.Context(), connect.NewRequest(&pb.InviteRequest{Lifetime: &durationpb.Duration{Seconds: -1 << 62, Nanos: 1 << 30}}))
			return err
		},
		"withdraw nothing": func(c *client.Client) error {
			_, err := c.Cluster.Withdraw(t.Context(), connect.NewRequest(&pb.WithdrawRequest{}))
			return err
		},
		"withdraw too much": func(c *client.Client) error {
			_, err := c.Cluster.Withdraw(t.Context(), connect.NewRequest(&pb.WithdrawRequest{Id: long}))
			return err
		},
		"remove nobody": func(c *client.Client) error {
			_, err := c.Cluster.Remove(t.Context(), connect.NewRequest(&pb.RemoveRequest{}))
			return err
		},
		"remove what is no name": func(c *client.Client) error {
			_, err := c.Cluster.Remove(t.Context(), connect.NewRequest(&pb.RemoveRequest{Node: "N\x00"}))
			return err
		},
		"drain what is no name": func(c *client.Client) error {
			_, err := c.Cluster.Drain(t.Context(), connect.NewRequest(&pb.DrainRequest{Node: long}))
			return err
		},
		"drain with endless grace": func(c *client.Client) error {
			_, err := c.Cluster.Drain(t.Context(), connect.NewRequest(&pb.DrainRequest{Grace: durationpb.New(time.Hour)}))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := call(n.Client); !errors.Is(err, policystore.ErrInvalid) && !errors.Is(err, cell.Invalid) {
				t.Errorf("error %v", err)
			}
		})
	}
	if did := f.done(); len(did) != 0 {
		t.Errorf("the cluster was told %q", did)
	}
}

// A tenant's admin is not the cluster's, and a viewer changes nothing.
func TestClusterIsNoTenants(t *testing.T) {
	f := &fakeCluster{members: []cluster.Member{{Name: "n1", State: cluster.Alive}}}
	n := newNode(t, inCluster(f, drained, nil))
	ofTenant, _ := n.as(t, "admin", "shop")
	viewer, _ := n.as(t, "viewer", "shop")
	for name, c := range map[string]*client.Client{"a tenant's admin": ofTenant, "a viewer": viewer} {
		for what, err := range map[string]error{
			"invite": failure(c.Cluster.Invite(t.Context(), connect.NewRequest(&pb.InviteRequest{}))),
			"list":   failure(c.Cluster.ListInvites(t.Context(), connect.NewRequest(&pb.ListInvitesRequest{}))),
			"remove": failure(c.Cluster.Remove(t.Context(), connect.NewRequest(&pb.RemoveRequest{Node: "n1"}))),
			"leave":  failure(c.Cluster.Leave(t.Context(), connect.NewRequest(&pb.LeaveRequest{}))),
			"rotate": failure(c.Cluster.RotateKeys(t.Context(), connect.NewRequest(&pb.RotateKeysRequest{}))),
			"drain":  failure(c.Cluster.Drain(t.Context(), connect.NewRequest(&pb.DrainRequest{}))),
		} {
			if !errors.Is(err, policystore.ErrDenied) {
				t.Errorf("%s may %s: %v", name, what, err)
			}
		}
		if _, err := c.Cluster.ListMembers(t.Context(), connect.NewRequest(&pb.ListMembersRequest{})); err != nil {
			t.Errorf("%s sees no members: %v", name, err)
		}
	}
	if did := f.done(); len(did) != 0 {
		t.Errorf("the cluster was told %q", did)
	}
}

func failure[T any](_ T, err error) error { return err }

// A node by itself says so to each call.
func TestNoCluster(t *testing.T) {
	n := newNode(t)
	for what, err := range map[string]error{
		"status": failure(n.Cluster.Status(t.Context(), connect.NewRequest(&pb.StatusRequest{}))),
		"invite": failure(n.Cluster.Invite(t.Context(), connect.NewRequest(&pb.InviteRequest{}))),
		"drain":  failure(n.Cluster.Drain(t.Context(), connect.NewRequest(&pb.DrainRequest{}))),
	} {
		if !errors.Is(err, fault.ErrUnimplemented) || !strings.Contains(err.Error(), "by itself") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// What is not well is said, the worst first.
func TestClusterStatus(t *testing.T) {
	in := time.Now().Add(80 * 24 * time.Hour)
	three := func(states ...cluster.Presence) (all []cluster.Member) {
		for i, s := range states {
			all = append(all, cluster.Member{Name: fmt.Sprintf("n%d", i+1), Voter: true, State: s, Session: true, Meta: members.Meta{Python: "cpython-314", Labels: map[string]string{"zone": "a"}}})
		}
		return all
	}
	closed := func(all []cluster.Member, why string) []cluster.Member {
		all[1].Meta.Closed, all[1].Session = why, why != ""
		return all
	}
	well := cluster.Status{Cluster: "c", Self: "n1", Leader: "n1", PolicyLeader: "n2", Voter: true, Leased: true, Current: true, Members: 3, Voters: 3, Certificate: in}
	for _, c := range []struct {
		name     string
		change   func(*cluster.Status)
		members  []cluster.Member
		problems []string
	}{
		{"all is well", func(*cluster.Status) {}, three(cluster.Alive, cluster.Alive, cluster.Alive), nil},
		{"one is away", func(*cluster.Status) {}, three(cluster.Alive, cluster.Failed, cluster.Alive), []string{"not seen: n2", "without one more"}},
		{"one has left", func(*cluster.Status) {}, three(cluster.Alive, cluster.Alive, cluster.Left), []string{"without one more"}},
		{"two are away", func(s *cluster.Status) { s.Leader, s.Leased = "", false }, three(cluster.Alive, cluster.Failed, cluster.Unseen),
			[]string{"no leader of the directory", "no lease", "not seen: n2, n3", "1 of 3 voters are seen, which is no majority"}},
		{"one starts", func(*cluster.Status) {}, closed(three(cluster.Alive, cluster.Alive, cluster.Alive), "starting"), []string{"node n2 takes no cells: it is starting"}},
		{"one is drained", func(*cluster.Status) {}, closed(three(cluster.Alive, cluster.Alive, cluster.Alive), "draining"), nil},
		{"one has no lease", func(*cluster.Status) {}, closed(three(cluster.Alive, cluster.Alive, cluster.Alive), ""), []string{"node n2 has no lease"}},
		{"it was away", func(s *cluster.Status) { s.Current, s.PolicyLeader = false, "" }, three(cluster.Alive, cluster.Alive, cluster.Alive), []string{"of the policies", "caught up"}},
		{"its log is broken", func(s *cluster.Status) { s.Failure = "entry 7 is of a newer version" }, three(cluster.Alive, cluster.Alive, cluster.Alive), []string{"entry 7"}},
		{"its certificate lapses", func(s *cluster.Status) { s.Certificate = time.Now().Add(time.Hour) }, three(cluster.Alive, cluster.Alive, cluster.Alive), []string{"certificate"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fakeCluster{status: well, members: c.members}
			c.change(&f.status)
			n := newNode(t, inCluster(f, drained, nil))
			answer, err := n.Cluster.Status(t.Context(), connect.NewRequest(&pb.StatusRequest{}))
			must(t, err)
			got := answer.Msg.GetProblems()
			if len(got) != len(c.problems) {
				t.Fatalf("problems %q, want %q", got, c.problems)
			}
			for i, want := range c.problems {
				if !strings.Contains(got[i], want) {
					t.Errorf("problem %d is %q, want %q", i, got[i], want)
				}
			}
			listed, err := n.Cluster.ListMembers(t.Context(), connect.NewRequest(&pb.ListMembersRequest{}))
			must(t, err)
			for i, m := range listed.Msg.GetMembers() {
				if alive := c.members[i].State == cluster.Alive; (m.GetTraits() != nil) != alive {
					t.Errorf("%s is %s and says %v", m.GetName(), m.GetState(), m.GetTraits())
				}
			}
		})
	}
}

// Cells that cannot move keep a node from being drained, unless they may be closed; then those that
// run something may finish.
func TestDrain(t *testing.T) {
	var drains int
	refusing := func(context.Context) error { drains++; return nil }
	n := newNode(t, inCluster(&fakeCluster{}, refusing, nil))
	drain := func(r *pb.DrainRequest) ([]*pb.CellRef, error) {
		answer, err := n.Cluster.Drain(t.Context(), connect.NewRequest(r))
		if err != nil {
			return nil, err
		}
		return answer.Msg.GetClosed(), nil
	}
	for _, name := range []string{"one", "two"} {
		_, err := n.Cells.Spawn(t.Context(), connect.NewRequest(&pb.SpawnRequest{Name: name}))
		must(t, err)
	}
	_, err := drain(&pb.DrainRequest{})
	if !errors.Is(err, cell.NotCheckpointable) || !strings.Contains(err.Error(), "default/one, default/two") {
		t.Errorf("with cells: %v", err)
	}
	if drains != 0 {
		t.Error("it was refused, and the node drains all the same")
	}
	if err := failure(n.Cluster.Leave(t.Context(), connect.NewRequest(&pb.LeaveRequest{}))); !errors.Is(err, cell.NotCheckpointable) {
		t.Errorf("leave with cells: %v", err)
	}
	closed, err := drain(&pb.DrainRequest{Node: "n1", CloseCells: true})
	if err != nil || len(closed) != 2 || drains != 1 {
		t.Errorf("closed %v, %v, %d drains", closed, err, drains)
	}
	if list, err := n.Cells.List(t.Context(), connect.NewRequest(&pb.ListCellsRequest{})); err != nil || len(list.Msg.GetReports()) != 0 {
		t.Errorf("left %v, %v", list, err)
	}
	if closed, err := drain(&pb.DrainRequest{}); err != nil || len(closed) != 0 {
		t.Errorf("again: %v, %v", closed, err)
	}
}

// A node that may not leave goes on as it was, with its cells.
func TestWhoMayNotLeaveIsNotDrained(t *testing.T) {
	for name, c := range map[string]struct{ why, want error }{
		"without a majority": {group.ErrNoLeader, fault.ErrUnavailable},
		"too few are left":   {cluster.ErrQuorum, fault.ErrRefused},
		"the last":           {roster.ErrLast, fault.ErrRefused},
	} {
		t.Run(name, func(t *testing.T) {
			var drains int
			n := newNode(t, inCluster(&fakeCluster{stays: c.why}, func(context.Context) error { drains++; return nil }, nil))
			_, err := n.Cells.Spawn(t.Context(), connect.NewRequest(&pb.SpawnRequest{Name: "one"}))
			must(t, err)
			if err := failure(n.Cluster.Leave(t.Context(), connect.NewRequest(&pb.LeaveRequest{CloseCells: true}))); !errors.Is(err, c.want) {
				t.Errorf("it leaves: %v", err)
			}
			list, err := n.Cells.List(t.Context(), connect.NewRequest(&pb.ListCellsRequest{}))
			if err != nil || drains != 0 || len(list.Msg.GetReports()) != 1 || list.Msg.GetReports()[0].GetState() != "running" {
				t.Errorf("%d drains, %v, %v", drains, list, err)
			}
		})
	}
}

// A cell that does not finish in its grace is closed all the same.
func TestDrainIsPatientForItsGraceOnly(t *testing.T) {
	waits := func(ctx context.Context) error { <-ctx.Done(); return fmt.Errorf("drain: %w", ctx.Err()) }
	n := newNode(t, inCluster(&fakeCluster{}, waits, nil))
	_, err := n.Cells.Spawn(t.Context(), connect.NewRequest(&pb.SpawnRequest{Name: "one"}))
	must(t, err)
	answer, err := n.Cluster.Drain(t.Context(), connect.NewRequest(&pb.DrainRequest{CloseCells: true, Grace: durationpb.New(10 * time.Millisecond)}))
	if err != nil || len(answer.Msg.GetClosed()) != 1 {
		t.Errorf("%v, %v", answer, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := failure(n.Cluster.Drain(ctx, connect.NewRequest(&pb.DrainRequest{Grace: durationpb.New(time.Minute)}))); err == nil {
		t.Error("a client that is gone is waited for")
	}
}
