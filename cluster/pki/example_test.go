package pki_test

import (
	"context"
	"fmt"
	"time"

	"github.com/pyisolate/pyisolate/cluster/pki"
)

// A cluster begins, and a node joins it.
func Example() {
	// The first node makes the authority, and an invitation; the token goes to the operator.
	authority, err := pki.Create("production")
	if err != nil {
		panic(err)
	}
	token, err := pki.NewToken(authority.Fingerprint(), []string{"10.0.0.1:7400"})
	if err != nil {
		panic(err)
	}
	invite, err := token.Invite("node-2", time.Now(), pki.DefaultInvite)
	if err != nil {
		panic(err)
	}

	// The new node makes a key, and shows the token and a request, by way of JoinClient.
	request, err := pki.NewRequest("node-2")
	if err != nil {
		panic(err)
	}

	// The cluster uses the invitation up, and signs.
	key, err := pki.KeyOf(request.DER())
	if err != nil {
		panic(err)
	}
	if invite, err = invite.Redeem(token.Secret(), "node-2", key, time.Now()); err != nil {
		panic(err)
	}
	certificate, err := authority.Sign(request.DER(), invite.Node, pki.DefaultLife)
	if err != nil {
		panic(err)
	}

	// From then on the node is one of the cluster's, and renews its certificate itself.
	identity, err := request.Accept(certificate, authority.Certificate())
	if err != nil {
		panic(err)
	}
	err = identity.Renew(context.Background(), func(_ context.Context, request []byte) ([]byte, error) {
		return authority.Sign(request, "node-2", pki.DefaultLife)
	})
	fmt.Println(identity.Name(), identity.Cluster() == authority.Cluster(), err)
	// Output: node-2 true <nil>
}
