package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	api "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1/pyisolatev1connect"
	"github.com/pyisolate/pyisolate/cluster"
	"github.com/pyisolate/pyisolate/cluster/group"
	"github.com/pyisolate/pyisolate/cluster/members"
	"github.com/pyisolate/pyisolate/cluster/pki"
	"github.com/pyisolate/pyisolate/cluster/roster"
	"github.com/pyisolate/pyisolate/policystore"
)

// Cluster is what ClusterService administers: *cluster.Cluster. Its methods may be called from any
// goroutine; those without a context must not block.
type Cluster interface {
	// Self is the name of this node.
	Self() string
	Members() []cluster.Member
	Status() cluster.Status
	Invite(ctx context.Context, name string, life time.Duration) (token string, v pki.Invite, err error)
	Invites() []pki.Invite
	Withdraw(ctx context.Context, id string) error
	Remove(ctx context.Context, node string, force bool) error
	// MayLeave says why Leave would be refused now, or nil.
	MayLeave(ctx context.Context) error
	Leave(ctx context.Context) error
	RotateKeys(ctx context.Context) error
}

var _ Cluster = (*cluster.Cluster)(nil)

// clusters serves ClusterService.
type clusters struct {
	of     Cluster // nil: the node is by itself
	logger *slog.Logger
	peers  *peers // nil: there are none to be reached
	drainer
}

var _ api.ClusterServiceHandler = (*clusters)(nil)

// cluster is the one that the node is of.
func (s *clusters) cluster() (Cluster, error) {
	if s.of == nil {
		return nil, &fault.Hinted{Err: fmt.Errorf("%w: this node is by itself, and of no cluster", fault.ErrUnimplemented),
			Hint: "pyisolate-node init founds a cluster, and cluster join joins one"}
	}
	return s.of, nil
}

// decide does what changes the cluster, and logs who had it done, and what came of it: these are
// the lines to keep for audits.
func (s *clusters) decide(ctx context.Context, what string, do func(Cluster) error, about ...slog.Attr) error {
	c, err := s.cluster()
	if err != nil {
		return err
	}
	err = clusterFault(do(c))
	level, by := slog.LevelInfo, principalOf(ctx)
	about = append(about, slog.String("by", by.Name), slog.String("token_id", by.TokenID))
	if err != nil {
		level = slog.LevelWarn
		about = append(about, slog.Any("error", err))
	}
	s.logger.LogAttrs(ctx, level, "cluster: "+what, about...)
	return err
}

// clusterFault gives errors of the cluster words of the API.
func clusterFault(err error) error {
	for _, row := range []struct{ from, to error }{
		{roster.ErrNoMember, policystore.ErrNotFound},
		{roster.ErrNoInvite, policystore.ErrNotFound},
		{roster.ErrTaken, policystore.ErrConflict},
		{roster.ErrLimited, policystore.ErrLimited},
		{roster.ErrLast, fault.ErrRefused},
		{roster.ErrInvalid, policystore.ErrInvalid},
		{cluster.ErrQuorum, fault.ErrRefused},
		{cluster.ErrBehind, fault.ErrRefused},
		{cluster.ErrNoMember, fault.ErrUnavailable}, // it has left meanwhile
		{cluster.ErrClosed, fault.ErrUnavailable},
		{group.ErrNoLeader, fault.ErrUnavailable},
		{group.ErrUncertain, policystore.ErrUncertain},
		{group.ErrClosed, fault.ErrUnavailable},
	} {
		if errors.Is(err, row.from) {
			return fmt.Errorf("%w: %v", row.to, err) //nolint:errorlint // its cause may be a deadline, and is not what counts
		}
	}
	return err
}

// Invite implements the call.
func (s *clusters) Invite(ctx context.Context, r *connect.Request[pb.InviteRequest]) (*connect.Response[pb.InviteResponse], error) {
	life := pki.DefaultInvite
	if given := r.Msg.GetLifetime(); given != nil {
		life = given.AsDuration()
	}
	if life <= 0 || life > pki.MaxInvite {
		return nil, fmt.Errorf("%w: lifetime %s; it must be above 0 and at most %s", policystore.ErrInvalid, life, pki.MaxInvite)
	}
	name := r.Msg.GetNode()
	if name != "" && !pki.ValidName(name) {
		return nil, invalidNode(name)
	}
	out := &pb.InviteResponse{}
	err := s.decide(ctx, "a node was invited", func(c Cluster) error {
		if isMember(c, name) { // the token would be of no use
			return fmt.Errorf("%w: node %s is a member: remove it first, or take another name", policystore.ErrConflict, name)
		}
		token, v, err := c.Invite(ctx, name, life)
		out.Token, out.Invitation = token, invitationOf(v)
		return err
	}, slog.String("node", name), slog.Duration("lifetime", life))
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(out), nil
}

