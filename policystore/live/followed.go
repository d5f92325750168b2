package live

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/policystore/document"
)

// Followed is a target that gets the versions of a policy.
type Followed struct {
	reloader *Reloader
	subject  *subject
	sandbox  string
	target   Target
	ctx      context.Context
	cancel   context.CancelFunc
	first    chan error // how the first that it was offered ended; one, buffered

	mu      sync.Mutex
	inForce Revision
	next    *offered // the newest that is not at work
	broken  string   // why there is nothing newer than that
	working bool
	report  Report
}

// offered is a revision that a target is to have.
type offered struct {
	revision Revision
	missing  []string
}

// Close ends the following, and does not wait for a revision that is being put in force.
func (f *Followed) Close() {
	f.cancel()
	f.reloader.forget(f)
}

// Report is how the cell stands to its policy now.
func (f *Followed) Report() Report {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.report
	r.Layers, r.NewCell, r.Unresolved = slices.Clone(r.Layers), slices.Clone(r.NewCell), slices.Clone(r.Unresolved)
	return r
}

// offer has the target get a revision, unless that is in force.
func (f *Followed) offer(newest uint64, r Revision, m meaning) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.report.Newest, f.report.Deleted, f.broken = newest, false, ""
	if m.err != nil {
		f.broken = m.err.Error()
		f.report.Failed = f.broken
		f.tell(m.err)
		return
	}
	r.Compiled = m.compiled
	if !f.working && r.same(f.inForce) {
		f.report.Failed, f.report.Unresolved = "", m.missing
		f.tell(nil)
		return
	}
	f.next = &offered{r, m.missing}
	if !f.working {
		f.working = true
		f.reloader.running.Go(f.work)
	}
}

// orphan says that the policy is gone.
func (f *Followed) orphan(newest uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.report.Newest, f.report.Deleted = newest, true
	f.tell(policystore.ErrNotFound)
}

// tell lets Follow know, under mu.
func (f *Followed) tell(err error) {
	select {
	case f.first <- err:
	default:
	}
}

// work puts the newest revision in force until there is none.
func (f *Followed) work() {
	for {
		if !f.reloader.enter(f.ctx) {
			return
		}
		o := f.take()
		if o == nil {
			f.reloader.leave()
			return
		}
		reloaded, err := f.apply(o.revision)
		f.reloader.leave()
		f.note(o, reloaded, err)
		if errors.Is(err, cell.CellGone) {
			f.Close()
		}
	}
}

// take returns what is next, and nil where that is nothing.
func (f *Followed) take() *offered {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := f.next
	f.next = nil
	if o != nil && o.revision.same(f.inForce) {
		f.report.Failed, f.report.Unresolved = f.broken, o.missing
		o = nil
	}
	f.working = o != nil
	return o
}

// A target that is busy is asked again after retryFirst, doubled each time, retries times.
const (
	retries    = 5
	retryFirst = 50 * time.Millisecond
)

// apply tries as long as the target is busy, nothing newer has come and it is followed.
func (f *Followed) apply(r Revision) (reloaded cell.Reloaded, err error) {
	wait := retryFirst
	for range retries {
		reloaded, err = f.target.Apply(f.ctx, r)
		if kind := cell.KindOf(err); kind != cell.Busy && kind != cell.Timeout || f.ctx.Err() != nil {
			return reloaded, err
		}
		again := time.NewTimer(wait)
		select {
		case <-again.C:
		case <-f.ctx.Done():
			again.Stop()
			return reloaded, err
		}
		if wait *= 2; f.superseded() {
			return reloaded, err
		}
	}
	return reloaded, err
}

func (f *Followed) superseded() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.next != nil
}

// note records how a revision ended.
func (f *Followed) note(o *offered, reloaded cell.Reloaded, err error) {
	f.mu.Lock()
	if err != nil {
		f.report.Failed = err.Error()
	} else {
		f.inForce = o.revision
		f.report.Version, f.report.At, f.report.Failed = o.revision.Version, f.reloader.options.Now(), f.broken
		f.report.Layers, f.report.NewCell, f.report.Unresolved = reloaded.Layers, reloaded.NewCell(), o.missing
		f.report.Wants = f.wants(o.revision.Compiled)
	}
	f.tell(err)
	report := f.report
	f.mu.Unlock()
	if reported := f.reloader.options.Reported; reported != nil {
		reported(report)
	}
}

// wants is the backend that a policy wants and the cell lacks.
func (f *Followed) wants(c *document.Compiled) cell.Backend {
	if b, ok := f.target.(Bounded); ok && document.Stronger(c.Backend, b.Backend()) {
		return c.Backend
	}
	return ""
}
