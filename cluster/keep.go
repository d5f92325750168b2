package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"github.com/pyisolate/pyisolate/cluster/members"
	"github.com/pyisolate/pyisolate/cluster/pki"
	"github.com/pyisolate/pyisolate/cluster/roster"
)

var errNotExist = fs.ErrNotExist

const (
	// keepEvery is how often this node looks at what nobody tells it of.
	keepEvery = time.Second
	// askTime is how long another node may take for an answer that it has ready.
	askTime = time.Second
)

// ---- who is known -------------------------------------------------------------------------------

// lookup is the address of a node, for the wire. As long as this node has not caught up, each of the addresses
// that somebody knows has its turn: one that is wrong must not be in the way of one that is right. Among them
// is what a node says of itself by gossip, for who is there proves by its certificate who it is.
func (c *Cluster) lookup(node string) (string, error) {
	var at []string
	add := func(address string) {
		if address != "" && !slices.Contains(at, address) {
			at = append(at, address)
		}
	}
	m, known := c.roster().Member(node)
	add(m.Address)
	for _, r := range c.hints.all() {
		hinted, ok := r.Member(node)
		known = known || ok
		add(hinted.Address)
	}
	if known && !c.current.Load() {
		add(c.presence.at(node))
	}
	if len(at) == 0 {
		return "", fmt.Errorf("%w: %.80s", roster.ErrNoMember, node)
	}
	return at[c.lookups.Add(1)%uint64(len(at))], nil
}

func (c *Cluster) isMember(node string) bool {
	_, ok := c.roster().Member(node)
	return ok
}

// allow tells the wire why a node is not let in. As long as this node has not caught up, a member may
// have a newer key than those that are known here: one with a certificate that lapses later than
// theirs. The authority signs none for whom the cluster has removed. And there may be members that
// only others know.
func (c *Cluster) allow(p pki.Peer) error {
	r := c.roster()
	err := r.Allow(p.Name, p.Key)
	if err == nil || c.current.Load() {
		return err
	}
	for _, h := range c.hints.all() {
		if h.Allow(p.Name, p.Key) == nil {
			return nil
		}
	}
	m, ok := r.Member(p.Name)
	if !ok {
		return err
	}
	for _, k := range m.Keys {
		if !p.NotAfter.After(k.Until) {
			return err
		}
	}
	return nil
}

// seeds are where gossip finds the others.
func (c *Cluster) seeds() []string {
	all := slices.Clone(c.config.Seeds)
	for _, m := range c.roster().Members() {
		if at := gossipOf(m); m.Name != c.Self() && at != "" {
			all = append(all, at)
		}
	}
	return all
}

func gossipOf(m roster.Member) string {
	if m.Gossip != "" {
		return m.Gossip
	}
	at, err := after(m.Address)
	if err != nil {
		return ""
	}
	return at
}

// others are the names of all other members.
func (c *Cluster) others() (names []string) {
	for _, m := range c.roster().Members() {
		if m.Name != c.Self() {
			names = append(names, m.Name)
		}
	}
	return names
}

// ---- what follows from it -----------------------------------------------------------------------

// keep has this node go by the roster. It waits for no other node.
func (c *Cluster) keep() {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		c.look()
		nudge(c.errand)
		select {
		case <-c.life.Done():
			return
		case <-c.wake:
		case <-tick.C:
		}
	}
}

// errands tells others of this node, and gets from them what it needs.
func (c *Cluster) errands() {
	var said members.Meta
	for {
		if meta := c.meta(); !reflect.DeepEqual(meta, said) {
			said = meta
			if err := c.sayMeta(meta); err != nil && c.life.Err() == nil {
				c.log.Warn("the others are not told what this node is", "error", err)
			}
		}
		c.move()
		c.fetchAuthority()
		select {
		case <-c.life.Done():
			return
		case <-c.errand: // every second at least
		}
	}
}

// look takes up what the log says of the nodes. First go the connections of those who are none.
func (c *Cluster) look() {
	c.looking.Lock()
	defer c.looking.Unlock()
	applied := c.group.Applied() // before the roster, which may be newer
	if c.current.Load() || applied > c.known.Load().applied {
		c.adopt(applied)
	}
	c.wire.Recheck()
	c.followKeys()
	c.followPeers()
	c.tellRetired()
	if err := c.saveRoster(); err != nil {
		c.log.Error("the roster is not written; a restart would know an older one", "error", err)
	}
}

// adopt makes what the log says what this node goes by.
func (c *Cluster) adopt(applied uint64) {
	if r := c.group.Roster(); len(r.Members()) > 0 {
		c.known.Store(&known{r, applied})
	}
}

// tellRetired says once that this node is on its way out. Afterwards nobody would tell it.
func (c *Cluster) tellRetired() {
	m, ok := c.roster().Member(c.Self())
	retired := !ok || m.Retired
	if retired && !c.retired {
		c.log.Warn("this node is being removed from the cluster: stop it. To come back it has to join again")
	}
	c.retired = retired
}

// saveRoster writes what is known when it differs from what is there.
func (c *Cluster) saveRoster() error {
	now := *c.known.Load()
	text, err := now.roster.Encode()
	if err != nil || bytes.Equal(text, c.saved) {
		return err
	}
	if err := writeRoster(c.config.Dir, now); err != nil {
		return err
	}
	c.saved = text
	return nil
}

// Say has the others told soon what Config.Meta says now, which otherwise takes a second.
func (c *Cluster) Say() { nudge(c.errand) }

func (c *Cluster) meta() members.Meta {
	m := c.config.Meta()
	m.Wire = c.config.Advertise
	return m
}

func (c *Cluster) sayMeta(m members.Meta) error {
	ctx, cancel := context.WithTimeout(c.life, keepEvery)
	defer cancel()
	return c.members.SetMeta(ctx, m)
}

// move makes known where this node is, if the roster says something else.
func (c *Cluster) move() {
	m, ok := c.roster().Member(c.Self())
	if !ok || m.Address == c.config.Advertise && gossipOf(m) == c.config.GossipAdvertise {
		return
	}
	ctx, cancel := context.WithTimeout(c.life, askTime)
	defer cancel()
	err := c.anywhere(ctx, roster.Command{Op: roster.Move, Name: c.Self(), Address: c.config.Advertise, Gossip: c.config.GossipAdvertise})
	if err != nil && c.life.Err() == nil {
		c.log.Warn("the others do not know yet where this node is", "address", c.config.Advertise, "error", err)
	}
}

// fetchAuthority gets the authority for a node that votes.
func (c *Cluster) fetchAuthority() {
	if m, ok := c.roster().Member(c.Self()); !ok || !m.Voter || c.authority.Load() != nil {
		return
	}
	for _, node := range c.voters() {
		ctx, cancel := context.WithTimeout(c.life, askTime)
		text, err := c.control.Ask(ctx, node, topicAuthority, nil)
		cancel()
		if err == nil {
			err = c.takeAuthority(text)
		}
		if err == nil {
			c.log.Info("this node has the authority: it votes", "from", node)
			return
		}
		c.log.Debug("a node does not give the authority", "node", node, "error", err)
	}
}

func (c *Cluster) takeAuthority(text []byte) error {
	a, err := pki.DecodeAuthority(text)
	if err != nil {
		return err
	}
	if a.Fingerprint() != c.identity.Fingerprint() {
		return errors.New("it is another cluster's")
	}
	if err := a.Save(filepath.Join(c.config.Dir, authorityFile)); err != nil {
		return err
	}
	c.authority.Store(a)
	return nil
}
