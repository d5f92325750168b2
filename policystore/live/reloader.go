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
	// Parallel is how many targets are at work at one time; 0 is 64.
	Parallel int
	// Resolver finds the addresses of host names; nil is net.DefaultResolver.
	Resolver Resolver
	// ResolveEvery is how often names are looked up; 0 is 30 s.
	ResolveEvery time.Duration
	// ResolveKeep is how long addresses are good for when nobody answers; 0 is 5 min.
	ResolveKeep time.Duration
	// ResolveTimeout bounds a look-up, and so how long Follow waits for names; 0 is 2 s.
	ResolveTimeout time.Duration
	// Reported is called, by the goroutine that served it, when a target has been served. Nil:
	// nobody is told.
	Reported func(Report)
	// Logger takes what goes wrong; nil discards it.
	Logger *slog.Logger
	// Now is the clock of reports and of names; nil is time.Now.
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	if o.Parallel <= 0 {
		o.Parallel = 64
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
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
	places  chan struct{} // of targets at work
	ask     chan struct{} // one token: there are names that were never looked up

	mu       sync.Mutex
	closed   bool
	subjects map[string]*subject
}

// ErrClosed: the reloader is closed.
var ErrClosed = errors.New("live: the reloader is closed")

// New makes a Reloader, which watches the source until it is closed, or the source is.
func New(source Source, o Options) *Reloader {
	o = o.withDefaults()
	r := &Reloader{source: source, options: o, places: make(chan struct{}, o.Parallel), ask: make(chan struct{}, 1), subjects: map[string]*subject{},
		names: &names{resolver: o.Resolver, logger: o.Logger, timeout: o.ResolveTimeout, keep: o.ResolveKeep, now: o.Now, of: map[string]pinned{}}}
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
	f := &Followed{reloader: r, sandbox: sandbox, target: t, first: make(chan error, 1), report: Report{Policy: name, Sandbox: sandbox}}
	if b, ok := t.(Begun); ok {
		f.inForce = b.Began()
		f.report.Version, f.report.At = f.inForce.Version, r.options.Now()
	}
	f.ctx, f.cancel = context.WithCancel(r.ctx)
	if err := r.add(name, f); err != nil { // from here on, nothing is missed
		return nil, err
	}
	if err := r.begin(ctx, f); err != nil {
		f.Close()
		return nil, fmt.Errorf("live: follow policy %s: %w", name, err)
	}
	return f, nil
}

func (r *Reloader) add(name string, f *Followed) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		f.cancel()
		return ErrClosed
	}
	s := r.subjects[name]
	if s == nil {
		s = &subject{name: name, meanings: map[string]meaning{}, followers: map[*Followed]struct{}{}}
		r.subjects[name] = s
	}
	f.subject = s
	s.followers[f] = struct{}{}
	return nil
}

// begin brings the newest version, and waits for it.
func (r *Reloader) begin(ctx context.Context, f *Followed) error {
	v, err := r.source.Get(ctx, f.subject.name, 0, policystore.Linearizable)
	if err != nil {
		return err
	}
	r.mu.Lock()
	f.subject.take(v)
	missing := r.mean(f.subject, f.sandbox).missing
	r.mu.Unlock()
	r.names.lookUp(ctx, missing)
	r.mu.Lock()
	f.subject.moved(missing)
	r.publish(f.subject) // to the others it is what they have
	r.mu.Unlock()
	select {
	case err := <-f.first:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-f.ctx.Done():
		return ErrClosed
	}
}

// forget drops a follower, and what nobody follows any more.
func (r *Reloader) forget(f *Followed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(f.subject.followers, f)
	if s := f.subject; len(s.followers) == 0 && r.subjects[s.name] == s {
		delete(r.subjects, s.name)
	}
}

// enter takes a place to work in, and reports false when ctx has ended.
func (r *Reloader) enter(ctx context.Context) bool {
	select {
	case r.places <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (r *Reloader) leave() { <-r.places }

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
			continue // what deleted it is kept, or its cells would have known
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

// changed brings a version to who follows its policy.
func (r *Reloader) changed(v policystore.Version) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.subjects[v.Name]
	if s == nil || !s.take(v) {
		return
	}
	r.publish(s)
	for _, m := range s.meanings {
		if len(m.missing) > 0 {
			select {
			case r.ask <- struct{}{}:
			default:
			}
		}
	}
}

// resolve looks names up: all of them now and then, and at once those that are new.
func (r *Reloader) resolve() {
	tick := time.NewTicker(r.options.ResolveEvery)
	defer tick.Stop()
	for {
		fresh := false
		select {
		case <-r.ctx.Done():
			return
		case <-r.ask:
			fresh = true
		case <-tick.C:
		}
		list := r.hosts()
		if fresh {
			_, list = r.names.known(list)
		}
		r.moved(r.names.lookUp(r.ctx, list))
	}
}

// hosts are the names of all followed policies, and forgets the others.
func (r *Reloader) hosts() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	wanted := map[string]bool{}
	for _, s := range r.subjects {
		for _, name := range s.hosts() {
			wanted[name] = true
		}
	}
	r.names.forget(wanted)
	return slices.Sorted(maps.Keys(wanted))
}

// moved brings the newest versions again where the addresses of names have changed.
func (r *Reloader) moved(changed []string) {
	if len(changed) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.subjects {
		if s.moved(changed) && !s.deleted {
			r.publish(s)
		}
	}
}
