package refresh

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"time"
)

// maxEveryAfterFailures bounds the wait between tries of a source that fails; one whose
// Every is longer keeps it.
const maxEveryAfterFailures = 10 * time.Minute

// Status is a source and how following it goes.
type Status struct {
	Source
	LastOK, LastTry, NextTry time.Time // zero: never yet
	// LastError is of the last try, nil when it went well.
	LastError error
	// Failures since the last try that went well.
	Failures int
}

// follower is one source and what is known of its document.
type follower struct {
	source Source
	cancel context.CancelFunc // of its goroutine

	mu    sync.Mutex
	state Status
	have  Validator
	hash  [32]byte // of the text that the source gave last
	known bool     // hash is set
	kept  bool     // what is known is in the file
}

func newFollower(s Source) *follower {
	return &follower{source: s, cancel: func() {}, state: Status{Source: s}}
}

// restored is a follower that knows what it knew before the node started anew.
func restored(r record) *follower {
	f := newFollower(r.Source)
	f.kept = true
	if r.Seen != nil {
		f.known, f.hash = true, [32]byte(r.Seen.SHA256)
		f.have = Validator{ETag: r.Seen.ETag, LastModified: r.Seen.LastModified}
	}
	return f
}

// record is what restored makes f of.
func (f *follower) record() record {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := record{Source: f.source}
	if f.known {
		r.Seen = &seen{SHA256: bytes.Clone(f.hash[:]), ETag: f.have.ETag, LastModified: f.have.LastModified}
	}
	return r
}

func (f *follower) status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state
}

func (f *follower) validator() Validator {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.have
}

func (f *follower) seen() (hash [32]byte, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hash, f.known
}

func (f *follower) saw(v Validator, hash [32]byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.known || f.have != v || f.hash != hash {
		f.have, f.hash, f.known, f.kept = v, hash, true, false
	}
}

func (f *follower) isKept() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.kept
}

func (f *follower) keep() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kept = true
}

// tried notes how a try at a moment ended and returns the wait until the next. A source that
// fails is tried ever less often.
func (f *follower) tried(err error, at time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &f.state
	s.LastTry, s.LastError = at, err
	wait := f.source.Every
	if err == nil {
		s.LastOK, s.Failures = at, 0
	} else {
		s.Failures++
		wait = max(wait, min(wait<<min(s.Failures-1, 10), maxEveryAfterFailures), askedFor(err))
	}
	wait = spread(wait)
	s.NextTry = at.Add(wait)
	return wait
}

// run tries at once and then as often as the source says, until ctx ends. A source that was
// tried already waits first.
func (r *Refresher) run(ctx context.Context, f *follower) {
	wait := time.Duration(0)
	if next := f.status().NextTry; !next.IsZero() {
		wait = time.Until(next)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		v, changed, err := r.refresh(ctx, f, false)
		if ctx.Err() != nil {
			return
		}
		timer.Reset(f.tried(err, time.Now()))
		log := r.logger.With(slog.String("policy", f.source.Name), slog.String("url", f.source.URL))
		switch {
		case err != nil:
			log.Warn("the policy's source was not pulled; the policy stays as it is", slog.Any("error", err))
		case changed:
			log.Info("the policy was pulled", slog.Uint64("version", v.Number))
		}
	}
}
