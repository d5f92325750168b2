package cluster

import (
	"sync"
	"time"

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

// presence is what gossip said last of each.
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
				events = c.members.Watch(c.life)
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
		c.presence.set(node, Left, "")
		c.doubt(node)
	case members.Failed:
		c.presence.set(node, Failed, "")
		c.doubt(node)
	}
	if node != c.Self() && c.isMember(node) && e.Change != members.Updated {
		c.log.Info("a node is "+string(e.Change), "node", node, "address", e.Member.Address)
	}
}

// doubt looks whether a node is there that is said to be gone. Anybody with a key of gossip can say
// so; what comes of it is no more than a question.
func (c *Cluster) doubt(node string) {
	if node == c.Self() || !c.isMember(node) {
		return
	}
	c.work.Go(func() {
		if c.silent(node) {
			c.gone(node)
		}
	})
}

// silent tells whether a node does not answer, which is more than that somebody says so.
func (c *Cluster) silent(node string) bool {
	_, err := c.ask(c.life, node)
	return err != nil && c.life.Err() == nil
}
