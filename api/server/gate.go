package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/time/rate"

	"github.com/pyisolate/pyisolate/api/fault"
	"github.com/pyisolate/pyisolate/internal/stack"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/telemetry"
	"github.com/pyisolate/pyisolate/telemetry/trace"
)

// validity says whether a token that was shown still is one: *policystore.Store.
type validity interface {
	TokenValid(ctx context.Context, id string) error
}

// gate is what each request passes before anything of its body is read: it is a call of the
// API, by somebody who may make it, and there is room for it.
type gate struct {
	store    *policystore.Store
	tokens   validity
	at       string // "@" and this node's name, where there are others: what users of it are called by
	logger   *slog.Logger
	observer *telemetry.Observer
	errors   *connect.ErrorWriter
	// clients call here, nodes for theirs: what a node writes into its calls takes nothing from
	// those who call here.
	clients, nodes *side
	strangers      *rates          // of calls without a token
	refusing       *slots          // of answers to what is no call, or none that may be
	refusals       *rate.Limiter   // that are logged
	recheck        time.Duration   // of tokens of calls without a deadline
	patience       time.Duration   // with clients that send slowly, or take nothing
	ending         context.Context // done when the server is
	calls          http.Handler
	pages          map[string]Page
}

// ServeHTTP implements http.Handler.
func (g *gate) ServeHTTP(plain http.ResponseWriter, r *http.Request) {
	stack.Room()
	w := newPatient(plain, r, g.patience)
	defer w.close()
	rule, next := g.route(r)
	if next == nil {
		g.turnAway(w, r, func() { http.NotFound(w, r) })
		return
	}
	p, err := g.admit(r, rule)
	if err != nil {
		g.refuse(w, r, err)
		return
	}
	from := peerOf(r.Context())
	who := holdersOf(p, from.node)
	all, pace := g.of(from).of(p, from)
	if rule.open {
		pace = g.strangers
	}
	if !pace.allow(who) {
		g.refuse(w, r, fmt.Errorf("%w: too many calls a second; call more slowly", policystore.ErrLimited))
		return
	}
	room := all.enter(rule, who)
	if room == nil {
		g.refuse(w, r, fmt.Errorf("%w: too many calls are under way; try again later", policystore.ErrLimited))
		return
	}
	defer room.give(who, 1)
	if rule.streams {
		if !all.bytes.take(who, streamedMessage) {
			g.refuse(w, r, errTooManyBytes)
			return
		}
		defer all.bytes.give(who, streamedMessage)
	}
	g.serve(w, r, call{rule, p, who, all.counted(rule), all.answers}, next)
}

func (g *gate) of(from peer) *side {
	if from.node != "" {
		return g.nodes
	}
	return g.clients
}

// call is one that has been admitted.
type call struct {
	rule
	by    policystore.Principal
	who   holders
	bytes *slots // where its request is counted; nil: nowhere
	// answers are where what it is answered is.
	answers *slots
}

// route tells what answers a request, and what that needs; nil: there is nothing.
func (g *gate) route(r *http.Request) (rule, http.Handler) {
	if rule, known := rules[r.URL.Path]; known {
		if r.Method != http.MethodPost {
			return rule, nil
		}
		return rule, g.calls
	}
	if p, known := g.page(r.URL.Path); known {
		return p.rule(), p.Handler
	}
	return rule{}, nil
}

// serve has the call answered, within its bounds.
func (g *gate) serve(w *patient, r *http.Request, c call, next http.Handler) {
	answer := &unread{room: c.answers, who: c.who}
	defer answer.release()
	known := context.WithValue(context.WithValue(r.Context(), principalKey{}, c.by), unreadKey{}, answer)
	ctx, cancel := context.WithCancelCause(trace.Extract(known, r.Header))
	defer cancel(nil)
	defer context.AfterFunc(g.ending, func() { cancel(context.Cause(g.ending)) })()
	sent := &body{ReadCloser: r.Body, left: c.most(), room: c.bytes, who: c.who}
	defer sent.release()
	sent.arrived = w.reading.disarm // what a client sends slowly is no call
	if r.ContentLength != 0 {       // over HTTP/1, a deadline for what does not come ends the call
		w.reading.arm(c.arrives(g.patience))
	}
	switch {
	case c.within > 0:
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, c.within)
		defer stop()
	case c.by.TokenID != "":
		var end func()
		ctx, end = g.whileValid(ctx, c.by.TokenID)
		defer end()
	}
	r = r.WithContext(ctx)
	r.Body = sent
	next.ServeHTTP(w, r)
	w.settle(r)
}

