package enroll

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/pyisolate/pyisolate/cluster/control"
	"github.com/pyisolate/pyisolate/cluster/pki"
)

// Topic of package control that certificates are renewed on.
const Topic = "renew"

// Note has the cluster know another key of a node, which is good until a time. When it returns
// without an error that must stand.
type Note func(ctx context.Context, node string, key [sha256.Size]byte, until time.Time) error

// Renewer answers requests of the topic at a node that has the authority: whoever asks gets a
// certificate for its own name, with a life as [pki.Authority.Sign] grants it, when its key is
// noted. The wire lets in none who is not allowed any more.
func Renewer(a *pki.Authority, life time.Duration, note Note) control.Handler {
	return func(ctx context.Context, from string, request []byte) ([]byte, error) {
		key, err := pki.KeyOf(request)
		if err != nil {
			return nil, err
		}
		if err := note(ctx, from, key, time.Now().Add(life)); err != nil {
			return nil, fmt.Errorf("note the key of node %s: %w", from, err)
		}
		return a.Sign(request, from, life)
	}
}

// SignedBy asks the nodes that have the authority, one after the other until one has signed. Each time another
// one is the first: what one signs may be of no use, since its clock is wrong.
func SignedBy(c *control.Control, nodes func() []string) Sign {
	var times atomic.Uint64
	return func(ctx context.Context, request []byte) ([]byte, error) {
		var failed error
		all, first := nodes(), times.Add(1)-1
		for n := range uint64(len(all)) {
			cert, err := c.Ask(ctx, all[(first+n)%uint64(len(all))], Topic, request)
			if err == nil {
				return cert, nil
			}
			failed = errors.Join(failed, err)
		}
		if failed == nil {
			failed = fmt.Errorf("%w: no node is known that has the authority", control.ErrNotDone)
		}
		return nil, failed
	}
}
