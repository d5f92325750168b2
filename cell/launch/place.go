package launch

import (
	"context"
	"time"

	"github.com/pyisolate/pyisolate/cell"
)

// place is where a tenant's host of one backend is, or is being started.
type place struct {
	ruling  ruling
	host    *hostproc
	pending *starting
	backoff time.Duration
	notYet  time.Time // no start before
	tried   bool
}

type starting struct {
	waiting int // spawns; under the launcher's mu
	done    chan struct{}
	host    *hostproc // it, and err, once done is closed
	err     error
}

// hostFor returns the place's host, waiting for one to start, and holds it.
func (l *Launcher) hostFor(ctx context.Context, key hostKey, r ruling) (*hostproc, error) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil, ErrClosed
	}
	p := l.places[key]
	if p == nil {
		p = &place{ruling: r}
		l.places[key] = p
	}
	for p.host == nil || !p.host.hold() {
		if s := l.startIn(p, key); s != nil {
			s.waiting++
			l.mu.Unlock()
			return l.await(ctx, s, key)
		}
	}
	h := p.host
	l.mu.Unlock()
	return h, nil
}

func (l *Launcher) await(ctx context.Context, s *starting, key hostKey) (*hostproc, error) {
	select {
	case <-s.done:
		return s.host, s.err
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s.waiting--
	select {
	case <-s.done:
		if s.host != nil {
			s.host.unhold()
		}
	default:
	}
	return nil, cell.Errorf(contextKind(ctx), "waiting for a host of tenant %s: %v", key.tenant, ctx.Err())
}

// startIn sees to it, under mu, that the place gets a host: at once a spare, then
// it returns nil, or a new one after the place's backoff.
func (l *Launcher) startIn(p *place, key hostKey) *starting {
	if p.pending != nil {
		return p.pending
	}
	if spares := l.spares[key.backend]; len(spares) > 0 && key.fit == (fit{}) && key.node == anywhere {
		p.host, l.spares[key.backend] = spares[0], spares[1:]
		l.settle(p.host, 0)
		l.fillSpares(key.backend)
		return nil
	}
	s := &starting{done: make(chan struct{})}
	p.pending = s
	wait := time.Until(p.notYet)
	if p.tried {
		l.stats.Restarts++
	}
	p.tried = true
	l.starts.Go(func() {
		select {
		case <-time.After(wait):
		case <-l.closing:
		}
		h, err := l.startUnlessClosed(key.backend, p.ruling, key.node)
		l.mu.Lock()
		defer l.mu.Unlock()
		if err == nil {
			err = l.enlist(h)
		}
		p.pending = nil
		if s.err = err; err != nil {
			l.backOff(p)
			if key.fit.own { // there may be as many as policies
				delete(l.places, key)
			}
		} else {
			p.host, s.host = h, h
			l.settle(h, s.waiting)
			l.fillSpares(key.backend)
		}
		close(s.done)
	})
	return s
}

func (l *Launcher) startUnlessClosed(backend cell.Backend, r ruling, node int) (*hostproc, error) {
	l.mu.Lock()
	closed := l.closed
	l.mu.Unlock()
	if closed {
		return nil, ErrClosed
	}
	h, err := l.startHost(backend, r, node)
	if err != nil {
		return nil, err
	}
	// What it was greeted with may be over by now, or have been lifted. It hears of the next before any claim.
	if until := l.leaseNow(); until != 0 || h.leased != 0 {
		_ = h.proc.conn.Send(leaseUntil(until)) // one that is dead is told of elsewhere
	}
	return h, nil
}

// enlist makes a new host one of the launcher's, under mu. What hostChanged does with those that retire or die is
// not for it to do before: whoever enlists one gives it its place in the same breath.
func (l *Launcher) enlist(h *hostproc) error {
	h.mu.Lock()
	dead, over := h.dead, h.dead || h.retiring
	h.mu.Unlock()
	if !dead {
		l.hosts[h] = struct{}{}
		if l.lease != 0 || h.leased != 0 {
			l.grant(h)
		}
	}
	if over {
		return cell.Errorf(cell.Busy, "the new host has ended already; try again later")
	}
	return nil
}

func (l *Launcher) backOff(p *place) {
	p.backoff = min(max(2*p.backoff, l.config.BackoffFirst), l.config.BackoffMost)
	p.notYet = time.Now().Add(p.backoff)
}

// fillSpares starts, under mu, the spare hosts that are missing.
func (l *Launcher) fillSpares(backend cell.Backend) {
	if l.closed || len(l.spares[backend]) >= l.config.MaxHostsSpare {
		return
	}
	l.starts.Go(func() {
		h, err := l.startUnlessClosed(backend, ruling{}, anywhere)
		if err != nil {
			return // the next real start says why
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.enlist(h) != nil {
			return
		}
		l.spares[backend] = append(l.spares[backend], h)
		l.fillSpares(backend)
	})
}

// hostChanged is called when a host retires or has died.
func (l *Launcher) hostChanged(h *hostproc) {
	h.mu.Lock()
	dead, retiring := h.dead, h.retiring
	h.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, there := l.hosts[h]; dead && there {
		delete(l.hosts, h)
		l.traffic = l.traffic.Plus(h.proc.conn.Counts())
	}
	for i, s := range l.spares[h.backend] {
		if s == h {
			l.spares[h.backend] = append(l.spares[h.backend][:i:i], l.spares[h.backend][i+1:]...)
			break
		}
	}
	for key, p := range l.places {
		if p.host != h || l.closed {
			continue
		}
		p.host = nil
		switch {
		case retiring:
			p.notYet = time.Time{}
		case time.Since(h.up) > l.config.BackoffMost:
			p.backoff = 0
			fallthrough
		default:
			l.backOff(p)
		}
		l.startIn(p, key)
	}
}
