package live

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/policystore/document"
)

// Source is what a Reloader needs of a store. *policystore.Store is one.
type Source interface {
	Get(ctx context.Context, name string, number uint64, c policystore.Consistency) (policystore.Version, error)
	List(ctx context.Context, r policystore.ListRequest, c policystore.Consistency) (policystore.Listing, error)
	Watch(ctx context.Context, prefix string, from uint64) (*policystore.Watch, error)
}

var _ Source = (*policystore.Store)(nil)

// Options of a [Reloader]. The zero value of each field is its default.
type Options struct {
	// Keys are the plug-ins' keys that documents may have; nil: none.
	Keys *document.Keys
	// Parallel is how many targets are at work at one time, a fourth of them cells of one tenant, or of
	// targets that are nobody's under one policy; 0 is 256.
	Parallel int
	// Resolver finds the addresses of host names; nil is net.DefaultResolver.
	Resolver Resolver
	// ResolveEvery is how often names are looked up, and what failed is tried again; 0 is 30 s.
	ResolveEvery time.Duration
	// ResolveKeep is how long addresses are good for when nobody answers; 0 is 5 min.
	ResolveKeep time.Duration
	// ResolveTimeout bounds a look-up, and how long Follow waits for all names; 0 is 2 s.
	ResolveTimeout time.Duration
	// Reported is called when a target has been served, and when it keeps what it has because
	// nothing can be made of a version for it. It must not block. Nil: nobody is told.
	Reported func(Report)
	// Logger takes what goes wrong; nil discards it.
	Logger *slog.Logger
	// Now is the clock of reports and of names; nil is time.Now.
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	if o.Parallel <= 0 {
		o.Parallel = 256
	}
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{{&o.ResolveEvery, 30 * time.Second}, {&o.ResolveKeep, 5 * time.Minute}, {&o.ResolveTimeout, 2 * time.Second}} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Reloader brings the versions of policies to targets.
type Reloader struct {
	source  Source
	options Options
	names   *names
	places  *shares // of targets at work
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	subjects map[string]*subject
	all      map[*Followed]struct{} // of all subjects, whose own are behind a mutex that is held for long
}

// ErrClosed: the reloader is closed.
var ErrClosed = errors.New("live: the reloader is closed")

// New makes a Reloader, which watches the source until it is closed, or the source is.
func New(source Source, o Options) *Reloader {
	o = o.withDefaults()
	r := &Reloader{source: source, options: o, places: newShares(o.Parallel, max(1, o.Parallel/4)), subjects: map[string]*subject{}, all: map[*Followed]struct{}{}}
	r.names = newNames(o, r.moved)
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.running.Go(r.watch)
	r.running.Go(r.resolve)
	return r
}

// Close ends all following and waits until no target is at work.
func (r *Reloader) Close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel()
	r.running.Wait()
}

// Follow has the target get every version of the policy, for one sandbox; "" is the only one
// there is. It returns when the newest is in force, and fails where that cannot be: as
// policystore does where there is no such policy, or as the target did. The target is followed
// until Close, whatever becomes of ctx.
func (r *Reloader) Follow(ctx context.Context, name, sandbox string, t Target) (*Followed, error) {
	s, err := r.join(name)
	if err != nil {
		return nil, err
	}
	defer r.running.Done()
	f := &Followed{reloader: r, subject: s, sandbox: sandbox, target: t, owner: owner(name), first: make(chan error, 1), report: Report{Policy: name, Sandbox: sandbox}}
	if n, ok := t.(Named); ok {
		f.report.Tenant, f.report.Cell = n.Subject()
	}
	if f.report.Tenant != "" { // whoever else's cells are under the policy
		f.owner = ofTenant(f.report.Tenant)
	}
	if b, ok := t.(Begun); ok {
		f.inForce = b.Began()
		f.report.Version, f.report.At = f.inForce.Version, r.options.Now()
	}
	f.ctx, f.cancel = context.WithCancel(r.ctx)
	f.leave = sync.OnceFunc(func() { r.forget(f) })
	r.remember(f)
	if err := r.begin(ctx, f); err != nil {
		f.Close()
		return nil, fmt.Errorf("live: follow policy %s: %w", name, err)
	}
	return f, nil
}

// join makes sure that a policy is watched: from here on, nothing is missed. The caller is one
// of those whom Close waits for.
func (r *Reloader) join(name string) (*subject, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, ErrClosed
	}
	r.running.Add(1)
	s := r.subjects[name]
	if s == nil {
		s = &subject{name: name, meanings: map[string]meaning{}, followers: map[*Followed]struct{}{}}
		r.subjects[name] = s
	}
	s.users++
	return s, nil
}

