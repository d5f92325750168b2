package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/pyisolate/pyisolate/cluster/group"
	"github.com/pyisolate/pyisolate/cluster/pki"
	"github.com/pyisolate/pyisolate/cluster/roster"
	"github.com/pyisolate/pyisolate/internal/durable"
)

const (
	// pollPause is between looks at what other nodes have done.
	pollPause = 50 * time.Millisecond
	// stepTime bounds a wait for others when the context does not.
	stepTime = 30 * time.Second
	// agreeingTime bounds the wait for a majority that answers.
	agreeingTime = 10 * time.Second
)

// Remove takes another node out, for good: its certificates are refused from now on, its cells go to
// others when its lease has lapsed, and it gets no entries any more. It returns when the groups are
// without it. Invitations that are open are withdrawn: it may have made them. So is the one that it has used. Somebody who
// votes is not removed when too few of the others answer, [ErrQuorum], unless force is set; and never when the
// voters of now cannot agree.
func (c *Cluster) Remove(ctx context.Context, node string, force bool) error {
	if err := c.remove(ctx, node, force); err != nil {
		return fmt.Errorf("remove node %.80s: %w", node, err)
	}
	c.look() // who was removed is cut off here before anybody is told
	return nil
}

func (c *Cluster) remove(ctx context.Context, node string, force bool) error {
	if node == c.Self() {
		return fmt.Errorf("%w: it is this node; let it leave", roster.ErrInvalid)
	}
	if err := c.agreeing(ctx); err != nil {
		return err
	}
	if !force {
		if err := c.quorumWithout(ctx, node); err != nil {
			return err
		}
	}
	if _, err := c.enrol(ctx, roster.Command{Op: roster.Retire, Name: node}); err != nil {
		return err
	}
	if err := c.dropped(ctx, node); err != nil {
		return err
	}
	if err := c.strike(ctx, node); err != nil {
		return err
	}
	nudge(c.wake)
	c.gone(node)
	if err := c.withdrawAll(ctx, openInvites); err != nil {
		return fmt.Errorf("it is removed; invitations that are open, which it may have made, could not be withdrawn: do that: %w", err)
	}
	return nil
}

// open are the invitations that are: whoever was removed could come back by one that it made, and nobody
// knows who made which.
func openInvites(r *roster.State) []pki.Invite { return r.Invites(time.Time{}) }

// withdrawAll forgets some of the invitations that there are.
func (c *Cluster) withdrawAll(ctx context.Context, which func(*roster.State) []pki.Invite) error {
	if err := c.group.Fence(ctx); err != nil {
		return err
	}
	for _, v := range which(c.group.Roster()) {
		if err := c.Withdraw(ctx, v.ID); err != nil && !errors.Is(err, roster.ErrNoInvite) {
			return err
		}
	}
	return nil
}

// strike takes a name from the roster. To do it twice does no harm, so it is done until it is certain. The
// invitations that it has used go first: by one it could come back with the key that it had then, if that is
// not among the last, which are all that is remembered of it.
func (c *Cluster) strike(ctx context.Context, node string) error {
	used := func(r *roster.State) []pki.Invite { return r.UsedBy(node) }
	if err := c.withdrawAll(ctx, used); err != nil {
		return err
	}
	for again := false; ; again = true {
		_, err := c.group.Enrol(ctx, roster.Command{Op: roster.Remove, Name: node})
		switch {
		case again && errors.Is(err, roster.ErrNoMember):
			return nil
		case errors.Is(err, group.ErrUncertain) && pause(ctx):
			continue
		}
		return err
	}
}

// pause lets a moment pass before another attempt, and tells whether there is time for one.
func pause(ctx context.Context) bool {
	select {
	case <-time.After(pollPause):
		return true
	case <-ctx.Done():
		return false
	}
}

// agreeing is nil when a majority answers, whose agreement is then known here. What may take long for other
// reasons asks it first: no majority is told of soon.
func (c *Cluster) agreeing(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, agreeingTime)
	defer cancel()
	return c.group.Fence(ctx)
}

// quorumWithout tells why a node cannot go: those who vote then, and answer, are no majority.
func (c *Cluster) quorumWithout(ctx context.Context, node string) error {
	r := c.group.Roster()
	m, ok := r.Member(node)
	if !ok {
		return fmt.Errorf("%w: %.80s", roster.ErrNoMember, node)
	}
	if !m.Voter {
		return nil
	}
	var rest []string
	for _, m := range r.Members() {
		if m.Voter && m.Name != node {
			rest = append(rest, m.Name)
		}
	}
	answering := c.reports(ctx, rest)
	if need := len(rest)/2 + 1; len(answering) < need {
		silent := slices.DeleteFunc(rest, func(name string) bool { _, answers := answering[name]; return answers })
		return fmt.Errorf("%w: %d of %d are needed, %d answer; silent: %v; start them, or remove by force", ErrQuorum, need, len(rest), len(answering), silent)
	}
	return nil
}

