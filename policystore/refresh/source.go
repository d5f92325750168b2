package refresh

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"net/url"
	"time"

	"github.com/pyisolate/pyisolate/policystore"
)

// Bounds of [Source.Every].
const (
	MinEvery = 5 * time.Second
	MaxEvery = 24 * time.Hour
)

// Source is where a policy is fetched from, and what proves that it is the right one.
type Source struct {
	// Name of the policy that the document becomes.
	Name string `json:"name"`
	// URL is http or https, without a user name and a fragment. Whoever may read versions
	// and the audit log reads it: it is no place for secrets.
	URL string `json:"url"`
	// OtherHosts lets redirects lead to other hosts.
	OtherHosts bool `json:"other_hosts,omitempty"`
	// SHA256 is of the document's bytes, 32 bytes. Key is that of a detached signature, at
	// URL with ".sig" behind its path: 64 bytes, or in base64. It is of [Signed], so that a
	// document is good for one policy only. One of them is needed for http, where anybody on
	// the way can answer; both may be given.
	SHA256 []byte            `json:"sha256,omitempty"`
	Key    ed25519.PublicKey `json:"ed25519_key,omitempty"`
	// Every is from one try to the next, [MinEvery] to [MaxEvery]; 0 is once.
	Every time.Duration `json:"every_ns"`
	// Principal is who the versions are by. What it may not do when they are stored fails.
	Principal policystore.Principal `json:"principal"`
}

// Validate reports the first field that is not as [Source] says. Its error is ErrSource.
func (s Source) Validate() error {
	if s.Every != 0 && (s.Every < MinEvery || s.Every > MaxEvery) {
		return fmt.Errorf("%w: every %s; it must be between %s and %s", ErrSource, s.Every, MinEvery, MaxEvery)
	}
	return s.validateAddress()
}

func (s Source) validateAddress() error {
	u, err := url.Parse(s.URL)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrSource, innermost(err))
	case len(s.URL) > 2048:
		return fmt.Errorf("%w: the address has %d bytes; 2048 is the most", ErrSource, len(s.URL))
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("%w: %q is not an address: write https://HOST/PATH", ErrSource, u.Redacted())
	case u.User != nil || u.Fragment != "":
		return fmt.Errorf("%w: %s has a user name or a fragment: leave it out", ErrSource, u.Redacted())
	}
	// A name that leads there is refused when it is dialled.
	if err := (limits{inner: true}).url(u); err != nil {
		return fmt.Errorf("%w: %w", ErrSource, err)
	}
	return s.validateProof(u.Scheme)
}

func (s Source) validateProof(scheme string) error {
	switch {
	case len(s.SHA256) != 0 && len(s.SHA256) != sha256.Size:
		return fmt.Errorf("%w: a SHA-256 has %d bytes, not %d", ErrSource, sha256.Size, len(s.SHA256))
	case len(s.Key) != 0 && len(s.Key) != ed25519.PublicKeySize:
		return fmt.Errorf("%w: an Ed25519 key has %d bytes, not %d", ErrSource, ed25519.PublicKeySize, len(s.Key))
	case scheme == "http" && len(s.SHA256) == 0 && len(s.Key) == 0:
		return fmt.Errorf("%w: with http anybody on the way can answer: give a SHA-256 or an Ed25519 key, or use https", ErrSource)
	}
	return nil
}

// Options of fetching. The zero value of a field is its default.
type Options struct {
	// MaxBytes of a document. Default 1 MiB.
	MaxBytes int64
	// Timeout of one try, redirects and signature included. Default 15 s.
	Timeout time.Duration
	// Attempts of one fetch, the first included. Default 3. All fetches together try again
	// no more than ten times at once and once each RetryMost in the long run.
	Attempts int
	// RetryFirst and RetryMost bound the wait before the next attempt, of which up to half
	// is left to chance. Default 500 ms, doubling to 5 s.
	RetryFirst, RetryMost time.Duration
	// Proxy that everything is fetched through; nil: nothing is, whatever the environment
	// says. What names lead to is then the proxy's to judge.
	Proxy *url.URL
	// Inner lets sources of principals that are bound to a tenant lead to this machine and
	// to private networks, as those of others may.
	Inner bool
	// RootCAs that https servers are held to; nil: the system's.
	RootCAs *x509.CertPool
}

func (o Options) withDefaults() Options {
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.Attempts == 0 {
		o.Attempts = DefaultAttempts
	}
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{{&o.Timeout, DefaultTimeout}, {&o.RetryFirst, 500 * time.Millisecond}, {&o.RetryMost, 5 * time.Second}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	return o
}
