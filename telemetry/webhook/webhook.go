package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/pyisolate/pyisolate/telemetry/events"
)

// Config of a [Sender]. The zero value of a field is its default.
type Config struct {
	Hub   *events.Hub
	Hooks []Hook // 16 at most
	// Node is the name that requests give.
	Node string
	// Timeout of one request, its answer included. Default 10 s.
	Timeout time.Duration
	// Attempts of one request. Default 6.
	Attempts int
	// First and Most bound the pause between two attempts. Default 1 s, doubling to 1 min.
	First, Most time.Duration
	// RootCAs of servers; nil: the system's.
	RootCAs *x509.CertPool
	// Delivered is told what became of events: "delivered", "failed" or "lost"; first, by New, of none
	// of each, so that who counts has every hook from the start. Nil: nobody is.
	Delivered func(hook, outcome string, events int)
	Logger    *slog.Logger // nil discards
}

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{{&c.Timeout, 10 * time.Second}, {&c.First, time.Second}, {&c.Most, time.Minute}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if c.Attempts == 0 {
		c.Attempts = 6
	}
	if c.Delivered == nil {
		c.Delivered = func(string, string, int) {}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

const maxHooks = 16

// Validate reports all that is wrong, with the hooks' secrets.
func (c Config) Validate() error {
	var errs []error
	names := map[string]bool{}
	for _, h := range c.Hooks {
		errs = append(errs, h.Validate())
		name := h.withDefaults().Name
		if names[name] {
			errs = append(errs, fmt.Errorf("webhook %s: there are two of that name: give them names", events.Text(name, 64)))
		}
		names[name] = true
	}
	if len(c.Hooks) > maxHooks {
		errs = append(errs, fmt.Errorf("%d webhooks; %d is the most", len(c.Hooks), maxHooks))
	}
	if c.Timeout < 0 || c.First < 0 || c.Most < 0 || c.Attempts < 0 {
		errs = append(errs, errors.New("webhooks: timeouts, pauses and attempts are positive"))
	}
	return errors.Join(errs...)
}

// Sender posts until it is closed. Its methods may be called from any goroutine.
type Sender struct {
	ctx     context.Context // of requests
	cancel  context.CancelFunc
	closing chan struct{} // closed when only what there is is to be posted
	once    sync.Once
	running sync.WaitGroup
}

// New begins to post what happens from now on.
func New(c Config) (*Sender, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	s := &Sender{closing: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	for _, h := range c.Hooks {
		h = h.withDefaults()
		for _, outcome := range []string{delivered, failed, lost} {
			c.Delivered(h.Name, outcome, 0)
		}
		p := &poster{config: c, hook: h, sender: s, reader: c.Hub.Latest(h.Tenant), client: newClient(c, h)}
		s.running.Go(p.work)
	}
	return s, nil
}

func newClient(c Config, h Hook) *http.Client {
	dialer := &net.Dialer{Timeout: c.Timeout, Control: h.limits().Control}
	return &http.Client{
		Timeout:       c.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{DialContext: dialer.DialContext, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.RootCAs},
			ForceAttemptHTTP2: true, DisableCompression: true, MaxResponseHeaderBytes: 64 << 10, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute},
	}
}

// Close posts what has happened already, each request once, and returns when that is done or ctx
// has ended.
func (s *Sender) Close(ctx context.Context) error {
	if s == nil {
		return nil
	}
	s.once.Do(func() { close(s.closing) })
	defer context.AfterFunc(ctx, s.cancel)()
	s.running.Wait()
	err := ctx.Err()
	s.cancel()
	if err != nil {
		return fmt.Errorf("webhooks: not all was posted: %w", err)
	}
	return nil
}
