package fabrictest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/api/client"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
)

// Options of a Fabric. Program and Dir are needed.
type Options struct {
	// Program is a built pyisolate-node.
	Program string
	// Dir is empty, and short: sockets are below it. Everything of the nodes is there.
	Dir string
	// Nodes, 1 to 9; 0 is 3. They are called n1, n2, …
	Nodes int
	// Network: Namespaces, Loopback, or "" for the best that there can be.
	Network string
	// Seed of what links do by chance.
	Seed uint64
	// Steered: the program is built with failpoints, which are armed by Node.Points.
	Steered bool
	// Flags of serve, beside --data and --socket.
	Flags []string
	// Logf is told what happens; nil: nobody is.
	Logf func(format string, args ...any)
}

// Fabric is nodes and the network between them.
type Fabric struct {
	// Nodes in the order of their names.
	Nodes []*Node

	options Options
	network network
}

// New makes the places of the nodes. None runs.
func New(o Options) (*Fabric, error) {
	if o.Nodes == 0 {
		o.Nodes = 3
	}
	if o.Nodes < 1 || o.Nodes > 9 {
		return nil, fmt.Errorf("fabrictest: %d nodes; there are 1 to 9", o.Nodes)
	}
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
	var names []string
	for i := range o.Nodes {
		names = append(names, fmt.Sprint("n", i+1))
	}
	f := &Fabric{options: o}
	var reason, err error
	if f.network, reason, err = newNetwork(o.Network, o.Seed, names); err != nil {
		return nil, err
	}
	if reason != nil {
		o.Logf("no links can be cut: %v", reason)
	}
	for _, name := range names {
		n, err := f.newNode(name)
		if err != nil {
			return nil, errors.Join(err, f.network.close())
		}
		f.Nodes = append(f.Nodes, n)
	}
	return f, nil
}

// Links tells whether links can be cut.
func (f *Fabric) Links() bool { return f.network.links() }

// Node by its name; nil if there is none.
func (f *Fabric) Node(name string) *Node {
	for _, n := range f.Nodes {
		if n.Name == name {
			return n
		}
	}
	return nil
}

// Form makes a cluster of the nodes: the first founds it, the others join one after the other.
// It returns when all are members that vote and may run cells.
func (f *Fabric) Form(ctx context.Context) error {
	first := f.Nodes[0]
	if _, err := first.Run(ctx, "init", "--name", first.Name, "--data", first.Data(), "--advertise", first.Address()); err != nil {
		return err
	}
	if err := first.Start(); err != nil {
		return err
	}
	for _, n := range f.Nodes[1:] {
		if err := f.Join(ctx, n); err != nil {
			return err
		}
	}
	if err := f.Converge(ctx); err != nil {
		return err
	}
	return f.bear(ctx)
}

// bear makes a token and gives each node its Bearer.
func (f *Fabric) bear(ctx context.Context) error {
	answer, err := f.Nodes[0].Client.Policies.CreateToken(ctx, connect.NewRequest(&pb.CreateTokenRequest{Name: "bearer", Role: "policy-admin"}))
	if err != nil {
		return fmt.Errorf("fabrictest: make a token: %w", err)
	}
	for _, n := range f.Nodes {
		if n.Bearer, err = client.New(client.Config{Socket: n.Socket(), Token: answer.Msg.GetSecret()}); err != nil {
			return err
		}
	}
	return nil
}

// Join has a node that never ran join the cluster, and starts it.
func (f *Fabric) Join(ctx context.Context, n *Node) error {
	token, err := f.invite(ctx, n.Name)
	if err != nil {
		return err
	}
	c := n.Command(ctx, "cluster", "join", "-", "--name", n.Name, "--data", n.Data(), "--advertise", n.Address())
	c.Stdin = strings.NewReader(token)
	var complaint strings.Builder
	c.Stderr = &complaint
	if err := f.network.start(n.Name, c); err != nil {
		return fmt.Errorf("fabrictest: %s joins: %w", n.Name, err)
	}
	if err := c.Wait(); err != nil {
		return fmt.Errorf("fabrictest: %s joins: %w\n%s", n.Name, err, complaint.String())
	}
	return n.Start()
}

// invite asks a node that runs, again while the cluster has no leader.
func (f *Fabric) invite(ctx context.Context, name string) (token string, err error) {
	for {
		for _, n := range f.Nodes {
			if !n.Runs() {
				continue
			}
			var answer *connect.Response[pb.InviteResponse]
			if answer, err = n.Client.Cluster.Invite(ctx, connect.NewRequest(&pb.InviteRequest{Node: name})); err == nil {
				return answer.Msg.GetToken(), nil
			}
		}
		if e := pause(ctx); e != nil {
			return "", fmt.Errorf("fabrictest: invite %s: %w", name, errors.Join(e, err))
		}
	}
}

