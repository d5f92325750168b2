package fetch

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/pyisolate/pyisolate/broker/capability"
)

// scopeFields is what a grant says. The word form is a host.
type scopeFields struct {
	Hosts         []string            `json:"hosts"`
	Methods       []string            `json:"methods"`
	Addresses     []string            `json:"addresses"`
	Headers       []string            `json:"headers"`
	Redirects     *int                `json:"redirects"`
	ResponseBytes capability.Size     `json:"response_bytes"`
	IdleTimeout   capability.Duration `json:"idle_timeout"`
}

// Defaults and bounds of a grant.
const (
	maxEntries       = 256
	defaultRedirects = 5
	maxRedirects     = 10
	defaultIdle      = 15 * time.Second
	maxDials         = 8                // addresses of one name that are tried
	dialTimeout      = 10 * time.Second // of look-up, all addresses and handshake
	maxHeaderBytes   = 64 << 10
	connections      = 16 // to one host at once
)

// scope is a grant in force, with connections of its own: a connection that one
// grant allowed must not serve another.
type scope struct {
	hosts     []pattern
	methods   []string
	addresses []netip.Prefix
	headers   []string // nil allows all but the reserved
	redirects int
	maxBody   int
	idle      time.Duration
	lookup    func(ctx context.Context, host string) ([]netip.Addr, error)
	tls       *tls.Config
	transport *http.Transport
}

func newScope(config Config, raw json.RawMessage) (*scope, error) {
	var f scopeFields
	if err := capability.DecodeScope(raw, "hosts", &f); err != nil {
		return nil, err
	}
	s := &scope{redirects: defaultRedirects, maxBody: int(f.ResponseBytes), idle: time.Duration(f.IdleTimeout), lookup: config.Lookup}
	if err := f.into(s); err != nil {
		return nil, err
	}
	s.tls = &tls.Config{RootCAs: config.RootCAs, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	s.transport = &http.Transport{
		DialContext:            bound(s.dial),
		DialTLSContext:         bound(s.dialTLS),
		ForceAttemptHTTP2:      true,
		DisableCompression:     true, // we decompress ourselves, within the limit
		MaxIdleConns:           4,
		MaxIdleConnsPerHost:    2,
		MaxConnsPerHost:        connections,
		IdleConnTimeout:        30 * time.Second,
		MaxResponseHeaderBytes: maxHeaderBytes,
	}
	return s, nil
}

func (f scopeFields) into(s *scope) error {
	if len(f.Hosts) == 0 || len(f.Hosts) > maxEntries || len(f.Addresses) > maxEntries || len(f.Headers) > maxEntries {
		return capability.Errorf(capability.Invalid, "name 1 to %d hosts, and at most as many addresses and headers", maxEntries)
	}
	for _, text := range f.Hosts {
		p, err := parsePattern(text)
		if err != nil {
			return err
		}
		s.hosts = append(s.hosts, p)
	}
	for _, text := range f.Addresses {
		p, err := parseRange(text)
		if err != nil {
			return err
		}
		s.addresses = append(s.addresses, p)
	}
	for _, name := range f.Headers {
		if !isToken(name) || slices.Contains(reserved, asRead(name)) {
			return capability.Errorf(capability.Invalid, "headers: %q is not a header that a guest can set", name)
		}
		s.headers = append(s.headers, http.CanonicalHeaderKey(name))
	}
	return errors.Join(f.methodsInto(s), f.numbersInto(s))
}

var knownMethods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

func (f scopeFields) methodsInto(s *scope) error {
	s.methods = []string{"GET", "HEAD"}
	if f.Methods != nil {
		s.methods = f.Methods
	}
	for _, m := range s.methods {
		if !slices.Contains(knownMethods, m) {
			return capability.Errorf(capability.Invalid, "methods: %q is not one of %s", m, strings.Join(knownMethods, ", "))
		}
	}
	return nil
}

func (f scopeFields) numbersInto(s *scope) error {
	if f.Redirects != nil {
		s.redirects = *f.Redirects
	}
	if s.idle == 0 {
		s.idle = defaultIdle
	}
	switch {
	case s.redirects < 0 || s.redirects > maxRedirects:
		return capability.Errorf(capability.Invalid, "redirects is %d; it must be between 0 and %d", s.redirects, maxRedirects)
	case s.maxBody > capability.MaxBytes:
		return capability.Errorf(capability.Invalid, "response_bytes is %d; %d is the most", s.maxBody, capability.MaxBytes)
	case s.idle < time.Millisecond || s.idle > time.Hour:
		return capability.Errorf(capability.Invalid, "idle_timeout is %s; it must be between 1ms and 1h", s.idle)
	}
	return nil
}

// Close ends idle connections; those in use end with their call.
func (s *scope) Close() error {
	s.transport.CloseIdleConnections()
	return nil
}

// allow finds the entry of the list that lets t pass.
func (s *scope) allow(method string, t target) (rule string, err error) {
	for _, p := range s.hosts {
		if p.matches(t) {
			rule = Name + "=" + p.text
			break
		}
	}
	switch {
	case rule == "":
		return "", capability.Denyf(Name+": hosts", "%s is not on the grant's list of hosts", t)
	case !slices.Contains(s.methods, method):
		return "", capability.Denyf(rule+": methods", "%s is not one of the grant's methods, %s", method, strings.Join(s.methods, ", "))
	}
	return rule, nil
}
