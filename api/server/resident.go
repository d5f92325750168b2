package server

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/effect"
	"github.com/pyisolate/pyisolate/policystore/live"
)

// policyRef is what a cell was spawned under. Version 0 follows the newest.
type policyRef struct {
	name, sandbox string
	version       uint64
}

// resident is a cell of this node and what belongs to it. It is the cell's sink, and where
// new versions of its policy arrive.
type resident struct {
	key     cellKey
	ref     policyRef
	started time.Time
	said    *sayings
	session *capability.Session

	cell      cell.Cell      // set before anybody else has the resident
	following *live.Followed // nil: the version is fixed

	mu      sync.Mutex
	inForce live.Revision
}

var (
	_ cell.Sink    = (*resident)(nil)
	_ live.Target  = (*resident)(nil)
	_ live.Begun   = (*resident)(nil)
	_ live.Bounded = (*resident)(nil)
)

// Log implements cell.Sink.
func (r *resident) Log(l cell.LogRecord) {
	r.said.add(&pb.StreamResponse{Item: &pb.StreamResponse_Log{Log: &pb.Log{Level: l.Level, Message: text(l.Message), Fields: string(l.Fields)}}},
		len(l.Message)+len(l.Fields))
}

// Metric implements cell.Sink.
func (r *resident) Metric(m cell.Sample) {
	size, tags := len(m.Name), make(map[string]string, len(m.Tags))
	for k, v := range m.Tags {
		tags[text(k)] = text(v)
		size += len(k) + len(v)
	}
	r.said.add(&pb.StreamResponse{Item: &pb.StreamResponse_Metric{Metric: &pb.Metric{Name: text(m.Name), Value: m.Value, Tags: tags}}}, size)
}

// Denied implements cell.Sink.
func (r *resident) Denied(d cell.Denial) {
	r.said.add(&pb.StreamResponse{Item: &pb.StreamResponse_Denial{Denial: fault.FromDenial(&d)}},
		len(d.Capability)+len(d.Action)+len(d.Rule)+len(d.Kernel)+len(d.Broker))
}

// Request implements cell.Sink.
func (r *resident) Request(ctx context.Context, q cell.Request) (cell.Value, error) {
	return effect.Serve(ctx, r.session, q)
}

// Apply implements live.Target: first what the guest may do by itself, then what it may ask
// for. When the second fails the first is as it was.
func (r *resident) Apply(ctx context.Context, next live.Revision) (cell.Reloaded, error) {
	reloaded, err := r.reload(ctx, next)
	if err != nil {
		return reloaded, err
	}
	if err := r.session.Update(capability.Policy{Version: next.Version, Grants: next.Compiled.Grants}); err != nil {
		if _, back := r.reload(context.WithoutCancel(ctx), r.Began()); back != nil { // half of a policy is none
			r.cell.Kill(fmt.Sprintf("its policy could neither be changed (%v) nor be left as it was (%v)", err, back))
		}
		return cell.Reloaded{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inForce = next
	return reloaded, nil
}

func (r *resident) reload(ctx context.Context, to live.Revision) (cell.Reloaded, error) {
	revision, err := live.Of(r.cell.Spec(), to.Compiled)
	if err != nil {
		return cell.Reloaded{}, err
	}
	return r.cell.Reload(ctx, revision)
}

// Began implements live.Begun: it is what is in force.
func (r *resident) Began() live.Revision {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.inForce
}

// Backend implements live.Bounded.
func (r *resident) Backend() cell.Backend { return r.cell.Spec().Backend }

// end gives back what the cell had, after its end.
func (r *resident) end() {
	if r.following != nil {
		r.following.Close()
	}
	r.session.Close()
}