// pause is between two looks at something that tells nobody.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(20 * time.Millisecond):
		return nil
	}
}

// Heal makes all links good and starts or resumes all nodes.
func (f *Fabric) Heal() error {
	f.network.heal()
	var failed []error
	for _, n := range f.Nodes {
		failed = append(failed, n.Resume())
		if !n.Runs() {
			failed = append(failed, n.Start())
		}
	}
	return errors.Join(failed...)
}

// Converge returns when all nodes see all alive and with leases, the same leader, the same cells
// and the same policies. What it waited for in vain is in its error.
func (f *Fabric) Converge(ctx context.Context) error {
	for {
		var views []string
		for _, n := range f.Nodes {
			view, err := n.view(ctx, len(f.Nodes))
			if err != nil {
				view = fmt.Sprintf("of %s there is none: %v", n.Name, err)
				views = append(views, view)
				continue
			}
			views = append(views, view)
		}
		if !strings.HasPrefix(views[0], "of ") && len(slices.Compact(slices.Clone(views))) == 1 {
			return nil
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("fabrictest: the nodes do not agree: %w\n%s", err, strings.Join(views, "\n"))
		}
	}
}

// view is what a whole node knows: of a cluster of so many, that agrees, each has the same.
func (n *Node) view(ctx context.Context, members int) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	status, err := n.Client.Cluster.Status(ctx, connect.NewRequest(&pb.StatusRequest{}))
	if err != nil {
		return "", err
	}
	s := status.Msg
	if !s.GetLease() || len(s.GetProblems()) != 0 || int(s.GetMembers()) != members || int(s.GetAlive()) != members ||
		s.GetVotersAlive() != s.GetVoters() || members >= 3 && s.GetVoters() < 3 {
		return "", fmt.Errorf("it is not whole: %v", s)
	}
	all, err := n.Client.Cluster.ListMembers(ctx, connect.NewRequest(&pb.ListMembersRequest{}))
	if err != nil {
		return "", err
	}
	for _, m := range all.Msg.GetMembers() {
		if !m.GetSession() {
			return "", fmt.Errorf("%s has no lease", m.GetName())
		}
	}
	cells, err := n.Client.Cells.List(ctx, connect.NewRequest(&pb.ListCellsRequest{}))
	if err != nil {
		return "", err
	}
	policies, err := n.Client.Policies.List(ctx, connect.NewRequest(&pb.ListRequest{Deleted: true, Stale: true}))
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("leader %s, %s; cells %s; policies %s", s.GetLeader(), s.GetPolicyLeader(), living(cells.Msg.GetReports()), versions(policies.Msg.GetVersions())), nil
}

// living are the cells that have not ended, in order.
func living(reports []*pb.CellReport) string {
	var all []string
	for _, r := range reports {
		switch r.GetState() {
		case "starting", "running", "restarting", "quarantined":
			all = append(all, fmt.Sprintf("%s/%s.%d@%s", r.GetCell().GetTenant(), r.GetCell().GetName(), r.GetEpoch(), r.GetNode()))
		}
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func versions(of []*pb.Version) string {
	var all []string
	for _, v := range of {
		all = append(all, fmt.Sprintf("%s.%d@%d:%.4x", v.GetName(), v.GetNumber(), v.GetIndex(), v.GetHash()))
	}
	return strings.Join(all, " ")
}

// Close ends all nodes, as a service manager does, and the network. Its error tells about
// processes that are left, and ends them.
func (f *Fabric) Close() error {
	var failed []error
	f.network.heal()
	for _, n := range f.Nodes {
		failed = append(failed, n.Resume(), n.Terminate())
	}
	for _, n := range f.Nodes {
		if left := n.Left(20 * time.Second); len(left) > 0 {
			failed = append(failed, fmt.Errorf("fabrictest: processes are left: %s", strings.Join(left, ", ")))
			pids, _ := processesOf(n.program)
			failed = append(failed, signalAll(pids, 9))
		}
		_ = os.Remove(n.path()) // the largest of what is kept for who looks
	}
	return errors.Join(append(failed, f.network.close())...)
}

// Until reports whether something became so before ctx ended, and at the latest within 30 s.
func Until(ctx context.Context, is func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for !is() {
		if pause(ctx) != nil {
			return false
		}
	}
	return true
}
