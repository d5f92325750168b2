package refresh

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pyisolate/pyisolate/policystore"
)

// Store is the part of [policystore.Store] that documents go into.
type Store interface {
	Get(ctx context.Context, name string, number uint64, c policystore.Consistency) (policystore.Version, error)
	History(ctx context.Context, name string, before uint64, limit int) ([]policystore.Version, error)
	Put(ctx context.Context, p policystore.Principal, r policystore.PutRequest) (policystore.Version, error)
}

var _ Store = (*policystore.Store)(nil)

const (
	maxSources   = 256 // of a node: each has a goroutine
	maxOfTenant  = 128 // that principals of one tenant have asked for
	historyLimit = 100 // versions that are looked through for one from the source
)

// Refresher keeps policies as their sources have them. Its methods may be called from any
// goroutine.
type Refresher struct {
	store   Store
	fetcher *Fetcher
	file    sourceFile
	logger  *slog.Logger

	ctx     context.Context // of everything it does; Close cancels it
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	sources map[string]*follower
}

// Config of a [Refresher].
type Config struct {
	Store Store
	// File keeps the sources; it is made when there is one. "" keeps none.
	File string
	// Logger of what became of tries; nil: nobody hears of them.
	Logger *slog.Logger
	// Fetch bounds fetching.
	Fetch Options
}

// New reads the sources of c.File and begins to follow them.
func New(c Config) (*Refresher, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &Refresher{store: c.Store, fetcher: NewFetcher(c.Fetch), file: sourceFile(c.File), logger: c.Logger,
		ctx: ctx, cancel: cancel, sources: map[string]*follower{}}
	sources, err := r.file.read()
	if err != nil {
		cancel()
		return nil, err
	}
	for _, s := range sources {
		r.follow(restored(s))
	}
	return r, nil
}

// Close ends all tries and waits for them.
func (r *Refresher) Close() {
	r.mu.Lock()
	r.closed = true
	r.cancel()
	r.mu.Unlock()
	r.running.Wait()
	r.fetcher.Close()
}

// Pull fetches the document of s now and stores it, if it is not the policy's newest version
// already; changed tells. With s.Every it does so again and again from then on, also when the
// node starts anew, instead of any source of the name before; what is wrong with the source
// or its document is found out before.
func (r *Refresher) Pull(ctx context.Context, s Source) (v policystore.Version, changed bool, err error) {
	if err := s.Validate(); err != nil {
		return v, false, err
	}
	f := newFollower(s)
	v, changed, err = r.refresh(ctx, f, true)
	if err != nil || s.Every == 0 {
		return v, changed, err
	}
	f.tried(nil, time.Now())
	return v, changed, r.add(f)
}

// add makes f the source of its name.
func (r *Refresher) add(f *follower) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.sources[f.source.Name]
	switch {
	case r.closed:
		return ErrClosed
	case old == nil && len(r.sources) >= maxSources:
		return fmt.Errorf("%w: there are %d sources, which is the most: remove one", ErrSource, maxSources)
	case old == nil && r.ofTenant(f.source.Principal.Tenant) >= maxOfTenant:
		return fmt.Errorf("%w: tenant %s has %d sources, which is the most: remove one", ErrSource, f.source.Principal.Tenant, maxOfTenant)
	}
	if err := r.write(func(all map[string]record) { all[f.source.Name] = f.record() }); err != nil {
		return err
	}
	f.keep()
	if old != nil {
		old.cancel()
	}
	r.follow(f)
	return nil
}

// ofTenant is how many sources a tenant has; those of all tenants are not counted. The caller
// holds r.mu.
func (r *Refresher) ofTenant(tenant string) (n int) {
	for _, f := range r.sources {
		if tenant != "" && f.source.Principal.Tenant == tenant {
			n++
		}
	}
	return n
}

// Remove ends the source of a policy. Its error is ErrNotFound when there is none.
func (r *Refresher) Remove(name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.sources[name]
	if f == nil {
		return fmt.Errorf("%w: %s", ErrNotFound, name)
	}
	if err := r.write(func(all map[string]record) { delete(all, name) }); err != nil {
		return err
	}
	f.cancel()
	delete(r.sources, name)
	return nil
}

