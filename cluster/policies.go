package cluster

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/pyisolate/pyisolate/cluster/control"
	"github.com/pyisolate/pyisolate/cluster/wire"
	"github.com/pyisolate/pyisolate/policystore"
)

// PolicyGroup is the Raft group of the policies, as Govern needs it.
type PolicyGroup interface {
	// Leader of the group, or "". Leads: it is this node, which is ready to.
	Leader() string
	Leads() bool
	// Members of the group, and how many entries one of them lacks of those that this node has.
	Members() ([]policystore.Member, error)
	Lag(ctx context.Context, node string) (uint64, error)
	// AddNonvoter, AddVoter and Remove change them, at the leader. AddVoter promotes.
	AddNonvoter(ctx context.Context, node string) error
	AddVoter(ctx context.Context, node string) error
	Remove(ctx context.Context, node string) error
	// HandOver has another voter lead.
	HandOver(ctx context.Context) error
	// Answer does what another node has forwarded.
	Answer(ctx context.Context, from string, request []byte) []byte
}

var _ PolicyGroup = (*policystore.Store)(nil)

// Policies is how the policy store of this node becomes one of the cluster's. The group begins with
// the store of the first node, which [policystore.Found] has prepared; the others are added, see
// [Cluster.Govern].
func (c *Cluster) Policies() *policystore.Cluster {
	return &policystore.Cluster{
		Transport: c.transport(wire.Policy, c.policyLeader), Forward: c.forwardPolicy, Vouch: vouch, Timeout: c.config.Timeout,
	}
}

// localUser is what a user of a node's machine is called who came without a token.
var localUser = regexp.MustCompile(`^uid:[0-9]{1,10}@([a-z0-9-]{1,63})$`)

// vouch has a node speak for the users of its own machine alone.
func vouch(node, name string) error {
	if m := localUser.FindStringSubmatch(name); m == nil || m[1] != node {
		return fmt.Errorf("node %s speaks for its own users and for tokens", node)
	}
	return nil
}

func (c *Cluster) forwardPolicy(ctx context.Context, node string, request []byte) ([]byte, error) {
	topic := topicAsk
	if policystore.Changes(request) {
		topic = topicPolicy
	}
	answer, err := c.control.Ask(ctx, node, topic, request)
	if errors.Is(err, control.ErrNotDone) {
		return nil, fmt.Errorf("%w: %w", policystore.ErrNotLeader, err)
	}
	return answer, err
}

// Govern keeps the membership of the policies' group in step with the roster whenever this node
// leads it, and answers what other nodes forward. It is called once. The group may be closed before
// the Cluster, if it answers with errors then; its transport ends with the Cluster's port.
func (c *Cluster) Govern(p PolicyGroup) error {
	if !c.policies.CompareAndSwap(nil, &policies{p}) {
		return errors.New("the cluster governs a group of policies already")
	}
	answer := func(ctx context.Context, from string, request []byte) ([]byte, error) {
		return p.Answer(ctx, from, request), nil
	}
	ask := func(ctx context.Context, from string, request []byte) ([]byte, error) {
		if policystore.Changes(request) {
			return nil, errors.New("changes are asked for elsewhere")
		}
		return p.Answer(ctx, from, request), nil
	}
	return errors.Join(c.control.HandleUpTo(topicPolicy, maxChanges, answer), c.control.Handle(topicAsk, ask))
}

// maxChanges of policies that one node's clients make are under way at the leader: what waits for its
// turn leaves room for claims and fences, which come the same way.
const maxChanges = 32

// policies is their group as a membership.
type policies struct{ PolicyGroup }

var _ membership = (*policies)(nil)

// Leading implements membership.
func (p *policies) Leading() bool { return p.Leads() }

// Servers implements membership.
func (p *policies) Servers() (map[string]bool, error) {
	list, err := p.Members()
	all := map[string]bool{}
	for _, m := range list {
		all[m.Node] = m.Voter
	}
	return all, err
}

// Behind implements membership.
func (p *policies) Behind(ctx context.Context, node string, _ report) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	return p.Lag(ctx, node)
}

// policyLeader leads the policies, or "".
func (c *Cluster) policyLeader() string {
	if p := c.policies.Load(); p != nil {
		return p.Leader()
	}
	return ""
}
