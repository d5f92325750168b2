package server

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

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
func reports(ctx context.Context, all []*resident) []*pb.CellReport {
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
		asking.Go(func() { reportsOfOne(ctx, of, to) })
		begin = end
	}
	asking.Wait()
	return out
}

func reportsOfOne(ctx context.Context, of []*resident, to []*pb.CellReport) {
	var next atomic.Int64
	var asking sync.WaitGroup
	for range min(askedAtOnce, len(of)) {
		asking.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(of)); i = next.Add(1) - 1 {
				to[i] = of[i].report(ctx)
			}
		})
	}
	asking.Wait()
}

// report is the cell seen from outside. What the cell's host does not tell is zero, and the
// reason says why.
func (r *resident) report(ctx context.Context) *pb.CellReport {
	seen, err := r.cell.Inspect(ctx)
	out := &pb.CellReport{Cell: &pb.CellRef{Tenant: r.key.tenant, Name: r.key.name}, Id: r.cell.ID(),
		Backend: string(r.cell.Spec().Backend), State: string(seen.State), Busy: seen.Busy, Reason: text(seen.Reason),
		Started: moment(r.started), Cpu: durationpb.New(seen.CPU), Memory: seen.Memory, MemoryPeak: seen.MemoryPeak,
		Output: seen.Output, Posts: seen.Posts, Logs: seen.Logs, Denials: seen.Denials, Policy: r.policyState()}
	if err != nil {
		out.Reason = text(err.Error())
	}
	if seen.Confinement != nil {
		out.Layers, out.Unheld = layersOf(*seen.Confinement), seen.Confinement.Unheld
	}
	return out
}

func layersOf(c cell.Confinement) (layers []*pb.Layer) {
	for _, l := range c.Layers {
		layers = append(layers, &pb.Layer{Name: l.Name, Active: l.Active, Evidence: text(l.Evidence), Gaps: l.Gaps})
	}
	return layers
}

// policyState is what confines the cell now.
func (r *resident) policyState() *pb.PolicyState {
	now := r.Began()
	out := &pb.PolicyState{Ref: &pb.PolicyRef{Name: r.ref.name, Sandbox: r.ref.sandbox, Version: r.ref.version},
		Version: now.Version, Newest: now.Version, Hash: now.Compiled.Hash[:]}
	if r.following == nil {
		return out
	}
	f := r.following.Report()
	out.Newest, out.Problem, out.Deleted = max(f.Newest, now.Version), text(f.Failed), f.Deleted
	out.NeedsNewCell, out.Unresolved, out.WantsBackend = f.NewCell, f.Unresolved, string(f.Wants)
	for _, l := range f.Layers {
		if l.Live {
			out.Layers = append(out.Layers, l.Name)
		}
	}
	return out
}

// text makes a guest's words valid for a message.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
