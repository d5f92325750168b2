package refresh

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
)

type rulesKey struct{}

// withRules lets checkRedirect know what the source permits.
func withRules(ctx context.Context, s Source) context.Context {
	return context.WithValue(ctx, rulesKey{}, s.OtherHosts)
}

// checkRedirect follows few, never to less protection or beyond the limits, and stays with the
// host unless the source says otherwise.
func (l limits) checkRedirect(next *http.Request, before []*http.Request) error {
	from := before[len(before)-1].URL
	otherHosts, _ := next.Context().Value(rulesKey{}).(bool)
	switch {
	case len(before) > maxRedirects:
		return fmt.Errorf("%w: more than %d redirects, the last to %s", ErrRefused, maxRedirects, next.URL.Redacted())
	case next.URL.Scheme != "https" && next.URL.Scheme != from.Scheme:
		return fmt.Errorf("%w: %s redirects to %s, from %s to %s", ErrRefused, from.Redacted(), next.URL.Redacted(), from.Scheme, next.URL.Scheme)
	case next.URL.User != nil:
		return fmt.Errorf("%w: %s redirects to an address with a user name", ErrRefused, from.Redacted())
	case !otherHosts && !sameHost(before[0].URL, next.URL):
		return fmt.Errorf("%w: %s redirects to another host, %s; permit it with other hosts", ErrRefused, from.Redacted(), next.URL.Host)
	}
	return l.url(next.URL)
}

// sameHost takes another port only for the step from http to https.
func sameHost(a, b *url.URL) bool {
	return a.Hostname() == b.Hostname() && (a.Port() == b.Port() || a.Scheme != b.Scheme)
}

// innermost takes the words of package net/http from around an error, for they have the
// address with a user's secrets.
func innermost(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
