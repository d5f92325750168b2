package webhook

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/pyisolate/pyisolate/internal/outbound"
	"github.com/pyisolate/pyisolate/telemetry/events"
)

const (
	// maxBatch is how many events a request has at most.
	maxBatch = 100
	// maxAsked bounds the pause that a server may ask for.
	maxAsked = 5 * time.Minute
)

// What becomes of events.
const delivered, failed, lost = "delivered", "failed", "lost"

// poster serves one hook. All is its goroutine's.
type poster struct {
	config Config
	hook   Hook
	sender *Sender
	client *http.Client
	reader *events.Reader
	lost   uint64 // not told yet
}

// work posts until the sender closes, and then what there is.
func (p *poster) work() {
	defer p.client.CloseIdleConnections()
	for p.sender.ctx.Err() == nil {
		wanted, more := p.take()
		for len(wanted) > 0 && p.sender.ctx.Err() == nil {
			n := min(len(wanted), maxBatch)
			p.deliver(wanted[:n])
			wanted = wanted[n:]
		}
		if !p.wait(more) {
			return
		}
	}
}

// wait reports whether there is more to post. What has happened before the end is.
func (p *poster) wait(more <-chan struct{}) bool {
	select {
	case <-more:
		return true
	case <-p.sender.ctx.Done():
		return false
	case <-p.sender.closing:
	}
	select {
	case <-more:
		return true
	default:
		return false
	}
}

// take returns the hook's events since the last time.
func (p *poster) take() (wanted []Event, more <-chan struct{}) {
	all, missed, more := p.reader.Next()
	p.lost += missed
	if missed > 0 {
		p.config.Delivered(p.hook.Name, lost, int(min(missed, 1<<31-1)))
	}
	for _, e := range all {
		if p.hook.wants(e) {
			wanted = append(wanted, eventOf(e))
		}
	}
	return wanted, more
}

// deliver posts some events, again where that may help.
func (p *poster) deliver(some []Event) {
	body, err := json.Marshal(Body{Node: p.config.Node, Events: some, Lost: p.lost})
	if err == nil {
		err = p.persist(body)
	}
	if err != nil {
		p.config.Delivered(p.hook.Name, failed, len(some))
		p.config.Logger.Warn("events are not posted", "webhook", p.hook.Name, "events", len(some), "error", err)
		return
	}
	p.lost = 0
	p.config.Delivered(p.hook.Name, delivered, len(some))
}

func (p *poster) persist(body []byte) (err error) {
	id, pause := rand.Text(), p.config.First
	for attempt := 1; ; attempt++ {
		err = p.post(id, body)
		var later *laterError
		if err == nil || !errors.As(err, &later) || attempt >= p.config.Attempts {
			return err
		}
		wait := max(pause/2+mathrand.N(pause/2+1), min(later.after, maxAsked)) //nolint:gosec // so that not all senders come at once
		if !p.pause(wait) {
			return err
		}
		pause = min(2*pause, p.config.Most)
	}
}

// pause reports whether there may be another attempt after it.
func (p *poster) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-p.sender.closing:
	case <-p.sender.ctx.Done():
	}
	return false
}

// laterError is one of what may go better after a while.
type laterError struct {
	error
	after time.Duration
}

func (e *laterError) Unwrap() error { return e.error }

// post is one attempt.
func (p *poster) post(id string, body []byte) error {
	ctx, cancel := context.WithTimeout(p.sender.ctx, p.config.Timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.hook.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "pyisolate-node")
	r.Header.Set(HeaderID, id)
	key, err := p.hook.secret()
	if err != nil {
		return fmt.Errorf("secret file: %w", err) // nothing is sent that should have been signed
	}
	if key != nil {
		Sign(r.Header, key, body, time.Now())
	}
	answer, err := p.client.Do(r)
	if err != nil {
		return failure(err)
	}
	defer func() { _ = answer.Body.Close() }()
	_, _ = io.CopyN(io.Discard, answer.Body, 4096) // so that the connection can be used again
	return judge(answer)
}

// failure takes the words of package net/http from around an error: they have the address, which
// may have a secret.
func failure(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if errors.Is(err, outbound.ErrRefused) {
		return err
	}
	return &laterError{error: err}
}

// judge goes by the status alone; the server's words are whatever it likes.
func judge(answer *http.Response) error {
	code := answer.StatusCode
	err := fmt.Errorf("the server answers %d %s", code, http.StatusText(code))
	switch {
	case code >= 200 && code < 300:
		return nil
	case code >= 300 && code < 400:
		return fmt.Errorf("%w: redirects are not followed, give the address that it leads to", err)
	case code >= 500, code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests:
		seconds, _ := strconv.ParseUint(answer.Header.Get("Retry-After"), 10, 16)
		return &laterError{err, time.Duration(seconds) * time.Second}
	}
	return err
}
