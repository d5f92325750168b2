package refresh

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Bounds of one fetch. A zero field of [Options] means its default.
const (
	DefaultMaxBytes = 1 << 20 // the most that a policy document may have
	DefaultTimeout  = 15 * time.Second
	DefaultAttempts = 3

	maxSignature = 1 << 10
	maxRedirects = 3
)

// Validator is what a server said of a document that we have, so that it need not send it
// again. The zero Validator asks for it in any case.
type Validator struct {
	ETag         string
	LastModified string
}

func (v Validator) empty() bool { return v == Validator{} }

// Fetched is an answer.
type Fetched struct {
	// Text is the document's bytes, verified; nil when NotModified.
	Text []byte
	// NotModified: the server says that it is what the validator was given with.
	NotModified bool
	// Validator is what to ask with the next time.
	Validator Validator
}

// Fetcher gets documents. Its methods may be called from any goroutine.
type Fetcher struct {
	options Options
	retries *retries
	// Two, so that no connection that one may have is used again by who may not.
	inner, outer *http.Client
}

// NewFetcher returns a fetcher; it holds connections until Close.
func NewFetcher(o Options) *Fetcher {
	o = o.withDefaults()
	return &Fetcher{options: o, retries: newRetries(o), inner: newClient(o, limits{inner: true}), outer: newClient(o, limits{})}
}

func newClient(o Options, l limits) *http.Client {
	dialer, proxy := &net.Dialer{Timeout: o.Timeout, Control: l.control}, (func(*http.Request) (*url.URL, error))(nil)
	if o.Proxy != nil { // then nothing else is connected to
		dialer.Control, proxy = nil, http.ProxyURL(o.Proxy)
	}
	return &http.Client{
		CheckRedirect: l.checkRedirect,
		Transport: &http.Transport{
			Proxy: proxy, DialContext: dialer.DialContext,
			TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.RootCAs},
			ForceAttemptHTTP2: true, DisableCompression: true, // what is small needs no bomb squad
			MaxResponseHeaderBytes: 64 << 10, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute,
		},
	}
}

// limitsOf are a source's: whoever is of all tenants may have the node ask its own network.
func (f *Fetcher) limitsOf(s Source) (limits, *http.Client) {
	if f.options.Inner || s.Principal.Tenant == "" {
		return limits{inner: true}, f.inner
	}
	return limits{}, f.outer
}

// Close gives connections back that nobody uses.
func (f *Fetcher) Close() {
	f.inner.CloseIdleConnections()
	f.outer.CloseIdleConnections()
}

// Fetch gets the document of s and verifies it. It tries again what may go better, a few
// times and within the fetcher's budget. Errors match ErrUnavailable, ErrRefused or
// ErrSource.
func (f *Fetcher) Fetch(ctx context.Context, s Source, have Validator) (Fetched, error) {
	if err := s.validateAddress(); err != nil {
		return Fetched{}, err
	}
	var got Fetched
	err := f.retries.do(ctx, func(ctx context.Context) (err error) {
		got, err = f.attempt(ctx, s, have)
		return err
	})
	return got, err
}

// attempt is one try, signature and all, within the timeout.
func (f *Fetcher) attempt(ctx context.Context, s Source, have Validator) (Fetched, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, f.options.Timeout, fmt.Errorf("no whole answer within %s", f.options.Timeout))
	defer cancel()
	got, err := f.get(ctx, s, s.URL, have, f.options.MaxBytes)
	if err != nil || got.NotModified {
		return got, err
	}
	var signature []byte
	if len(s.Key) > 0 {
		address, err := signatureURL(s.URL)
		if err != nil {
			return Fetched{}, err
		}
		sig, err := f.get(ctx, s, address, Validator{}, maxSignature)
		if err != nil {
			return Fetched{}, fmt.Errorf("the signature: %w", err)
		}
		signature = sig.Text
	}
	if err := s.verify(got.Text, signature); err != nil {
		return Fetched{}, err
	}
	return got, nil
}

