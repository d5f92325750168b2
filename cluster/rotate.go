package cluster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"github.com/pyisolate/pyisolate/cluster/control"
	"github.com/pyisolate/pyisolate/cluster/group"
	"github.com/pyisolate/pyisolate/cluster/members"
	"github.com/pyisolate/pyisolate/cluster/roster"
)

// gossipKeys are the key that seals and those that only open.
func gossipKeys(r *roster.State) (seal []byte, open [][]byte) {
	for _, g := range r.Gossip() {
		if g.Used {
			seal = g.Key
		} else {
			open = append(open, g.Key)
		}
	}
	return seal, open
}

// followKeys has gossip use the keys that the roster has. New ones come first, and old ones go
// last: no packet is sealed with a key that is not there.
func (c *Cluster) followKeys() {
	seal, open := gossipKeys(c.roster())
	if seal == nil {
		return
	}
	now := map[string][]byte{}
	for _, key := range append(open, seal) {
		id := members.KeyID(key)
		now[id] = key
		if err := c.members.AddKey(key); err != nil {
			c.log.Error("a key of gossip is not added", "key", id, "error", err)
		}
	}
	if err := c.members.UseKey(seal); err != nil {
		c.log.Error("a key of gossip is not used", "key", members.KeyID(seal), "error", err)
	}
	for id, key := range c.keys {
		if _, stays := now[id]; stays {
			continue
		}
		if err := c.members.RemoveKey(key); err != nil {
			c.log.Error("a key of gossip stays", "key", id, "error", err)
			now[id] = key
		}
	}
	c.keys = now
}

// RotateKeys replaces the key that gossip is sealed with, in three steps: all open with the next,
// all seal with it, the others go. Before each of them all nodes that answer have done the one
// before; one that has a session and does not answer is [ErrBehind]. Nodes without one do all of it when
// they are back. When it was begun and not ended, another call begins anew, with another key. The node that leads
// does it, one after the other.
func (c *Cluster) RotateKeys(ctx context.Context) error {
	if err := c.agreeing(ctx); err != nil {
		return fmt.Errorf("rotate the key of gossip: %w", err)
	}
	for {
		err := c.rotateAtLeader(ctx)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, group.ErrNoLeader), errors.Is(err, control.ErrNotDone), errors.Is(err, group.ErrUncertain):
			if pause(ctx) {
				continue // anew
			}
		}
		return fmt.Errorf("rotate the key of gossip: %w", err)
	}
}

func (c *Cluster) rotateAtLeader(ctx context.Context) (err error) {
	switch leader := c.group.Leader(); leader {
	case "":
		return group.ErrNoLeader
	case c.Self():
		return c.rotateHere(ctx)
	default:
		_, err = c.control.Ask(ctx, leader, topicRotate, nil)
		return err
	}
}

func (c *Cluster) rotateHere(ctx context.Context) error {
	c.rotating.Lock()
	defer c.rotating.Unlock()
	if err := ctx.Err(); err != nil { // it has waited for another
		return err
	}
	return c.rotate(ctx)
}

func (c *Cluster) rotate(ctx context.Context) error {
	if err := c.group.Fence(ctx); err != nil {
		return err
	}
	next, err := c.nextKey(ctx)
	if err != nil {
		return err
	}
	id := members.KeyID(next.Key)
	if err := c.all(ctx, "key "+id+" is to be added", func(r report) bool { return r.has(id) }); err != nil {
		return err
	}
	if _, err := c.enrol(ctx, roster.Command{Op: roster.UseKey, ID: next.ID}); err != nil {
		return err
	}
	if err := c.all(ctx, "key "+id+" is to be used", func(r report) bool { return len(r.Keys) > 0 && r.Keys[0] == id }); err != nil {
		return err
	}
	if err := c.group.Fence(ctx); err != nil {
		return err
	}
	if err := c.dropAllBut(ctx, func(g roster.Gossip) bool { return g.ID == next.ID }); err != nil {
		return err
	}
	return c.all(ctx, "older keys are to go", func(r report) bool { return slices.Equal(r.Keys, []string{id}) })
}

// dropAllBut drops the keys that are not to be kept.
func (c *Cluster) dropAllBut(ctx context.Context, keep func(roster.Gossip) bool) error {
	for _, g := range c.group.Roster().Gossip() {
		if keep(g) {
			continue
		}
		if _, err := c.group.Enrol(ctx, roster.Command{Op: roster.DropKey, ID: g.ID}); err != nil {
			return err
		}
	}
	return nil
}

// nextKey is a new one. What else is not in use goes: all seal with the one in use, or will, and who was removed
// meanwhile may have one that is left of a rotation that was not ended, or have added it.
func (c *Cluster) nextKey(ctx context.Context) (roster.Gossip, error) {
	if err := c.dropAllBut(ctx, func(g roster.Gossip) bool { return g.Used }); err != nil {
		return roster.Gossip{}, err
	}
	secret := make([]byte, members.KeySize)
	_, _ = rand.Read(secret) // it never fails
	if _, err := c.enrol(ctx, roster.Command{Op: roster.AddKey, Key: secret}); err != nil {
		return roster.Gossip{}, err
	}
	if err := c.group.Fence(ctx); err != nil {
		return roster.Gossip{}, err
	}
	for _, g := range c.group.Roster().Gossip() {
		if string(g.Key) == string(secret) {
			return g, nil
		}
	}
	return roster.Gossip{}, fmt.Errorf("%w: the new one is gone already; does somebody else rotate?", roster.ErrNoKey)
}

// all waits until every member that answers, or has a session, has done something. What gossip says is not
// asked: by it whoever has a key could keep that key from being replaced.
func (c *Cluster) all(ctx context.Context, what string, did func(report) bool) error {
	nudge(c.wake)
	var behind []string
	err := c.until(ctx, func(ctx context.Context) (bool, error) {
		names := append(c.others(), c.Self())
		reports, sessions := c.reports(ctx, names), c.group.Sessions()
		behind = nil
		for _, name := range names {
			r, answers := reports[name]
			if answers && !did(r) || !answers && sessions[name] != 0 {
				behind = append(behind, name)
			}
		}
		return len(behind) == 0, nil
	}, what)
	if err != nil && len(behind) > 0 {
		return fmt.Errorf("on %v: %w", behind, err)
	}
	return err
}