// Sources says how it goes, by name.
func (r *Refresher) Sources() []Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Status, 0, len(r.sources))
	for _, f := range r.sources {
		all = append(all, f.status())
	}
	slices.SortFunc(all, func(a, b Status) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// write keeps the sources as change makes them. The caller holds r.mu.
func (r *Refresher) write(change func(map[string]record)) error {
	all := make(map[string]record, len(r.sources)+1)
	for name, f := range r.sources {
		all[name] = f.record()
	}
	change(all)
	return r.file.write(all)
}

// follow starts the goroutine of f. The caller holds r.mu, or nobody else has r yet.
func (r *Refresher) follow(f *follower) {
	var ctx context.Context
	ctx, f.cancel = context.WithCancel(r.ctx)
	r.sources[f.source.Name] = f
	r.running.Go(func() { r.run(ctx, f) })
}

// refresh fetches once and stores what is new. What f has seen from the source before is not
// new, even if somebody stored something else since; with asked only the newest version
// counts.
func (r *Refresher) refresh(ctx context.Context, f *follower, asked bool) (v policystore.Version, changed bool, err error) {
	newest, err := r.store.Get(ctx, f.source.Name, 0, policystore.Linearizable)
	if err != nil && !errors.Is(err, policystore.ErrNotFound) {
		return v, false, err
	}
	have := f.validator()
	if asked {
		have = Validator{}
	}
	got, err := r.fetcher.Fetch(ctx, f.source, have)
	if err != nil {
		return v, false, err
	}
	if !got.NotModified {
		if newest, changed, err = r.take(ctx, f, got, newest, asked); err != nil {
			return v, false, err
		}
	}
	r.remember(f)
	return newest, changed, nil
}

// take stores what was got, if it is new, and notes it.
func (r *Refresher) take(ctx context.Context, f *follower, got Fetched, newest policystore.Version, asked bool) (policystore.Version, bool, error) {
	sum := sha256.Sum256(got.Text)
	isNew, err := sum != newest.Hash, error(nil)
	if !asked {
		isNew, err = r.isNew(ctx, f, sum)
	}
	if err == nil && isNew {
		newest, err = r.put(ctx, f.source, got.Text, newest.Number)
	}
	if err == nil {
		f.saw(got.Validator, sum)
	}
	return newest, isNew && err == nil, err
}

// isNew tells whether the source gives something else than it gave before. When that is not
// known it is not new, for what is stored may be what somebody put to be rid of it.
func (r *Refresher) isNew(ctx context.Context, f *follower, sum [32]byte) (bool, error) {
	before, known := f.seen()
	if known && sum == before {
		return false, nil
	}
	versions, err := r.store.History(ctx, f.source.Name, 0, historyLimit)
	if err != nil && !errors.Is(err, policystore.ErrNotFound) {
		return false, err
	}
	if !known && len(versions) > 0 {
		r.logger.Warn("it is not known what the policy's source gave before; the policy stays until it gives something else",
			slog.String("policy", f.source.Name), slog.String("url", f.source.URL))
		return false, nil
	}
	// The node may have ended after it stored a version and before it noted that.
	i := slices.IndexFunc(versions, func(v policystore.Version) bool { return v.Source == f.source.URL && !v.Deleted })
	return i < 0 || versions[i].Hash != sum, nil
}

// remember writes down what f has seen, unless it is not followed, or not any more. When
// that fails it is tried again with the next try.
func (r *Refresher) remember(f *follower) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sources[f.source.Name] != f || f.isKept() {
		return
	}
	if err := r.write(func(map[string]record) {}); err != nil {
		r.logger.Warn("what the policy's source gave is not kept", slog.String("policy", f.source.Name), slog.Any("error", err))
		return
	}
	f.keep()
}

// put stores text if the newest version is still the one that was looked at.
func (r *Refresher) put(ctx context.Context, s Source, text []byte, newest uint64) (policystore.Version, error) {
	return r.store.Put(ctx, s.Principal, policystore.PutRequest{
		Name: s.Name, Text: text, Expect: &newest, Source: s.URL, Comment: "pulled"})
}