// get is one request.
func (f *Fetcher) get(ctx context.Context, s Source, address string, have Validator, most int64) (Fetched, error) {
	r, err := http.NewRequestWithContext(withRules(ctx, s), http.MethodGet, address, nil)
	if err != nil {
		return Fetched{}, fmt.Errorf("%w: %s: %w", ErrSource, address, err)
	}
	r.Header.Set("User-Agent", "pyisolate-node")
	r.Header.Set("Accept", "application/yaml, text/plain, */*;q=0.5")
	have.put(r.Header)
	within, client := f.limitsOf(s)
	if err := within.url(r.URL); err != nil {
		return Fetched{}, err
	}
	answer, err := client.Do(r)
	if err != nil {
		return Fetched{}, failure(ctx, address, err)
	}
	defer func() { _ = answer.Body.Close() }()
	if err := checkStatus(address, answer, have); err != nil {
		return Fetched{}, err
	}
	if answer.StatusCode == http.StatusNotModified {
		return Fetched{NotModified: true, Validator: have}, nil
	}
	text, err := readBody(ctx, address, answer, most)
	return Fetched{Text: text, Validator: validatorOf(answer.Header)}, err
}

func (v Validator) put(h http.Header) {
	if v.ETag != "" {
		h.Set("If-None-Match", v.ETag)
	} else if v.LastModified != "" {
		h.Set("If-Modified-Since", v.LastModified)
	}
}

func validatorOf(h http.Header) Validator {
	return Validator{ETag: h.Get("ETag"), LastModified: h.Get("Last-Modified")}.sane()
}

const (
	maxETag         = 256
	maxLastModified = 40 // HTTP's longest form of a date has 33; net/http reads one with any number of digits
)

// sane keeps what is of a size and a form that we would send back, and that a file has as it is: of
// other bytes than those of visible ASCII, JSON makes others.
func (v Validator) sane() Validator {
	odd := func(r rune) bool { return r < '!' || r > '~' }
	if len(v.ETag) > maxETag || !strings.HasSuffix(v.ETag, `"`) || strings.ContainsFunc(v.ETag, odd) {
		v.ETag = ""
	}
	if _, err := http.ParseTime(v.LastModified); err != nil || len(v.LastModified) > maxLastModified {
		v.LastModified = ""
	}
	return v
}

// checkStatus takes 200, and 304 to who asked for it.
func checkStatus(address string, answer *http.Response, have Validator) error {
	switch code := answer.StatusCode; {
	case code == http.StatusOK:
		return nil
	case code == http.StatusNotModified && have.empty():
		return fmt.Errorf("%w: %s answers 304 Not Modified, and we have nothing of it", ErrRefused, address)
	case code == http.StatusNotModified:
		return nil
	case code >= 500 || code == http.StatusTooManyRequests || code == http.StatusRequestTimeout:
		return &laterError{after: retryAfter(answer.Header), error: fmt.Errorf("%w: %s answers %s", ErrUnavailable, address, status(code))}
	case code == http.StatusNotFound || code == http.StatusGone:
		return fmt.Errorf("%w: %s answers %s", ErrUnavailable, address, status(code))
	default:
		return fmt.Errorf("%w: %s answers %s", ErrRefused, address, status(code))
	}
}

// status has our words for a code: the server's are whatever bytes it likes.
func status(code int) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", code, http.StatusText(code)))
}

// readBody takes no more than most bytes and no encoding, so that nothing grows here.
func readBody(ctx context.Context, address string, answer *http.Response, most int64) ([]byte, error) {
	if e := answer.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return nil, fmt.Errorf("%w: %s sends content encoding %q, which was not asked for", ErrRefused, address, e)
	}
	tooLarge := fmt.Errorf("%w: %s sends more than %d bytes", ErrRefused, address, most)
	if answer.ContentLength > most {
		return nil, tooLarge
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, most+1))
	if err == nil { // a server that sees us give up may end what it sent half of
		err = ctx.Err()
	}
	switch {
	case err != nil:
		return nil, failure(ctx, address, err)
	case int64(len(text)) > most:
		return nil, tooLarge
	}
	return text, nil
}

// failure is what a request that got no answer, or half of one, means.
func failure(ctx context.Context, address string, err error) error {
	if errors.Is(err, ErrRefused) {
		return innermost(err)
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	// The address is in url.Error too: say it once.
	return &laterError{error: fmt.Errorf("%w: %s: %w", ErrUnavailable, address, innermost(err))}
}