func isMember(c Cluster, name string) bool {
	return slices.ContainsFunc(c.Members(), func(m cluster.Member) bool { return m.Name == name })
}

func invalidNode(name string) error {
	return fmt.Errorf("%w: %.64q names no node: 1 to %d of a-z, 0-9 and -", policystore.ErrInvalid, name, pki.MaxName)
}

// ListInvites implements the call.
func (s *clusters) ListInvites(context.Context, *connect.Request[pb.ListInvitesRequest]) (*connect.Response[pb.ListInvitesResponse], error) {
	c, err := s.cluster()
	if err != nil {
		return nil, err
	}
	out := &pb.ListInvitesResponse{}
	for _, v := range c.Invites() {
		out.Invitations = append(out.Invitations, invitationOf(v))
	}
	return connect.NewResponse(out), nil
}

func invitationOf(v pki.Invite) *pb.Invitation {
	return &pb.Invitation{Id: v.ID, Node: v.Name, Expires: moment(v.Expires), Joined: v.Node}
}

// Withdraw implements the call.
func (s *clusters) Withdraw(ctx context.Context, r *connect.Request[pb.WithdrawRequest]) (*connect.Response[pb.WithdrawResponse], error) {
	id := r.Msg.GetId()
	if id == "" || len(id) > 64 {
		return nil, fmt.Errorf("%w: %.64q is no id of an invitation", policystore.ErrInvalid, id)
	}
	err := s.decide(ctx, "an invitation was withdrawn", func(c Cluster) error { return c.Withdraw(ctx, id) }, slog.String("invitation", text(id)))
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.WithdrawResponse{}), nil
}

// Remove implements the call.
func (s *clusters) Remove(ctx context.Context, r *connect.Request[pb.RemoveRequest]) (*connect.Response[pb.RemoveResponse], error) {
	name, force := r.Msg.GetNode(), r.Msg.GetForce()
	if !pki.ValidName(name) {
		return nil, invalidNode(name)
	}
	err := s.decide(ctx, "a node was removed", func(c Cluster) error { return c.Remove(ctx, name, force) }, slog.String("node", name), slog.Bool("force", force))
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.RemoveResponse{}), nil
}

