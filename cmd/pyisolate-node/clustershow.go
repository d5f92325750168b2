package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
)

// invitationJSON is an invitation as --json prints it.
type invitationJSON struct {
	ID      string     `json:"id"`
	Node    string     `json:"node,omitempty"`
	Expires *time.Time `json:"expires"`
	Joined  string     `json:"joined,omitempty"`
	Token   string     `json:"token,omitempty"`
}

func invitationJSONOf(v *pb.Invitation) invitationJSON {
	return invitationJSON{ID: v.GetId(), Node: v.GetNode(), Expires: momentOf(v.GetExpires()), Joined: v.GetJoined()}
}

func newClusterInvites() *cobra.Command {
	c := &cobra.Command{Use: "invites", Short: "List open invitations, without their tokens", Args: cobra.NoArgs}
	return newRemote(c, func(ctx context.Context, r *remote, _ []string) error {
		answer, err := r.Cluster.ListInvites(ctx, connect.NewRequest(&pb.ListInvitesRequest{}))
		if err != nil {
			return err
		}
		list(r, "ID\tFOR\tEXPIRES\tJOINED", answer.Msg.GetInvitations(), invitationJSONOf, func(v *pb.Invitation) string {
			return fmt.Sprintf("%s\t%s\t%s\t%s", plain(v.GetId()), plain(cmp.Or(v.GetNode(), "any")), when(v.GetExpires()), plain(cmp.Or(v.GetJoined(), "-")))
		})
		return nil
	})
}