// dropped waits until the groups are without a node that is retired. As long as they count on it, it
// must be reachable, or they might not agree on anything. Those alone are believed who vote: they could undo the
// groups anyway. Who leads them is no guide, since a node that leaves hears of no leader once it is let go.
func (c *Cluster) dropped(ctx context.Context, node string) error {
	return c.until(ctx, func(ctx context.Context) (bool, error) {
		directory, policies := false, c.policies.Load() == nil
		for name, r := range c.reports(ctx, append(c.others(), c.Self())) {
			if name == node || !c.votes(name) {
				continue
			}
			directory = directory || without(r.Directory, node)
			policies = policies || without(r.Policies, node)
		}
		return directory && policies, nil
	}, "it votes no more; the groups still have it")
}

// until looks again and again, and fails with what is in the way when the time is up.
func (c *Cluster) until(ctx context.Context, done func(context.Context) (bool, error), otherwise string) error {
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	for {
		is, err := done(ctx)
		if err != nil || is {
			return err
		}
		select {
		case <-time.After(pollPause):
		case <-ctx.Done():
			return fmt.Errorf("%w: %s: %w", ErrBehind, otherwise, context.Cause(ctx))
		case <-c.life.Done():
			return ErrClosed
		}
	}
}

// Leave takes this node out, for good: its guests end, its session, and its membership, and the
// authority's key is removed from its disk. Close has to follow. Afterwards Dir is nobody's, and the
// node can join again, also under its name. The errors are those of Remove.
func (c *Cluster) Leave(ctx context.Context) error {
	if err := c.leave(ctx); err != nil {
		return fmt.Errorf("leave the cluster: %w", err)
	}
	return nil
}

// MayLeave says why Leave would be refused now, or nil. It changes nothing.
func (c *Cluster) MayLeave(ctx context.Context) error {
	if err := c.mayLeave(ctx); err != nil {
		return fmt.Errorf("leave the cluster: %w", err)
	}
	return nil
}

func (c *Cluster) mayLeave(ctx context.Context) error {
	if len(c.others()) == 0 {
		return fmt.Errorf("%w: %s; to end the cluster, remove %s while the node does not run", roster.ErrLast, c.Self(), c.config.Dir)
	}
	if err := c.agreeing(ctx); err != nil {
		return err
	}
	if err := c.quorumWithout(ctx, c.Self()); err != nil && !errors.Is(err, roster.ErrNoMember) {
		return err
	}
	return nil
}

func (c *Cluster) leave(ctx context.Context) error {
	if err := c.mayLeave(ctx); err != nil {
		return err
	}
	if c.lease != nil {
		if err := c.lease.Release(ctx); err != nil {
			return err
		}
	}
	_, err := c.enrol(ctx, roster.Command{Op: roster.Retire, Name: c.Self()})
	if err == nil {
		err = c.dropped(ctx, c.Self())
	}
	if err != nil && !errors.Is(err, roster.ErrNoMember) {
		return err
	}
	if err := c.farewell(ctx); err != nil {
		return err
	}
	return c.forget()
}

// farewell has another node take this one from the roster. That one answers first: from then on this
// one would hear nothing.
func (c *Cluster) farewell(ctx context.Context) error {
	var failed error
	for _, node := range append(c.voters(), c.others()...) {
		_, err := c.control.Ask(ctx, node, topicFarewell, nil)
		if err == nil {
			return nil
		}
		failed = errors.Join(failed, err)
	}
	return failed
}

// farewellPause is for the answer to arrive.
const farewellPause = 200 * time.Millisecond

// answerFarewell takes the node that asks from the roster, soon. When that fails it stays retired,
// and can be removed.
func (c *Cluster) answerFarewell(ctx context.Context, from string, _ []byte) ([]byte, error) {
	if err := c.group.Fence(ctx); err != nil {
		return nil, err
	}
	if m, ok := c.group.Roster().Member(from); !ok || !m.Retired {
		return nil, fmt.Errorf("node %s is not retired", from)
	}
	c.work.Go(func() {
		select {
		case <-time.After(farewellPause):
		case <-c.life.Done():
		}
		ctx, cancel := context.WithTimeout(c.life, stepTime)
		defer cancel()
		if err := c.strike(ctx, from); err != nil && !errors.Is(err, roster.ErrNoMember) {
			c.log.Error("a node that left is in the roster still; remove it", "node", from, "error", err)
		}
	})
	return nil, nil
}

// forget makes Dir that of a node that is no member.
func (c *Cluster) forget() error {
	if err := os.Remove(filepath.Join(c.config.Dir, authorityFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	c.authority.Store(nil)
	err := os.Rename(filepath.Join(c.config.Dir, noteFile), filepath.Join(c.config.Dir, leftFile))
	return errors.Join(err, durable.SyncDir(c.config.Dir))
}
