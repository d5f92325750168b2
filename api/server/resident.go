package server

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/effect"
	"github.com/pyisolate/pyisolate/policystore/document"
	"github.com/pyisolate/pyisolate/policystore/live"
	"github.com/pyisolate/pyisolate/telemetry/trace"
)

// resident is one incarnation of a cell and what belongs to it. It is the cell's sink, and
// where new versions of its policy arrive.
type resident struct {
	entry   *entry
	actors  *actors.System
	session *capability.Session

	cell      cell.Cell      // set before anybody else has the resident
	following *live.Followed // nil: the version is fixed
	owned     atomic.Uint64  // its epoch, once its actor has it; until then nobody knows it but who starts it

	saving document.Checkpoint // when it is checkpointed

	mu      sync.Mutex
	inForce live.Revision
	given   cell.Limits // by it, narrowed
}

var (
	_ cell.Sink    = (*resident)(nil)
	_ live.Target  = (*resident)(nil)
	_ live.Begun   = (*resident)(nil)
	_ live.Bounded = (*resident)(nil)
	_ live.Named   = (*resident)(nil)
)

// Log implements cell.Sink.
func (r *resident) Log(l cell.LogRecord) { r.entry.said.log(l) }

// Metric implements cell.Sink.
func (r *resident) Metric(m cell.Sample) { r.entry.said.metric(m) }

// Denied implements cell.Sink.
func (r *resident) Denied(d cell.Denial) {
	if d.At.IsZero() {
		d.At = time.Now()
	}
	r.entry.lastDenial.Store(&reachedDenial{d, time.Now()})
	r.entry.said.denied(d)
}

// Request implements cell.Sink.
func (r *resident) Request(ctx context.Context, q cell.Request) (cell.Value, error) {
	return effect.Serve(ctx, r.session, q)
}

// Apply implements live.Target: first what the guest may do by itself, then what it may ask
// for. When the second fails the first is as it was.
func (r *resident) Apply(ctx context.Context, next live.Revision) (cell.Reloaded, error) {
	reloaded, limits, err := r.reload(ctx, next)
	if err != nil {
		return reloaded, err
	}
	if err := r.session.Update(capability.Policy{Version: next.Version, Grants: next.Compiled.Grants}); err != nil {
		if _, _, back := r.reload(context.WithoutCancel(ctx), r.Began()); back != nil { // half of a policy is none
			r.kill(ctx, fmt.Sprintf("its policy could neither be changed (%v) nor be left as it was (%v)", err, back))
		}
		return cell.Reloaded{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inForce, r.given = next, limits
	return reloaded, nil
}

func (r *resident) reload(ctx context.Context, to live.Revision) (reloaded cell.Reloaded, limits cell.Limits, err error) {
	revision, err := live.Of(r.cell.Spec(), to.Compiled)
	if err != nil {
		return reloaded, limits, err
	}
	_ = r.entry.terms.narrow(&revision.Imports, revision.Limits, to.Compiled, false) // which never fails
	epoch := r.owned.Load()
	if epoch == 0 {
		reloaded, err = r.cell.Reload(ctx, revision)
		return reloaded, *revision.Limits, err
	}
	reply := r.ask(ctx, epoch, actors.Reload{Revision: revision})
	return reply.Reloaded, *revision.Limits, reply.Err
}

// ask has the cell's actor do something to this incarnation, and to no other.
func (r *resident) ask(ctx context.Context, epoch uint64, b actors.Body) actors.Reply {
	return r.actors.Ask(ctx, actors.Envelope{To: r.entry.key.address(), Life: r.entry.id, Epoch: epoch, Principal: "node", Trace: trace.Parent(ctx), Body: b})
}

// kill ends the incarnation, also when its actor cannot.
func (r *resident) kill(ctx context.Context, reason string) {
	epoch := r.owned.Load()
	if epoch == 0 || r.ask(context.WithoutCancel(ctx), epoch, actors.Kill{Reason: reason}).Err != nil {
		r.cell.Kill(reason)
	}
}

// Began implements live.Begun: it is what is in force.
func (r *resident) Began() live.Revision {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.inForce
}

// limits are those in force.
func (r *resident) limits() cell.Limits {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.given.WithDefaults()
}

// Backend implements live.Bounded.
func (r *resident) Backend() cell.Backend { return r.cell.Spec().Backend }

// Subject implements live.Named.
func (r *resident) Subject() (tenant, cell string) { return r.entry.key.tenant, r.entry.key.name }

// end gives back what the cell had, after its end.
func (r *resident) end() {
	if r.following != nil {
		r.following.Close()
	}
	r.session.Close()
}
