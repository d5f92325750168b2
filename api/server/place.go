package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cluster/schedule"
	"github.com/pyisolate/pyisolate/policystore"
)

const (
	// maxWishes is how many labels, and how many layers, a placement names.
	maxWishes = 16
	maxWish   = 63 // bytes of each word
	// placings is how many nodes a spawn tries, of which each finds that it has no room after all.
	placings = 3
)

// Spawn implements the call: it chooses a node, and has it start the cell.
func (s *everywhere) Spawn(ctx context.Context, r *connect.Request[pb.SpawnRequest]) (*connect.Response[pb.SpawnResponse], error) {
	if isPassedOn(ctx) {
		return s.cells.Spawn(ctx, r)
	}
	wish, asked, err := s.wish(ctx, r.Msg)
	if err != nil {
		return nil, err
	}
	var without []string
	for {
		if node, before := s.startedBefore(ctx, asked); before {
			return s.spawnOn(ctx, node, asked)
		}
		node, err := s.fabric.Choose(ctx, wish, without)
		if err != nil {
			return nil, err
		}
		answer, err := s.spawnOn(ctx, node, asked)
		if !refusedByNode(err) || wish.Node != "" || len(without)+1 == placings {
			return answer, err
		}
		without = append(without, node)
		if err := s.fabric.Refresh(ctx); err != nil {
			return nil, err
		}
	}
}

// wish is what a spawn needs of a node, and the request as that node is to have it: with a name.
func (s *cells) wish(ctx context.Context, r *pb.SpawnRequest) (w schedule.Wish, asked *pb.SpawnRequest, err error) {
	if err := refuseUnknown(r.ProtoReflect()); err != nil {
		return w, nil, err
	}
	k, err := keyOf(ctx, r)
	if err != nil {
		return w, nil, err
	}
	id, err := requestKey(ctx, k, "Spawn", r.GetRequestId())
	if err != nil {
		return w, nil, err
	}
	asked = proto.CloneOf(r)
	asked.Tenant, asked.Name = k.tenant, cmp.Or(k.name, madeUp(id))
	if err := validPlacement(r.GetPlacement()); err != nil {
		return w, nil, err
	}
	t, err := s.termsOf(ctx, k.tenant, r)
	if err != nil {
		return w, nil, err
	}
	now, err := s.revision(ctx, holderOf(ctx), t)
	if err != nil {
		return w, nil, err
	}
	p := r.GetPlacement()
	w = schedule.Wish{Tenant: k.tenant, Cell: asked.GetName(), Node: p.GetNode(), Labels: p.GetLabels(), Strategy: schedule.Strategy(p.GetStrategy()),
		Layers: wishedLayers(p), Backend: string(cmp.Or(t.backend, now.Compiled.Backend))}
	limits := now.Compiled.Limits
	if t.limits.Memory > 0 && (limits.Memory == 0 || t.limits.Memory < limits.Memory) {
		limits.Memory = t.limits.Memory
	}
	w.Memory = limits.WithDefaults().Memory
	w.OneNUMA = now.Compiled.NUMA != ""
	return w, asked, nil
}

func validPlacement(p *pb.Placement) error {
	if len(p.GetLabels()) > maxWishes || len(p.GetLayers()) > maxWishes {
		return cell.Errorf(cell.Invalid, "placement has %d labels and %d layers; %d is the most of each", len(p.GetLabels()), len(p.GetLayers()), maxWishes)
	}
	for key, value := range p.GetLabels() {
		if key == "" || len(key) > maxWish || len(value) > maxWish {
			return cell.Errorf(cell.Invalid, "placement.labels: %.80q: %.80q: a key has 1 to %d bytes, a value at most as many", key, value, maxWish)
		}
	}
	switch schedule.Strategy(p.GetStrategy()) {
	case "", schedule.Spread, schedule.Pack:
		return nil
	}
	return cell.Errorf(cell.Invalid, "placement.strategy is %.64q: use %q or %q", p.GetStrategy(), schedule.Spread, schedule.Pack)
}

// startedBefore is the node that has started the cell by the same request.
func (s *everywhere) startedBefore(ctx context.Context, r *pb.SpawnRequest) (node string, before bool) {
	if r.GetRequestId() == "" {
		return "", false
	}
	k := cellKey{r.GetTenant(), r.GetName()}
	id, err := requestKey(ctx, k, "Spawn", r.GetRequestId())
	if err != nil {
		return "", false
	}
	place, known := s.fabric.Find(k.address())
	return place.Node, known && place.Node != "" && place.Claim == claimOf(id)
}

// spawnOn has a node start a cell.
func (s *everywhere) spawnOn(ctx context.Context, node string, r *pb.SpawnRequest) (*connect.Response[pb.SpawnResponse], error) {
	if node == s.fabric.Self() {
		return s.cells.Spawn(ctx, connect.NewRequest(r))
	}
	answer, err := s.peers.of(node).cells.Spawn(ctx, toPeer(ctx, r))
	if err != nil {
		return nil, fromPeer(ctx, node, err)
	}
	return connect.NewResponse(answer.Msg), nil
}

// refusedByNode says that a node could not start a cell, and another one may.
func refusedByNode(err error) bool {
	if err == nil {
		return false
	}
	var not *unreachedError
	var sent *connect.Error
	return errors.As(err, &not) || cell.KindOf(err) == cell.Busy || errors.Is(err, policystore.ErrLimited) ||
		errors.As(err, &sent) && slices.Contains([]connect.Code{connect.CodeUnavailable, connect.CodeResourceExhausted}, sent.Code())
}

// wishedLayers are a placement's layers as nodes tell each other of them: in one word.
func wishedLayers(p *pb.Placement) (layers []string) {
	for _, name := range p.GetLayers() {
		layers = append(layers, oneWord(name))
	}
	return layers
}

func oneWord(name string) string { return strings.ReplaceAll(name, " ", "-") }

// placedHere refuses a placement that this node, which is by itself, is not.
func (s *cells) placedHere(k cellKey, p *pb.Placement) error {
	if err := validPlacement(p); err != nil {
		return err
	}
	if asked := p.GetNode(); asked != "" && asked != s.node() {
		return fmt.Errorf("%w: placement.node is %.64q; this node is %q, and of no cluster", policystore.ErrInvalid, asked, s.node())
	}
	if len(p.GetLabels()) == 0 && len(p.GetLayers()) == 0 {
		return nil
	}
	here := schedule.Node{Name: s.node()}
	if s.described != nil {
		n := s.described()
		here.Labels = n.GetLabels()
		for _, l := range n.GetLayers() {
			if l.GetActive() {
				here.Layers = append(here.Layers, oneWord(l.GetName()))
			}
		}
	}
	if _, err := schedule.Choose([]schedule.Node{here}, schedule.Wish{Tenant: k.tenant, Cell: k.name, Labels: p.GetLabels(), Layers: wishedLayers(p)}); err != nil {
		return fmt.Errorf("%w: %w", policystore.ErrInvalid, err)
	}
	return nil
}