// memberJSON is a member as --json prints it.
type memberJSON struct {
	Name     string            `json:"name"`
	Address  string            `json:"address"`
	State    string            `json:"state"`
	Voter    bool              `json:"voter"`
	Leader   bool              `json:"leader"`
	Session  bool              `json:"session"`
	Joined   *time.Time        `json:"joined"`
	CPUs     float64           `json:"cpus,omitempty"`
	Memory   uint64            `json:"memory,omitempty"`
	Cells    uint64            `json:"max_cells,omitempty"`
	Python   string            `json:"python,omitempty"`
	Backends []string          `json:"backends,omitempty"`
	Layers   []string          `json:"layers,omitempty"`
	NUMA     uint64            `json:"numa,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	Running  uint64            `json:"cells,omitempty"`
	Taken    uint64            `json:"memory_taken,omitempty"`
	Closed   string            `json:"closed,omitempty"`
}

func memberJSONOf(m *pb.Member) memberJSON {
	t := m.GetTraits()
	return memberJSON{Name: m.GetName(), Address: m.GetAddress(), State: m.GetState(), Voter: m.GetVoter(), Leader: m.GetLeader(),
		Session: m.GetSession(), Joined: momentOf(m.GetJoined()), CPUs: float64(t.GetCpus()) / 1000, Memory: t.GetMemory(), Cells: t.GetCells(),
		Python: t.GetPython(), Backends: t.GetBackends(), Layers: t.GetLayers(), NUMA: t.GetNuma(), Labels: t.GetLabels(),
		Running: t.GetRunning(), Taken: t.GetTaken(), Closed: t.GetClosed()}
}

// role of a member, in one word.
func (m memberJSON) role() string {
	switch {
	case m.Leader:
		return "leader"
	case m.Voter:
		return "voter"
	}
	return "member"
}

func (m memberJSON) runs() string {
	if m.Session {
		return "yes"
	}
	return "no"
}

func newClusterMembers() *cobra.Command {
	c := &cobra.Command{
		Use: "members", Short: "List the nodes of the cluster", Args: cobra.NoArgs,
		Long: `List the nodes of the cluster, as the called node sees them. STATE is a hint that comes from
gossip: alive, failed, left or unseen, or why a node that is alive takes no cells, such as
draining. LEASE says whether cells can run on the node. What a node says of itself is missing
while it is not alive; --json has more of that.`,
	}
	return newRemote(c, func(ctx context.Context, r *remote, _ []string) error {
		answer, err := r.Cluster.ListMembers(ctx, connect.NewRequest(&pb.ListMembersRequest{}))
		if err != nil {
			return err
		}
		list(r, "NODE\tSTATE\tROLE\tLEASE\tADDRESS\tCELLS\tPYTHON\tLABELS", answer.Msg.GetMembers(), memberJSONOf, func(m *pb.Member) string {
			out := memberJSONOf(m)
			return fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%d/%d\t%s\t%s", plain(out.Name), plain(cmp.Or(out.Closed, out.State)), out.role(), out.runs(), plain(out.Address),
				out.Running, out.Cells, plain(cmp.Or(out.Python, "-")), cmp.Or(labels(out.Labels), "-"))
		})
		return nil
	})
}

// labels are for people, in order.
func labels(of map[string]string) string {
	var words []string
	for _, key := range slices.Sorted(maps.Keys(of)) {
		words = append(words, plain(key)+"="+plain(of[key]))
	}
	return strings.Join(words, ",")
}

// clusterJSON is the status as --json prints it.
type clusterJSON struct {
	Cluster      string     `json:"cluster"`
	Node         string     `json:"node"`
	Leader       string     `json:"leader"`
	PolicyLeader string     `json:"policy_leader"`
	Members      uint32     `json:"members"`
	Alive        uint32     `json:"alive"`
	Voters       uint32     `json:"voters"`
	VotersAlive  uint32     `json:"voters_alive"`
	Voter        bool       `json:"voter"`
	Authority    bool       `json:"authority"`
	Lease        bool       `json:"lease"`
	Applied      uint64     `json:"applied"`
	Certificate  *time.Time `json:"certificate_expires"`
	GossipKeys   []string   `json:"gossip_keys"`
	Problems     []string   `json:"problems"`
}

func newClusterStatus() *cobra.Command {
	var patience time.Duration
	c := &cobra.Command{
		Use: "status", Short: "Show the state of the cluster, as a node sees it", Args: cobra.NoArgs,
		Long: `Show the state of the cluster as the called node sees it, even while it is cut off. If something
is wrong, each fault is a line on standard error, and the status is 8. --wait asks again until
nothing is wrong, or until the time is over.`,
		Example: "  pyisolate-node cluster status --wait 30s",
	}
	c.Flags().DurationVar(&patience, "wait", 0, "ask again for up to this time, until nothing is wrong")
	return newRemote(c, func(ctx context.Context, r *remote, _ []string) error {
		s, err := r.clusterStatus(ctx, patience)
		if err != nil {
			return err
		}
		r.showStatus(s)
		if len(s.GetProblems()) > 0 {
			return exitStatus(statusRefused)
		}
		return nil
	})
}

// statusPause is between two looks of cluster status --wait.
const statusPause = 100 * time.Millisecond

// clusterStatus is the first in which nothing is wrong, or the last within the time.
func (r *remote) clusterStatus(ctx context.Context, patience time.Duration) (*pb.StatusResponse, error) {
	until := time.Now().Add(patience)
	for {
		answer, err := r.Cluster.Status(ctx, connect.NewRequest(&pb.StatusRequest{}))
		well := err == nil && len(answer.Msg.GetProblems()) == 0
		if well || !time.Now().Before(until) || err != nil && !errors.Is(err, fault.ErrUnavailable) {
			if err != nil {
				return nil, err
			}
			return answer.Msg, nil
		}
		select {
		case <-time.After(statusPause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (r *remote) showStatus(s *pb.StatusResponse) {
	r.show(clusterJSON{s.GetCluster(), s.GetNode(), s.GetLeader(), s.GetPolicyLeader(), s.GetMembers(), s.GetAlive(), s.GetVoters(), s.GetVotersAlive(),
		s.GetVoter(), s.GetAuthority(), s.GetLease(), s.GetApplied(), momentOf(s.GetCertificateExpires()), listOf(s.GetGossipKeys()), listOf(s.GetProblems())},
		"cluster %s, seen from node %s\nmembers %d, of which %d alive; voters %d, of which %d alive\nleader %s, of policies %s; applied %d\n%s\ncertificate until %s, gossip keys %s",
		plain(s.GetCluster()), plain(s.GetNode()), s.GetMembers(), s.GetAlive(), s.GetVoters(), s.GetVotersAlive(),
		plain(cmp.Or(s.GetLeader(), "unknown")), plain(cmp.Or(s.GetPolicyLeader(), "unknown")), s.GetApplied(), standingOf(s),
		when(s.GetCertificateExpires()), plain(strings.Join(s.GetGossipKeys(), ", ")))
	if !r.asJSON {
		for _, problem := range s.GetProblems() {
			_, _ = fmt.Fprintln(r.err, "problem:", plain(problem))
		}
	}
}

// standingOf is what the node that answers is in the cluster.
func standingOf(s *pb.StatusResponse) string {
	words := []string{"this node does not vote", "has no lease", "cannot sign certificates"}
	if s.GetVoter() {
		words[0] = "this node votes"
	}
	if s.GetLease() {
		words[1] = "has a lease"
	}
	if s.GetAuthority() {
		words[2] = "can sign certificates"
	}
	return strings.Join(words, ", ")
}

// listOf is an empty list in JSON where there is none.
func listOf(words []string) []string { return append([]string{}, words...) }
