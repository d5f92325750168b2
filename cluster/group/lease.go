package group

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/cluster/directory"
	"github.com/pyisolate/pyisolate/cluster/roster"
	"github.com/pyisolate/pyisolate/internal/pause"
	"github.com/pyisolate/pyisolate/internal/readindex"
)

// leases is what a leader knows of the others' leases. It is empty when another leads.
type leases struct {
	mu     sync.Mutex
	term   uint64 // in which this node leads, and knows all that its predecessors agreed; 0 for none
	until  map[directory.Seat]time.Duration
	ending map[directory.Seat]bool // their ends are proposed
}

func (l *leases) ready() bool { return l.leads() != 0 }

func (l *leases) leads() (term uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.term
}

// begin gives every session that is open a whole lease: another leader may have renewed it a
// moment ago.
func (l *leases) begin(term uint64, open map[string]uint64, now time.Duration, ttl func(node string) time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.term, l.until, l.ending = term, map[directory.Seat]time.Duration{}, map[directory.Seat]bool{}
	for node, session := range open {
		l.until[directory.Seat{Node: node, Session: session}] = now + ttl(node)
	}
}

func (l *leases) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.term, l.until, l.ending = 0, nil, nil
}

// extend is a renewal. One whose end is proposed has none.
func (l *leases) extend(seat directory.Seat, until time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.term == 0:
		return fmt.Errorf("%w: this node does not lead any more", ErrNoLeader)
	case l.ending[seat]:
		return fmt.Errorf("%w: the lease of node %s has lapsed", directory.ErrNoSession, seat.Node)
	}
	l.until[seat] = max(l.until[seat], until)
	return nil
}

// lapsed are those to be ended now. They are not renewed any more.
func (l *leases) lapsed(open map[string]uint64, now time.Duration, ttl func(node string) time.Duration) (all []directory.Seat) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.term == 0 {
		return nil
	}
	maps.DeleteFunc(l.until, func(s directory.Seat, _ time.Duration) bool { return open[s.Node] != s.Session })
	maps.DeleteFunc(l.ending, func(s directory.Seat, _ bool) bool { return open[s.Node] != s.Session })
	for node, session := range open {
		seat := directory.Seat{Node: node, Session: session}
		until, known := l.until[seat]
		switch {
		case !known: // it was opened since
			l.until[seat] = now + ttl(node)
		case until <= now:
			l.ending[seat] = true
			all = append(all, seat)
		}
	}
	return all
}

// lead does a leader's work while this node is one.
func (g *Group) lead() {
	leads := false
	for g.life.Err() == nil {
		if leads {
			leads = g.reign()
			continue
		}
		select {
		case <-g.life.Done():
		case leads = <-g.raft.LeaderCh():
		}
	}
}

// reign returns when this node leads no more, or again in another term, as it says then: Raft tells
// only the last of what changed.
func (g *Group) reign() (again bool) {
	defer g.leases.stop()
	term := g.raft.CurrentTerm()
	if !g.catchUp(term) {
		return false // another change is told of
	}
	g.leases.begin(term, g.Sessions(), g.config.Clock(), g.ttl)
	g.config.Logger.Info("this node leads the directory")
	tick := time.NewTicker(g.config.TTL / 20)
	defer tick.Stop()
	for {
		select {
		case <-g.life.Done():
			return false
		case leads := <-g.raft.LeaderCh():
			return leads
		case <-tick.C:
			if g.state.failed() != nil {
				g.giveWay()
				continue
			}
			g.expire()
		}
	}
}

// barrierPause is between attempts to know what earlier leaders agreed on.
const barrierPause = 20 * time.Millisecond

// catchUp returns true when this node knows all that was agreed before it came to lead in a term, and false when
// it leads in that no more. Raft refuses a leader until the message by which it gave the lead away earlier is
// answered, and nobody tells when that is.
func (g *Group) catchUp(term uint64) bool {
	for g.raft.State() == raft.Leader && g.raft.CurrentTerm() == term {
		if g.await(g.life, g.raft.Barrier(0)) == nil {
			return g.raft.CurrentTerm() == term
		}
		if !pause.For(g.life, barrierPause) {
			return false
		}
	}
	return false
}

// giveWay has another node lead: this one applies nothing any more, and would answer for nobody.
func (g *Group) giveWay() {
	g.config.Logger.Error("this node applies nothing any more, and gives the lead away", "error", g.state.failed())
	if err := g.await(g.life, g.raft.LeadershipTransfer()); err != nil {
		g.config.Logger.Warn("no other node takes the lead yet", "error", err)
	}
}

// expire ends sessions whose leases have lapsed.
func (g *Group) expire() {
	for _, seat := range g.leases.lapsed(g.Sessions(), g.config.Clock(), g.ttl) {
		ctx, cancel := context.WithTimeout(g.life, g.config.TTL)
		_, err := g.change(ctx, directory.Command{Op: directory.End, Seat: seat})
		cancel()
		if err == nil || errors.Is(err, directory.ErrNoSession) {
			g.config.Logger.Warn("a node's lease has lapsed: its cells go to others", "node", seat.Node, "session", seat.Session)
		} // otherwise it is tried again
	}
}

// ttl of the leases of a node's session.
func (g *Group) ttl(node string) (ttl time.Duration) {
	g.state.read(func(d *directory.State, _ *roster.State) { ttl = d.Lease(node) })
	return cmp.Or(ttl, g.config.TTL)
}

// renew answers a node that wants to keep its lease, and has a say in whether this one leads.
func (g *Group) renew(seat directory.Seat, by readindex.Voice) error {
	if by.Node != seat.Node {
		return fmt.Errorf("%w: node %s asks for the lease of node %s", directory.ErrInvalid, by.Node, seat.Node)
	}
	// What it gets counts from before the question whether this node leads.
	until := g.config.Clock() + g.ttl(seat.Node)
	if err := g.mayJudge(); err != nil {
		return err
	}
	if g.Sessions()[seat.Node] != seat.Session {
		return fmt.Errorf("%w: %d of node %s", directory.ErrNoSession, seat.Session, seat.Node)
	}
	if err := g.leases.extend(seat, until); err != nil {
		return err
	}
	return g.stillLeads(g.life, by)
}
