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
	maxSources   = 256  // of a node: each has a goroutine
	historyLimit = 1000 // versions that are looked through for one from the source
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
		r.follow(newFollower(s))
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
	}
	if err := r.write(func(all map[string]Source) { all[f.source.Name] = f.source }); err != nil {
		return err
	}
	if old != nil {
		old.cancel()
	}
	r.follow(f)
	return nil
}

// Remove ends the source of a policy. Its error is ErrNotFound when there is none.
func (r *Refresher) Remove(name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.sources[name]
	if f == nil {
		return fmt.Errorf("%w: %s", ErrNotFound, name)
	}
	if err := r.write(func(all map[string]Source) { delete(all, name) }); err != nil {
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
func (r *Refresher) write(change func(map[string]Source)) error {
	all := make(map[string]Source, len(r.sources)+1)
	for name, f := range r.sources {
		all[name] = f.source
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
	if got.NotModified {
		return newest, false, nil
	}
	sum, last := sha256.Sum256(got.Text), newest.Hash
	if !asked {
		if last, err = r.last(ctx, f); err != nil {
			return v, false, err
		}
	}
	if sum != last {
		newest, err = r.put(ctx, f.source, got.Text, newest.Number)
		changed = err == nil
	}
	if err == nil {
		f.saw(got.Validator, sum)
	}
	return newest, changed, err
}

// last is the hash of what the source gave before: f's own knowledge, or after a start that
// of the newest version from there.
func (r *Refresher) last(ctx context.Context, f *follower) ([32]byte, error) {
	if hash, ok := f.seen(); ok {
		return hash, nil
	}
	versions, err := r.store.History(ctx, f.source.Name, 0, historyLimit)
	if err != nil && !errors.Is(err, policystore.ErrNotFound) {
		return [32]byte{}, err
	}
	for _, v := range versions {
		if v.Source == f.source.URL && !v.Deleted {
			return v.Hash, nil
		}
	}
	return [32]byte{}, nil
}

// put stores text if the newest version is still the one that was looked at.
func (r *Refresher) put(ctx context.Context, s Source, text []byte, newest uint64) (policystore.Version, error) {
	return r.store.Put(ctx, s.Principal, policystore.PutRequest{
		Name: s.Name, Text: text, Expect: &newest, Source: s.URL, Comment: "pulled"})
}