// begin brings the newest version, and waits for it.
func (r *Reloader) begin(ctx context.Context, f *Followed) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.ctx, cancel)()
	s := f.subject
	v, err := r.source.Get(ctx, s.name, 0, policystore.Linearizable)
	if err == nil {
		r.prepare(ctx, f, v)
		select {
		case err = <-f.first:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if r.ctx.Err() != nil {
		return ErrClosed
	}
	return err
}

// prepare looks up the names that were never found, for a while, and offers the version.
func (r *Reloader) prepare(ctx context.Context, f *Followed, v policystore.Version) {
	s := f.subject
	s.mu.Lock()
	newer := s.take(v)
	m := r.mean(s, f.sandbox)
	r.want(s)
	s.mu.Unlock()
	if _, missing := r.names.known(m.names); len(missing) > 0 {
		limited, cancel := context.WithTimeout(ctx, r.options.ResolveTimeout)
		r.names.lookUp(limited, owner(s.name), missing, true)
		cancel()
		r.lookUp(s, look{missing: true})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.followers[f] = struct{}{}
	if r.outdate(s) || newer {
		r.publish(s)
		return
	}
	r.offer(s, f)
	r.want(s)
}

func (r *Reloader) remember(f *Followed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all[f] = struct{}{}
}

// Behind is how many targets keep what they have because they refused the newest version of their
// policy, or it could not be put in force.
func (r *Reloader) Behind() (n int) {
	r.mu.Lock()
	all := slices.Collect(maps.Keys(r.all))
	r.mu.Unlock()
	for _, f := range all {
		if f.behind() {
			n++
		}
	}
	return n
}

// forget drops a follower, and what nobody follows any more.
func (r *Reloader) forget(f *Followed) {
	s := f.subject
	s.mu.Lock()
	delete(s.followers, f)
	followed := map[string]bool{}
	for other := range s.followers {
		followed[other.sandbox] = true
	}
	if !followed[f.sandbox] {
		delete(s.meanings, f.sandbox)
	}
	r.want(s)
	s.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.all, f)
	if s.users--; s.users == 0 {
		delete(r.subjects, s.name)
	}
}

// watchAgain is how long after a failure the source is asked again.
const watchAgain = 100 * time.Millisecond

// watch follows the source until the reloader or the source is closed.
func (r *Reloader) watch() {
	for r.ctx.Err() == nil {
		err := r.watchOnce()
		if errors.Is(err, policystore.ErrClosed) || r.ctx.Err() != nil {
			return
		}
		r.options.Logger.Warn("watching policies began anew", "error", err)
		again := time.NewTimer(watchAgain)
		select {
		case <-again.C:
		case <-r.ctx.Done():
			again.Stop()
		}
	}
}

// watchOnce looks at all that is followed and then takes one change after the other.
func (r *Reloader) watchOnce() error {
	listing, err := r.source.List(r.ctx, policystore.ListRequest{Limit: 1}, policystore.Stale)
	if err != nil {
		return err
	}
	w, err := r.source.Watch(r.ctx, "", listing.Index)
	if err != nil {
		return err
	}
	r.mu.Lock()
	followed := slices.Collect(maps.Keys(r.subjects))
	r.mu.Unlock()
	for _, name := range followed {
		v, err := r.source.Get(r.ctx, name, 0, policystore.Stale)
		if errors.Is(err, policystore.ErrNotFound) {
			v, err = r.deletion(name)
		}
		if err != nil {
			return err
		}
		r.changed(v)
	}
	for {
		e, err := w.Next(r.ctx)
		if err != nil {
			return err
		}
		r.changed(e.Version)
	}
}

// deletion is the version that removed a policy; the zero Version where there is none.
func (r *Reloader) deletion(name string) (policystore.Version, error) {
	l, err := r.source.List(r.ctx, policystore.ListRequest{Prefix: name, Limit: 1, Deleted: true}, policystore.Stale)
	if err != nil || len(l.Versions) == 0 || l.Versions[0].Name != name || !l.Versions[0].Deleted {
		return policystore.Version{Name: name}, err // if it is back, the watch will tell
	}
	return l.Versions[0], nil
}

// changed brings a version to who follows its policy.
func (r *Reloader) changed(v policystore.Version) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.subjects[v.Name]; s != nil && (s.todo.version == nil || s.todo.version.Number < v.Number) {
		s.todo.version = &v
		r.begun(s)
	}
}

// moved has the policies with a name compiled again.
func (r *Reloader) moved(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.subjects {
		if s.wants[name] {
			s.todo.moved = true
			r.begun(s)
		}
	}
}

// begun sees to it, under mu, that somebody does what there is to do for a subject.
func (r *Reloader) begun(s *subject) {
	if !s.atWork && !r.closed {
		s.atWork = true
		r.running.Go(func() { r.work(s) })
	}
}

// lookUp has names of a subject looked up.
func (r *Reloader) lookUp(s *subject, which look) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(s.wants) == 0 || r.closed {
		return
	}
	s.look = look{s.look.missing || which.missing, s.look.all || which.all}
	if !s.looks {
		s.looks = true
		r.running.Go(func() { r.lookUps(s) })
	}
}

// resolve has everybody's names looked up now and then, each policy's by a goroutine of its
// own, and what failed tried again.
func (r *Reloader) resolve() {
	tick := time.NewTicker(r.options.ResolveEvery)
	defer tick.Stop()
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-tick.C:
		}
		for _, s := range r.round() {
			r.lookUp(s, look{all: true})
		}
	}
}

func (r *Reloader) round() []*subject {
	r.mu.Lock()
	defer r.mu.Unlock()
	wanted := map[string]bool{}
	for _, s := range r.subjects {
		maps.Copy(wanted, s.wants)
		s.todo.retry = true
		r.begun(s)
	}
	r.names.next(wanted)
	return slices.Collect(maps.Values(r.subjects))
}
