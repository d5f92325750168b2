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
	owner    string // whose places it takes
	ctx      context.Context
	cancel   context.CancelFunc
	leave    func()
	first    chan error // how the first that it was offered ended; one, buffered

	mu      sync.Mutex
	inForce Revision
	next    *offered // the newest that is not at work
	failed  *offered // the newest, where it may work later
	broken  string   // why there is nothing newer than that
	working bool
	report  Report
}

// offered is a revision that a target is to have.
type offered struct {
	revision Revision
	tries    int // for which the target was busy
}

// Close ends the following, and does not wait for a revision that is being put in force.
func (f *Followed) Close() {
	f.cancel()
	f.leave()
}

// Report is how the cell stands to its policy now.
func (f *Followed) Report() Report {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.report
	r.Layers, r.NewCell, r.Unresolved = slices.Clone(r.Layers), slices.Clone(r.NewCell), slices.Clone(r.Unresolved)
	return r
}

// behind reports whether there is a version that the target should have and has not, and nothing
// that brings it is under way. Of a policy that is deleted there is none.
func (f *Followed) behind() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.report.Failed != "" && !f.report.Deleted
}

// offer has the target get a revision, unless that is in force.
func (f *Followed) offer(newest uint64, r Revision, m meaning) {
	f.mu.Lock()
	defer f.mu.Unlock()
	known := f.report.Newest == newest
	f.report.Newest, f.report.Deleted, f.broken = newest, false, ""
	if m.err != nil {
		f.broken = m.err.Error()
		f.refused(f.broken, known)
		f.tell(m.err)
		return
	}
	f.failed = nil
	r.Compiled = m.compiled
	if f.tooWeak(m.compiled) {
		r.Compiled = m.withheld
	}
	if !f.working && r.same(f.inForce) {
		f.report.Failed, f.report.Unresolved = "", r.Compiled.Unresolved
		f.tell(nil)
		return
	}
	f.next = &offered{revision: r}
	f.begin()
}

// refused notes, under mu, why nothing newer can be in force, and has it reported, of a version
// that is known already once.
func (f *Followed) refused(why string, known bool) {
	again := known && f.report.Failed == why
	f.report.Failed, f.report.Took = why, 0
	if reported := f.reloader.options.Reported; reported != nil && !again {
		report := f.report
		f.reloader.running.Go(func() { reported(report) })
	}
}

// begin sees to it, under mu, that somebody serves the target.
func (f *Followed) begin() {
	if !f.working {
		f.working = true
		f.reloader.running.Go(f.work)
	}
}

// retry offers again what failed for a reason that may have passed.
func (f *Followed) retry() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed != nil && !f.working {
		f.next, f.failed = &offered{revision: f.failed.revision}, nil
		f.begin()
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
	for f.reloader.places.enter(f.ctx, f.owner) {
		o := f.take()
		if o == nil {
			f.reloader.places.leave(f.owner)
			return
		}
		began := time.Now()
		reloaded, err := f.target.Apply(f.ctx, o.revision)
		took := time.Since(began)
		f.reloader.places.leave(f.owner)
		if f.again(o, err) {
			continue
		}
		f.note(o, reloaded, err, took)
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
		f.report.Failed, f.report.Unresolved = f.broken, o.revision.Compiled.Unresolved
		f.tell(nil)
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

// again waits, where the target was busy, and then puts what it was asked back, unless
// something newer has come. Meanwhile others have its place.
func (f *Followed) again(o *offered, err error) bool {
	if kind := cell.KindOf(err); kind != cell.Busy && kind != cell.Timeout || o.tries+1 >= retries {
		return false
	}
	after := time.NewTimer(retryFirst << o.tries)
	defer after.Stop()
	select {
	case <-after.C:
	case <-f.ctx.Done():
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.next == nil {
		f.next = &offered{o.revision, o.tries + 1}
	}
	return true
}

// note records how a revision ended.
func (f *Followed) note(o *offered, reloaded cell.Reloaded, err error, took time.Duration) {
	f.mu.Lock()
	f.report.Took = took
	if err != nil {
		f.report.Failed = err.Error()
		if f.next == nil && !final(err) {
			f.failed = o
		}
	} else {
		f.inForce = o.revision
		f.report.Version, f.report.At, f.report.Failed = o.revision.Version, f.reloader.options.Now(), f.broken
		f.report.Layers, f.report.NewCell, f.report.Unresolved = reloaded.Layers, reloaded.NewCell(), o.revision.Compiled.Unresolved
		f.report.Wants = f.wants(o.revision.Compiled)
	}
	f.tell(err)
	report := f.report
	f.mu.Unlock()
	if reported := f.reloader.options.Reported; reported != nil {
		reported(report)
	}
}

// final tells errors that the same revision would end in at any time.
func final(err error) bool {
	switch cell.KindOf(err) {
	case cell.Invalid, cell.PolicyDenied, cell.CellGone:
		return true
	}
	return false
}

// wants is the backend that a policy wants and the cell lacks.
func (f *Followed) wants(c *document.Compiled) cell.Backend {
	if f.tooWeak(c) {
		return c.Backend
	}
	return ""
}

func (f *Followed) tooWeak(c *document.Compiled) bool {
	b, ok := f.target.(Bounded)
	return ok && document.Stronger(c.Backend, b.Backend())
}
