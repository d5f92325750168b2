package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	api "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1/pyisolatev1connect"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/telemetry/trace"
)

// peers are the APIs of the other nodes, which are asked in the name of whoever calls here. A nil
// one has none.
type peers struct {
	fabric Fabric

	mu  sync.Mutex
	all map[string]peerAPI
}

// peerAPI is what another node answers.
type peerAPI struct {
	cells     api.CellServiceClient
	nodes     api.NodeServiceClient
	cluster   api.ClusterServiceClient
	transfers api.TransferServiceClient
}

// maxPeers bounds what is kept of nodes, of which there are fewer: names may come and go.
const maxPeers = 1024

func newPeers(f Fabric) *peers {
	if f == nil {
		return nil
	}
	return &peers{fabric: f, all: map[string]peerAPI{}}
}

// of is a node's API.
func (p *peers) of(node string) peerAPI {
	p.mu.Lock()
	defer p.mu.Unlock()
	found, known := p.all[node]
	if !known {
		if len(p.all) >= maxPeers {
			clear(p.all)
		}
		way := &http.Client{Transport: p.fabric.HTTP(node)}
		base := "http://" + node
		most := func(bytes int) connect.ClientOption {
			return connect.WithClientOptions(connect.WithGRPC(), connect.WithReadMaxBytes(bytes), connect.WithAcceptCompression("gzip", nil, nil))
		}
		found = peerAPI{api.NewCellServiceClient(way, base, most(maxCellAnswer)), api.NewNodeServiceClient(way, base, most(maxNodeAnswer)),
			api.NewClusterServiceClient(way, base, most(maxCellMessage)), api.NewTransferServiceClient(way, base, most(maxCellMessage))}
		p.all[node] = found
	}
	return found
}

// others are the nodes to ask where all are; none for a call that comes from another node.
func (p *peers) others(ctx context.Context) []string {
	if p == nil || isPassedOn(ctx) {
		return nil
	}
	return p.fabric.Peers()
}

// withLost adds the nodes that are not asked, for they are known to be gone, to those that did not answer: of what
// they have nothing is told, either.
func (p *peers) withLost(silent []string) []string {
	for _, n := range p.fabric.Lost() {
		if !slices.Contains(silent, n.GetId()) {
			silent = append(silent, n.GetId())
		}
	}
	return silent
}

// toPeer is a request as another node is to have it.
func toPeer[Q any](ctx context.Context, message *Q) *connect.Request[Q] {
	r := connect.NewRequest(message)
	headers(ctx, r.Header())
	return r
}

// headers says for whom a node is asked, and in the course of what.
func headers(ctx context.Context, h http.Header) {
	h.Set(principalHeader, encodePrincipal(principalOf(ctx)))
	if parent := trace.Parent(ctx); parent != "" {
		h.Set("Traceparent", parent)
	}
}

// fromPeer is the error of a call of another node for whoever called here. What that node has
// answered goes on as it is.
func fromPeer(ctx context.Context, node string, err error) error {
	switch {
	case err == nil:
		return nil
	case connect.IsWireError(err):
		var sent *connect.Error
		errors.As(err, &sent)
		answer := connect.NewError(sent.Code(), errors.New(sent.Message()))
		for _, d := range sent.Details() {
			answer.AddDetail(d)
		}
		return answer
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, fault.ErrUnavailable):
		return &fault.Hinted{Err: unreached(node, err), Hint: "try again: it is back soon, or gone, and the cluster will say so"}
	}
	return cell.Errorf(cell.UnknownOutcome, "node %s, which has the cell, was lost before it answered: it may have been done", node)
}

// unreachedError says that a node was not asked.
type unreachedError struct {
	node string
	err  error
}

func unreached(node string, err error) error { return &unreachedError{node, err} }

func (e *unreachedError) Error() string {
	return "node " + e.node + ", which has the cell, cannot be reached: " + e.err.Error()
}

func (e *unreachedError) Unwrap() error { return fault.ErrUnavailable }

// peerWithin is how long other nodes have to say what all are asked for.
const peerWithin = reportsWithin + 500*time.Millisecond

// isNode refuses the name of a node that there is not, where self is asked; "" is none.
func isNode(p *peers, self, node string) error {
	if node == "" || node == self {
		return nil
	}
	if p != nil && hasNode(p.fabric, node) {
		return nil
	}
	return fmt.Errorf("%w: there is no node %.64q: ListNodes tells which there are", policystore.ErrNotFound, node)
}

// hasNode says whether another node is of the cluster, as far as can be told.
func hasNode(f Fabric, node string) bool {
	isPeer := func() bool { return slices.Contains(f.Peers(), node) }
	isLost := func(n *pb.Node) bool { return n.GetId() == node }
	return isPeer() || slices.ContainsFunc(f.Lost(), isLost) || isPeer() // it may have come back in between
}

// askAll asks all other nodes at once, or the one that is named, and returns what they answered, and who
// did not.
func askAll[A any](ctx context.Context, p *peers, only string, ask func(context.Context, peerAPI) (*connect.Response[A], error)) (answers []*A, silent []string) {
	nodes := p.others(ctx)
	if only != "" && p != nil && !isPassedOn(ctx) {
		nodes = slices.DeleteFunc([]string{only}, func(n string) bool { return n == p.fabric.Self() })
	}
	if len(nodes) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, peerWithin)
	defer cancel()
	got := make([]*A, len(nodes))
	var asking sync.WaitGroup
	for i, node := range nodes {
		asking.Go(func() {
			if r, err := ask(ctx, p.of(node)); err == nil {
				got[i] = r.Msg
			}
		})
	}
	asking.Wait()
	for i, one := range got {
		if one == nil {
			silent = append(silent, nodes[i])
			continue
		}
		answers = append(answers, one)
	}
	return answers, silent
}
