package cluster

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/pyisolate/pyisolate/cluster/roster"
)

const (
	// catchUpPause is between looks whether this node knows what all have agreed on.
	catchUpPause = 300 * time.Millisecond
	// lostAfter is for how long no leader is heard until this node may have missed something. It
	// is longer than elections take.
	lostAfter = 2 * time.Second
)

// hints are what others say of who is a node, while this one may have missed it. Any of them may
// lie: a hint adds to what is known here, takes nothing from it, is not written down, and is
// forgotten when the log says what is so. Nothing else is believed of what it says than that a
// certificate of the authority's is a member's, and where a member is; who is at an address still has to
// show a certificate for its name.
type hints struct {
	mu sync.Mutex
	by map[string]*roster.State // who says it
}

func (h *hints) set(by string, r *roster.State) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.by == nil {
		h.by = map[string]*roster.State{}
	}
	h.by[by] = r
}

func (h *hints) clear() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.by = nil
}

// from has them by who gave them. They must not be changed.
func (h *hints) from() map[string]*roster.State {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.by)
}

// all of them, in the order of those who gave them. They must not be changed.
func (h *hints) all() (rosters []*roster.State) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, by := range slices.Sorted(maps.Keys(h.by)) {
		rosters = append(rosters, h.by[by])
	}
	return rosters
}

// catchUp asks the others whom they know, until this node knows what all have agreed on; and again when
// it has heard no leader for a while. Meanwhile those may have become unknown to it who would tell it.
func (c *Cluster) catchUp() {
	heard := time.Now()
	for {
		switch {
		case !c.current.Load():
			c.tryToCatchUp()
			heard = time.Now()
		case c.group.Leader() != "":
			heard = time.Now()
		case time.Since(heard) > lostAfter:
			c.log.Info("no leader is heard: this node may have missed something")
			c.current.Store(false)
		}
		select {
		case <-c.life.Done():
			return
		case <-time.After(catchUpPause):
		}
	}
}

func (c *Cluster) tryToCatchUp() {
	ctx, cancel := context.WithTimeout(c.life, askTime)
	err := c.group.Fence(ctx)
	cancel()
	if err == nil {
		c.caughtUp()
		return
	}
	var asking sync.WaitGroup
	for _, node := range c.others() {
		asking.Go(func() {
			if r, err := c.askRoster(node); err == nil {
				c.hints.set(node, r)
			}
		})
	}
	asking.Wait()
}

// caughtUp has this node go by the log, whatever it went by before.
func (c *Cluster) caughtUp() {
	c.looking.Lock()
	c.adopt(c.group.Applied())
	c.looking.Unlock()
	c.current.Store(true)
	c.hints.clear()
	c.wire.Recheck()
	nudge(c.wake)
}

func (c *Cluster) askRoster(node string) (*roster.State, error) {
	ctx, cancel := context.WithTimeout(c.life, askTime)
	defer cancel()
	text, err := c.control.Ask(ctx, node, topicRoster, nil)
	if err != nil {
		return nil, err
	}
	k, err := decodeRoster(text)
	return k.roster, err
}
