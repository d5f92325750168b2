package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pyisolate/pyisolate/cluster/group"
	"github.com/pyisolate/pyisolate/cluster/pki"
	"github.com/pyisolate/pyisolate/cluster/roster"
)

// Invite lets one more node in: one of a name, or with "" of any, within a time; 0 is
// [pki.DefaultInvite], and [pki.MaxInvite] is the most. The token is a secret, and used once. It
// names nodes to join at, this one first.
func (c *Cluster) Invite(ctx context.Context, name string, life time.Duration) (token string, v pki.Invite, err error) {
	t, err := pki.NewToken(c.identity.Fingerprint(), c.doors())
	if err != nil {
		return "", v, err
	}
	if v, err = t.Invite(name, time.Now(), cmp.Or(life, pki.DefaultInvite)); err != nil {
		return "", v, err
	}
	out, err := c.enrol(ctx, roster.Command{Op: roster.Invite, Invite: &v})
	if err != nil {
		return "", v, fmt.Errorf("invite a node: %w", err)
	}
	return t.Reveal(), out.Invite, nil
}

// doors are the addresses that a new node may try: of this node, of those that sign, of others.
func (c *Cluster) doors() []string {
	all := []string{c.config.Advertise}
	for _, signs := range []bool{true, false} {
		for _, m := range c.roster().Members() {
			if m.Name != c.Self() && m.Voter == signs && len(all) < pki.MaxAddresses {
				all = append(all, m.Address)
			}
		}
	}
	return all
}

// Invites that are open, as this node knows. They have hashes of secrets, and no secrets.
func (c *Cluster) Invites() []pki.Invite { return c.group.Roster().Invites(time.Now()) }

// Withdraw forgets an invitation, by its id. The error is [roster.ErrNoInvite] when there is none.
func (c *Cluster) Withdraw(ctx context.Context, id string) error {
	doubt := false
	for {
		_, err := c.group.Enrol(ctx, roster.Command{Op: roster.Withdraw, ID: id})
		switch {
		case err == nil, doubt && errors.Is(err, roster.ErrNoInvite): // it was done before
			return nil
		case errors.Is(err, group.ErrUncertain) && pause(ctx):
			doubt = true
			continue
		}
		return fmt.Errorf("withdraw an invitation: %w", err)
	}
}
