package cluster

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/pyisolate/pyisolate/cluster/control"
	"github.com/pyisolate/pyisolate/cluster/group"
	"github.com/pyisolate/pyisolate/cluster/members"
)

// Presence is what gossip says of a member. It is a hint.
type Presence string

const (
	// Alive: it answers.
	Alive Presence = "alive"
	// Failed: it did, and does not any more.
	Failed Presence = "failed"
	// Left: it said that it stops, and did.
	Left Presence = "left"
	// Unseen: it has not been seen since this node was started.
	Unseen Presence = "unseen"
)

// presence is what gossip said last of each member, and of whom it says that they are there.
type presence struct {
	mu   sync.Mutex
	last map[string]Presence
	wire map[string]string // where their ports between nodes are, of those who are there
}

func (p *presence) set(node string, is Presence, wire string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == nil {
		p.last, p.wire = map[string]Presence{}, map[string]string{}
	}
	p.last[node], p.wire[node] = is, wire
}

// forget has a node be Unseen again.
func (p *presence) forget(node string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.last, node)
	delete(p.wire, node)
}

// alive are the nodes that are said to be there.
func (p *presence) alive() (names []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for node, is := range p.last {
		if is == Alive {
			names = append(names, node)
		}
	}
	return names
}

// at is where a node says that its port between nodes is; "": it does not say.
func (p *presence) at(node string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wire[node]
}

func (p *presence) of(node string) Presence {
	p.mu.Lock()
	defer p.mu.Unlock()
	if is, ok := p.last[node]; ok {
		return is
	}
	return Unseen
}

// watch follows gossip, and the sessions.
func (c *Cluster) watch() {
	events := c.members.Watch(c.life)
	sessions := c.group.Sessions()
	for {
		select {
		case <-c.life.Done():
			return
		case e, ok := <-events:
			if !ok { // it was too far behind: begin again
				select {
				case <-c.life.Done():
					return
				case <-time.After(catchUpPause):
				}
				events = c.watchAgain()
				continue
			}
			c.seen(e)
		case <-c.seats:
			now := c.group.Sessions()
			for node := range sessions {
				if now[node] == 0 {
					c.gone(node)
				}
			}
			sessions = now
		}
	}
}

// seen takes what gossip says.
func (c *Cluster) seen(e members.Event) {
	node := e.Member.Name
	switch e.Change {
	case members.Joined, members.Updated:
		c.presence.set(node, Alive, e.Member.Meta.Wire)
		nudge(c.wake)
	case members.Left:
		c.missed(node, Left)
	case members.Failed:
		c.missed(node, Failed)
	}
	if node != c.Self() && c.isMember(node) && e.Change != members.Updated {
		c.log.Info("a node is "+string(e.Change), "node", node, "address", e.Member.Address)
	}
}

// missed notes that a node is not there any more. Of who is no member nothing is kept: there is no end to the names
// that somebody with a key of gossip can make up.
func (c *Cluster) missed(node string, is Presence) {
	if !c.isMember(node) {
		c.presence.forget(node)
		return
	}
	c.presence.set(node, is, "")
	c.doubt(node)
}

// watchAgain is members.Watch for one who has missed events: whoever went meanwhile is not told of.
func (c *Cluster) watchAgain() <-chan members.Event {
	events := c.members.Watch(c.life) // first: who goes after this is told of
	there := map[string]bool{}
	for _, m := range c.members.List() {
		there[m.Name] = true
	}
	for _, node := range c.presence.alive() {
		if !there[node] {
			c.missed(node, Failed)
		}
	}
	return events
}

// doubt looks whether a node is there that is said to be gone. Anybody with a key of gossip can say
// so; what comes of it is no more than a question.
func (c *Cluster) doubt(node string) {
	if node == c.Self() || !c.isMember(node) {
		return
	}
	c.work.Go(func() {
		if c.isMissing(node) {
			c.gone(node)
		}
	})
}

// isMissing tells of a node that was said to be gone whether it does not answer, and is not said to be back by now: the
// question may be lost on a connection that was cut off with it, while those after it get through.
func (c *Cluster) isMissing(node string) bool { return c.silent(node) && c.presence.of(node) != Alive }

// silent tells whether a node does not answer, which is more than that somebody says so. Whatever it answers shows
// that it is there, and the question is urgent: a node that is busy must not be taken for one that is dead.
func (c *Cluster) silent(node string) bool {
	ctx, cancel := context.WithTimeout(c.life, askTime)
	defer cancel()
	_, err := peers{c}.Ask(ctx, node, []byte(group.Probe))
	var refusal *control.Refusal
	answers := err == nil || errors.As(err, &refusal) || errors.Is(err, control.ErrTurnedAway)
	return !answers && c.life.Err() == nil
}