// admit tells who calls, and whether he may.
func (g *gate) admit(r *http.Request, rule rule) (p policystore.Principal, err error) {
	from := peerOf(r.Context())
	if rule.open {
		return policystore.Principal{Name: from.source}, nil
	}
	p, err = g.authenticate(r)
	switch {
	case err != nil:
	case rule.nodes && from.node == "":
		err = fmt.Errorf("%w: this is what nodes of a cluster ask of each other, on the port between them", policystore.ErrDenied)
	case from.node != "" && !rule.nodes && !passes(r.URL.Path):
		err = fmt.Errorf("%w: node %s passes calls about cells on, and no others", policystore.ErrDenied, from.node)
	case rule.local && !from.trusted:
		err = fmt.Errorf("%w: this is only for the user that the node runs as, and root, on its socket", policystore.ErrDenied)
	case p.Role < rule.role:
		err = fmt.Errorf("%w: this needs the role %s; %s is %s", policystore.ErrDenied, rule.role, p.Name, p.Role)
	case rule.everywhere && p.Tenant != "":
		err = fmt.Errorf("%w: this is about all tenants; %s is bound to tenant %s", policystore.ErrDenied, p.Name, p.Tenant)
	}
	return p, err
}

// authenticate goes by the token, if there is one, and else by who is at the other end.
func (g *gate) authenticate(r *http.Request) (policystore.Principal, error) {
	from := peerOf(r.Context())
	if from.node != "" {
		return passedOn(from.node, r.Header.Get(principalHeader))
	}
	header := r.Header.Get("Authorization")
	if header == "" && from.trusted {
		return policystore.Principal{Name: from.source + g.at, Role: policystore.Admin}, nil
	}
	secret, bearer := strings.CutPrefix(header, "Bearer ")
	if !bearer || secret == "" {
		return policystore.Principal{}, &fault.Hinted{
			Err:  fmt.Errorf("%w: this needs a token", policystore.ErrUnauthenticated),
			Hint: "give one with --token or $PYISOLATE_TOKEN, or call as the user that the node runs as"}
	}
	return g.store.Authenticate(r.Context(), secret, from.source)
}

// maxUnsure is how often in a row it may not be known whether a token is valid.
const maxUnsure = 3

// whileValid is a context that ends when the token is revoked or expires: a call without a
// deadline ends then, too, and when that cannot be told any more. The caller calls end.
func (g *gate) whileValid(ctx context.Context, token string) (_ context.Context, end func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		again := time.NewTicker(g.recheck)
		defer again.Stop()
		for unsure := 0; ; {
			select {
			case <-again.C:
			case <-ctx.Done():
				return
			}
			err := g.tokens.TokenValid(ctx, token)
			switch {
			case err == nil:
				unsure = 0
			case errors.Is(err, policystore.ErrUnauthenticated):
				cancel(err)
			default:
				if unsure++; unsure == maxUnsure {
					cancel(fmt.Errorf("%w: it cannot tell whether the token is still valid: %w", fault.ErrUnavailable, err))
				}
			}
		}
	}()
	return ctx, func() { cancel(nil); <-done }
}

// turnAway gives an answer for which no call has a slot. Who takes none has so many of them kept, and then is cut off.
func (g *gate) turnAway(w *patient, r *http.Request, answer func()) {
	if from := peerOf(r.Context()); !from.isOwn() {
		who := holders{from.source}
		if !g.refusing.take(who, 1) {
			panic(http.ErrAbortHandler)
		}
		defer g.refusing.give(who, 1)
	}
	answer()
	w.settle(r)
}

// refuse answers without the call having been looked at.
func (g *gate) refuse(w *patient, r *http.Request, err error) {
	answer, ok := fault.Answer(err)
	if _, call := rules[r.URL.Path]; call {
		g.observer.Refused(r.URL.Path, answer)
	}
	level := slog.LevelInfo
	if !ok {
		level = slog.LevelError
	}
	if !ok || g.refusals.Allow() { // whoever may not call may not fill the log either
		g.logger.Log(r.Context(), level, "call refused", slog.String("call", r.URL.Path), slog.String("from", peerOf(r.Context()).source), slog.Any("error", err))
	}
	g.turnAway(w, r, func() {
		if err := g.errors.Write(w, r, answer); err != nil && !errors.Is(err, context.Canceled) {
			g.logger.Debug("answer", slog.Any("error", err))
		}
	})
}
