package group

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pyisolate/pyisolate/cluster/directory"
	"github.com/pyisolate/pyisolate/internal/readindex"
)

// Tenant of the cluster: who runs cells on this node. Its methods are called one at a time.
type Tenant interface {
	// Opened is called with each new session. What the directory gives to it is this node's
	// from now on.
	Opened(directory.Seat)
	// Lapsed ends all guests of a session and returns when none runs any more, within
	// Config.Margin.
	Lapsed(directory.Seat)
}

// Renewer is a Tenant that is told until when its lease lasts, by Config.Clock: before Opened, and
// with each renewal. It must not block.
type Renewer interface{ Renewed(until time.Duration) }

// renewed tells the tenant, if it wants to know.
func (l *Lease) renewed(until time.Duration) {
	if r, wants := l.tenant.(Renewer); wants {
		r.Renewed(until)
	}
}

// Lease is this node's right to run cells.
type Lease struct {
	group  *Group
	tenant Tenant
	end    context.CancelFunc
	done   chan struct{}

	releasing sync.Mutex
	ending    directory.Seat // whose guests Release has ended; guarded by releasing

	mu    sync.Mutex
	seat  directory.Seat // its session; 0: none now
	until time.Duration
}

// Hold opens a session, keeps it, and opens another when it has lapsed, until Release.
func (g *Group) Hold(t Tenant) *Lease {
	ctx, end := context.WithCancel(g.life)
	l := &Lease{group: g, tenant: t, end: end, done: make(chan struct{})}
	go l.keep(ctx)
	return l
}

// Seat is this node in its session. With valid false it may run nothing now.
func (l *Lease) Seat() (seat directory.Seat, valid bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seat, l.seat.Session != 0 && l.group.config.Clock() < l.until
}

// Valid says why nothing may be run or done for a guest now, or nil.
func (l *Lease) Valid() error {
	if _, valid := l.Seat(); !valid {
		return fmt.Errorf("%w: node %s has no lease now", directory.ErrNoSession, l.group.config.Node)
	}
	return nil
}

// Release ends the guests and the session, so that others need not wait for its end. When that fails it can be done again.
func (l *Lease) Release(ctx context.Context) error {
	l.releasing.Lock() // who comes second waits for the end of the guests, too
	defer l.releasing.Unlock()
	l.end()
	<-l.done
	if seat := l.lapse(); seat.Session != 0 {
		l.ending = seat
	}
	if l.ending.Session == 0 {
		return nil
	}
	_, err := l.group.Propose(ctx, directory.Command{Op: directory.End, Seat: l.ending})
	if err == nil || errors.Is(err, directory.ErrNoSession) {
		l.ending = directory.Seat{}
		return nil
	}
	return err
}

// lapse gives the session up, and then ends its guests.
func (l *Lease) lapse() directory.Seat {
	l.mu.Lock()
	seat := l.seat
	l.seat, l.until = directory.Seat{}, 0
	l.mu.Unlock()
	if seat.Session != 0 {
		l.tenant.Lapsed(seat)
	}
	return seat
}

func (l *Lease) keep(ctx context.Context) {
	defer close(l.done)
	pause := l.group.config.TTL / 10
	for ctx.Err() == nil {
		err := l.open(ctx)
		if err == nil {
			err = l.renewing(ctx)
			if ctx.Err() != nil { // Release ends the guests
				return
			}
			l.lapse()
		}
		l.group.config.Logger.Warn("this node has no lease", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// open begins a session. Its first lease counts from before it was proposed.
func (l *Lease) open(ctx context.Context) error {
	if err := l.group.state.failed(); err != nil {
		return err // the session would be over before it began, again and again
	}
	asked := l.group.config.Clock()
	ctx, cancel := context.WithTimeout(ctx, l.group.config.TTL)
	defer cancel()
	out, err := l.group.Propose(ctx, directory.Command{
		Op: directory.Open, Seat: directory.Seat{Node: l.group.config.Node}, Lease: l.group.config.TTL,
	})
	if err != nil {
		return err
	}
	seat := directory.Seat{Node: l.group.config.Node, Session: out.Session}
	until := asked + l.group.config.TTL - l.group.config.Margin
	l.renewed(until)
	l.mu.Lock()
	l.seat, l.until = seat, until
	l.mu.Unlock()
	l.tenant.Opened(seat)
	return nil
}

// renewing returns when the lease has lapsed, and why.
func (l *Lease) renewing(ctx context.Context) error {
	every := l.group.config.TTL / 6
	for {
		if err := l.group.state.failed(); err != nil {
			return err // it would not learn what others have been given
		}
		l.mu.Lock()
		seat, left := l.seat, l.until-l.group.config.Clock()
		l.mu.Unlock()
		if left <= 0 {
			return fmt.Errorf("%w: the lease was not renewed in time", ErrNoLeader)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(every, left)):
		}
		if err := l.again(ctx, seat, left); errors.Is(err, directory.ErrNoSession) {
			return err
		} // otherwise there may be time for another try
	}
}

// again asks for the next lease once.
func (l *Lease) again(ctx context.Context, seat directory.Seat, left time.Duration) error {
	g := l.group
	asked := g.config.Clock()
	ctx, cancel := context.WithTimeout(ctx, min(g.config.TTL/3, max(left, time.Millisecond)))
	defer cancel()
	ttl := g.config.TTL
	err := g.attempt(ctx, func(context.Context) error { return g.renew(seat, readindex.Voice{Node: g.config.Node}) },
		request{Renew: &seat}, func(a answer) { ttl = min(ttl, a.TTL) })
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if until := asked + ttl - g.config.Margin; l.seat == seat && g.config.Clock() < l.until && until > l.until { // what has lapsed does not come back
		l.until = until
		l.renewed(until)
	}
	return nil
}
