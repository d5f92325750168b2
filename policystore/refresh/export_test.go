package refresh

import (
	"context"
	"time"
)

// For tests of this package.
var (
	DecodeSources = decodeSources
	EncodeSources = encodeSources
)

// Control judges an address that is to be connected to.
func Control(inner bool, address string) error { return limits{inner}.control("tcp", address, nil) }

// Record is what the file has of a source.
type Record = record

// TryNow is what the source's goroutine does when it is time.
func (r *Refresher) TryNow(ctx context.Context, name string) (changed bool, err error) {
	r.mu.Lock()
	f := r.sources[name]
	r.mu.Unlock()
	_, changed, err = r.refresh(ctx, f, false)
	f.tried(err, time.Now())
	return changed, err
}

// FollowOften follows a source more often than Pull permits.
func (r *Refresher) FollowOften(s Source) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.follow(newFollower(s))
}

// After is the wait after a success and so many failures in a row.
func After(s Source, failures int, err error) time.Duration {
	f := newFollower(s)
	wait := f.tried(nil, time.Now())
	for range failures {
		wait = f.tried(err, time.Now())
	}
	return wait
}