// Leave implements the call.
func (s *clusters) Leave(ctx context.Context, r *connect.Request[pb.LeaveRequest]) (*connect.Response[pb.LeaveResponse], error) {
	err := s.decide(ctx, "this node leaves", func(c Cluster) error {
		if err := c.MayLeave(ctx); err != nil { // nor is it drained then
			return err
		}
		if err := s.drain(ctx, r.Msg, &pb.DrainResponse{}); err != nil {
			return err
		}
		return c.Leave(ctx)
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.LeaveResponse{}), nil
}

// RotateKeys implements the call.
func (s *clusters) RotateKeys(ctx context.Context, _ *connect.Request[pb.RotateKeysRequest]) (*connect.Response[pb.RotateKeysResponse], error) {
	out := &pb.RotateKeysResponse{}
	err := s.decide(ctx, "the keys of gossip were rotated", func(c Cluster) error {
		if err := c.RotateKeys(ctx); err != nil {
			return err
		}
		if keys := c.Status().Keys; len(keys) > 0 {
			out.Key = keys[0]
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(out), nil
}

// ListMembers implements the call.
func (s *clusters) ListMembers(context.Context, *connect.Request[pb.ListMembersRequest]) (*connect.Response[pb.ListMembersResponse], error) {
	c, err := s.cluster()
	if err != nil {
		return nil, err
	}
	out := &pb.ListMembersResponse{}
	for _, m := range c.Members() {
		out.Members = append(out.Members, memberOf(m))
	}
	return connect.NewResponse(out), nil
}

func memberOf(m cluster.Member) *pb.Member {
	out := &pb.Member{Name: m.Name, Address: m.Address, Voter: m.Voter, Leader: m.Leader, State: string(m.State), Session: m.Session, Joined: moment(m.Joined)}
	if m.State == cluster.Alive {
		out.Traits = traitsOf(m.Meta)
	}
	return out
}

func traitsOf(m members.Meta) *pb.Traits {
	return &pb.Traits{Cpus: m.CPUs, Memory: m.Memory, Cells: m.Cells, Python: m.Python, Backends: m.Backends, Layers: m.Layers, Numa: m.NUMA, Labels: m.Labels,
		Running: m.Running, Taken: m.Taken, Closed: m.Closed}
}

// Status implements the call.
func (s *clusters) Status(context.Context, *connect.Request[pb.StatusRequest]) (*connect.Response[pb.StatusResponse], error) {
	c, err := s.cluster()
	if err != nil {
		return nil, err
	}
	st := c.Status()
	out := &pb.StatusResponse{Cluster: st.Cluster, Node: st.Self, Leader: st.Leader, PolicyLeader: st.PolicyLeader, Members: uint32(st.Members),
		Voters: uint32(st.Voters), Voter: st.Voter, Authority: st.Authority, Lease: st.Leased, Applied: st.Applied,
		CertificateExpires: moment(st.Certificate), GossipKeys: st.Keys}
	all := c.Members()
	for _, m := range all {
		if m.State == cluster.Alive {
			out.Alive++
			if m.Voter {
				out.VotersAlive++
			}
		}
	}
	out.Problems = problemsOf(out, st, all, time.Now())
	return connect.NewResponse(out), nil
}

// soon is when a certificate that has not renewed itself is worth a word: it does so a month before.
const soon = 14 * 24 * time.Hour

// draining is what a node says of itself that somebody wants to be empty, which is no problem.
const draining = "draining"

// problemsOf says what is wrong: of the node that answers, of the others, of the votes.
func problemsOf(s *pb.StatusResponse, st cluster.Status, all []cluster.Member, now time.Time) (found []string) {
	when := func(is bool, format string, args ...any) {
		if is {
			found = append(found, fmt.Sprintf(format, args...))
		}
	}
	when(st.Failure != "", "this node takes up no changes any more: %s; end it, and see its log", text(st.Failure))
	when(s.GetLeader() == "", "no leader of the directory is known: nothing can change, and cells end when their nodes' leases do")
	when(s.GetPolicyLeader() == "", "no leader of the policies is known: policies and tokens cannot change")
	when(!st.Current, "this node has not caught up since it was started: what it says of the cluster may be old")
	when(!s.GetLease(), "this node has no lease: it starts no cells, and its cells have no effects")
	found = append(found, memberProblems(s.GetNode(), all)...)
	majority := s.GetVoters()/2 + 1
	when(s.GetVotersAlive() < majority, "%d of %d voters are seen, which is no majority", s.GetVotersAlive(), s.GetVoters())
	when(s.GetVoters() > 2 && s.GetVotersAlive() == majority, "%d of %d voters are seen: without one more, nothing can change", s.GetVotersAlive(), s.GetVoters())
	at := s.GetCertificateExpires()
	when(at.IsValid() && at.AsTime().Sub(now) < soon, "this node's certificate lapses at %s and has not been renewed", at.AsTime().UTC().Format(time.RFC3339))
	return found
}

// memberProblems says who is not there, and who is and runs no cells; self has said so already.
func memberProblems(self string, all []cluster.Member) (found []string) {
	var away []string
	for _, m := range all {
		switch {
		case m.State == cluster.Failed || m.State == cluster.Unseen:
			away = append(away, m.Name)
		case m.State == cluster.Alive && !m.Session && m.Name != self:
			found = append(found, fmt.Sprintf("node %s has no lease: it starts no cells", m.Name))
		case m.State == cluster.Alive && m.Meta.Closed != "" && m.Meta.Closed != draining:
			found = append(found, fmt.Sprintf("node %s takes no cells: it is %s", m.Name, text(m.Meta.Closed)))
		}
	}
	if len(away) > 0 {
		found = append(found, fmt.Sprintf("not seen: %s; start or remove them", strings.Join(away, ", ")))
	}
	return found
}
