package server

import (
	"context"
	"slices"
	"sync"
	"time"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
)

const (
	// ahead is how many events of a node are taken before the client has those before them: more than
	// that stay at the node, which counts what it loses.
	ahead = 64
	// lookEvery is how often it is looked which nodes there are, and a silent one is asked again.
	lookEvery = time.Second
)

// gathering is a stream of the events of several nodes. Its goroutines end with gather.
type gathering struct {
	*nodes
	request *pb.EventsRequest
	sources map[string]*source // for gather's goroutine alone
	came    chan *pb.EventsResponse
	ended   chan *source
	work    sync.WaitGroup
}

// gather sends the events of all nodes, or of the one that the request names.
func (s *nodes) gather(ctx context.Context, r *pb.EventsRequest, send func(*pb.EventsResponse) error) error {
	g := &gathering{nodes: s, request: r, sources: map[string]*source{}, came: make(chan *pb.EventsResponse, ahead), ended: make(chan *source)}
	ctx, cancel := context.WithCancel(ctx)
	defer g.work.Wait()
	defer cancel()
	for _, name := range append(s.peers.others(ctx), s.self()) {
		g.add(name)
	}
	for _, lost := range s.peers.fabric.Lost() {
		if one := g.add(lost.GetId()); one != nil {
			one.gone = lost.GetState()
		}
	}
	if err := g.kept(ctx, send); err != nil || !r.GetFollow() {
		return err
	}
	return g.live(ctx, send)
}

// add has a node's events sent, if they are asked for and are not yet: then it returns the source.
func (g *gathering) add(node string) *source {
	only := g.request.GetNode()
	if g.sources[node] != nil || only != "" && only != node {
		return nil
	}
	s := &source{gathering: g, node: node, last: g.request.GetAfter()}
	if last, named := g.request.GetAfterOf()[node]; named {
		s.last = last
	}
	g.sources[node] = s
	return s
}

// kept sends what the nodes have kept, by time. It does not wait for one that does not answer longer than
// peerWithin, nor for one that sends on and on longer than keptWithin.
func (g *gathering) kept(ctx context.Context, send func(*pb.EventsResponse) error) error {
	var lines []<-chan *pb.EventsResponse
	for _, s := range g.sources {
		line := make(chan *pb.EventsResponse, ahead)
		lines = append(lines, line)
		g.work.Go(func() {
			defer close(line)
			s.catchUp(ctx, line)
		})
	}
	if err := merge(lines, send); err != nil {
		return err
	}
	return ctx.Err()
}

// merge sends what comes on all lines, until they are closed: of their next messages always the one of the
// earliest event, or one that is of none.
func merge(lines []<-chan *pb.EventsResponse, send func(*pb.EventsResponse) error) error {
	next := make([]*pb.EventsResponse, len(lines)) // nil: its line is closed
	for i, line := range lines {
		next[i] = <-line
	}
	for {
		first := -1
		for i, m := range next {
			if m != nil && (first < 0 || atOf(m).Before(atOf(next[first]))) {
				first = i
			}
		}
		if first < 0 {
			return nil
		}
		if err := send(next[first]); err != nil {
			return err
		}
		next[first] = <-lines[first]
	}
}

func atOf(m *pb.EventsResponse) time.Time { return m.GetEvent().GetAt().AsTime() }

// live sends what happens from now on, also on nodes that come.
func (g *gathering) live(ctx context.Context, send func(*pb.EventsResponse) error) error {
	for _, s := range g.sources {
		g.work.Go(func() { s.run(ctx) })
	}
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case m := <-g.came:
			if err := send(m); err != nil {
				return err
			}
		case s := <-g.ended:
			delete(g.sources, s.node)
		case <-look.C:
			for _, name := range g.peers.others(ctx) {
				if s := g.add(name); s != nil {
					g.work.Go(func() { s.run(ctx) })
				}
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// isThere says whether a node can be asked, and whether it is one of the cluster's.
func (g *gathering) isThere(node string) (there, member bool) {
	return slices.Contains(g.peers.fabric.Peers(), node), isNode(g.peers, g.self(), node) == nil
}
