package node

import (
	"context"
	"strings"

	"github.com/pyisolate/pyisolate/policystore"
)

// signed has sources of policies go on that a user of this machine asked for when the node was by itself,
// and was called by no node's name: in a cluster nodes speak for users who are.
type signed struct {
	*policystore.Store
	at string // "@" and this node's name, "" by itself
}

// Put implements refresh.Store.
func (s signed) Put(ctx context.Context, p policystore.Principal, r policystore.PutRequest) (policystore.Version, error) {
	return s.Store.Put(ctx, s.sign(p), r)
}

func (s signed) sign(p policystore.Principal) policystore.Principal {
	if p.TokenID == "" && !strings.Contains(p.Name, "@") {
		p.Name += s.at
	}
	return p
}
