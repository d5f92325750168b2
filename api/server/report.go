package server

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/pyisolate/pyisolate/actors"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
)

const (
	// reportsWithin is how long hosts have to say what their cells do; of others the rest is
	// reported.
	reportsWithin = 2 * time.Second
	// askedAtOnce is how many cells of one tenant are asked at a time.
	askedAtOnce = 8
)

// reports are those of many cells, in their order. Hosts that do not answer hold up those of
// their own tenant alone, and not for long.
func (s *cells) reports(ctx context.Context, all []*entry) []*pb.CellReport {
	ctx, cancel := context.WithTimeout(ctx, reportsWithin)
	defer cancel()
	out := make([]*pb.CellReport, len(all))
	var asking sync.WaitGroup
	for begin := 0; begin < len(all); {
		end := begin + 1
		for end < len(all) && all[end].key.tenant == all[begin].key.tenant {
			end++
		}
		of, to := all[begin:end], out[begin:end]
		asking.Go(func() { s.reportsOfOne(ctx, of, to) })
		begin = end
	}
	asking.Wait()
	return out
}

func (s *cells) reportsOfOne(ctx context.Context, of []*entry, to []*pb.CellReport) {
	var next atomic.Int64
	var asking sync.WaitGroup
	for range min(askedAtOnce, len(of)) {
		asking.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(of)); i = next.Add(1) - 1 {
				to[i] = s.report(ctx, of[i])
			}
		})
	}
	asking.Wait()
}

// report is the cell seen from outside. What the cell's host does not tell is zero, and the
// reason says why.
func (s *cells) report(ctx context.Context, e *entry) *pb.CellReport {
	e.mu.Lock()
	r, state, why := e.now, e.waiting, e.why
	out := &pb.CellReport{Cell: &pb.CellRef{Tenant: e.key.tenant, Name: e.key.name}, Id: e.id, Started: moment(e.started), Epoch: e.epoch, Restarts: e.restarts, Node: s.node()}
	if e.move != nil {
		out.Migration = e.move.migration()
	}
	e.mu.Unlock()
	out.Topics = s.actors.Topics(e.key.address())
	if r != nil {
		s.inspect(ctx, r, out)
	}
	if state != "" {
		out.State = state
		if why != "" {
			out.Reason = text(why)
		}
	}
	return out
}

// inspect fills in what an incarnation tells.
func (s *cells) inspect(ctx context.Context, r *resident, out *pb.CellReport) {
	reply := s.ask(ctx, r.entry, "", 0, actors.Inspect{})
	seen := reply.Report
	out.Backend, out.State, out.Busy = string(r.cell.Spec().Backend), text(string(seen.State)), seen.Busy
	out.Reason, out.Cpu, out.Memory, out.MemoryPeak = text(seen.Reason), durationpb.New(seen.CPU), seen.Memory, seen.MemoryPeak
	out.Output, out.Posts, out.Logs, out.Denials = seen.Output, seen.Posts, seen.Logs, seen.Denials
	out.Policy, out.Limits = r.policyState(), limitsTo(r.limits())
	if reply.Err != nil {
		out.Reason = text(reply.Err.Error())
	}
	if seen.Confinement != nil {
		out.Layers, out.Unheld = layersOf(*seen.Confinement), texts(seen.Confinement.Unheld)
	}
}

func layersOf(c cell.Confinement) (layers []*pb.Layer) {
	for _, l := range c.Layers {
		layers = append(layers, &pb.Layer{Name: text(l.Name), Active: l.Active, Evidence: text(l.Evidence), Gaps: texts(l.Gaps)})
	}
	return layers
}

// policyState is what confines the cell now.
func (r *resident) policyState() *pb.PolicyState {
	now, ref := r.Began(), r.entry.terms.ref
	out := &pb.PolicyState{Version: now.Version, Newest: now.Version, Hash: now.Compiled.Hash[:]}
	if ref.name != "" {
		out.Ref = &pb.PolicyRef{Name: ref.name, Sandbox: ref.sandbox, Version: ref.version}
	}
	if r.following == nil {
		return out
	}
	f := r.following.Report()
	out.Newest, out.Problem, out.Deleted = max(f.Newest, now.Version), text(f.Failed), f.Deleted
	out.NeedsNewCell, out.Unresolved, out.WantsBackend = texts(f.NewCell), texts(f.Unresolved), string(f.Wants)
	for _, l := range f.Layers {
		if l.Live {
			out.Layers = append(out.Layers, text(l.Name))
		}
	}
	return out
}

// text makes a guest's words valid for a message.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func texts(list []string) (out []string) {
	for _, s := range list {
		out = append(out, text(s))
	}
	return out
}
