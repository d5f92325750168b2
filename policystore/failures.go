package policystore

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// failureBurst is how many failures a source may have at once,
	failureBurst = 10
	// failureEvery is how long it takes until it may have one more.
	failureEvery = 5 * time.Second
	// maxSources are told apart. When there are more, the one that failed longest ago
	// is forgotten.
	maxSources = 4096
)

// failures limits failed authentications by source.
type failures struct {
	now func() time.Time

	mu      sync.Mutex
	sources map[string]*source
}

type source struct {
	limiter *rate.Limiter
	last    time.Time // failure
}

func newFailures(now func() time.Time) *failures {
	return &failures{now: now, sources: map[string]*source{}}
}

// add counts a failure of a source, or says how long it is until it may have one more.
func (f *failures) add(name string) (wait time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.sources[name]
	if s == nil {
		if len(f.sources) >= maxSources {
			f.forgetOldest()
		}
		s = &source{limiter: rate.NewLimiter(rate.Every(failureEvery), failureBurst)}
		f.sources[name] = s
	}
	s.last = f.now()
	if s.limiter.AllowN(s.last, 1) {
		return 0
	}
	missing := 1 - s.limiter.TokensAt(s.last)
	return time.Duration(missing * float64(failureEvery))
}

func (f *failures) forgetOldest() {
	var oldest string
	var at time.Time
	for name, s := range f.sources {
		if at.IsZero() || s.last.Before(at) {
			oldest, at = name, s.last
		}
	}
	delete(f.sources, oldest)
}
