package enroll

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/pyisolate/pyisolate/cluster/pki"
	"github.com/pyisolate/pyisolate/cluster/wire"
)

const (
	// attempts to join, of which all but the first are for lost answers.
	attempts = 3
	// answerTime is how long a cluster may take to answer.
	answerTime = 20 * time.Second
)

// Join makes this node one of the token's cluster: the request's name is the one it wants, or that
// the token is for, and address that of its port in package wire as the others reach it, host:port;
// gossip where it gossips, or empty. The caller saves the identity before anything else. With the key
// of the same request it is let in again, should it not have come so far. The errors are pki's,
// [ErrName], [ErrAddress], [ErrNotNow], and the network's.
func Join(ctx context.Context, t pki.Token, r *pki.Request, address, gossip string) (*pki.Identity, Admission, error) {
	name := r.Name()
	if err := pki.ValidAddress(address); err != nil {
		return nil, Admission{}, fmt.Errorf("join as %s: %w", name, err)
	}
	p := Petition{Token: t.ID(), Secret: t.Secret(), Name: name, Request: r.DER(), Address: address, Gossip: gossip}
	var lost error
	for range attempts {
		a, authority, err := petition(ctx, t, p)
		if err == nil {
			id, err := r.Accept(a.Certificate, authority)
			return id, a, err
		}
		lost = errors.Join(lost, err)
		if ctx.Err() != nil || !errors.Is(err, errLost) {
			break
		}
	}
	return nil, Admission{}, fmt.Errorf("join as %s: %w", name, lost)
}

// errLost: the petition was sent, and no answer came.
var errLost = errors.New("the connection was lost before the answer")

func petition(ctx context.Context, t pki.Token, p Petition) (Admission, []byte, error) {
	conn, authority, err := wire.DialJoin(ctx, t)
	if err != nil {
		return Admission{}, nil, err
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	a, err := exchange(conn, p)
	return a, authority, err
}

func exchange(conn net.Conn, p Petition) (Admission, error) {
	if err := conn.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return Admission{}, err
	}
	if err := json.NewEncoder(conn).Encode(p); err != nil {
		return Admission{}, fmt.Errorf("%w: %w", errLost, err)
	}
	a, err := readAnswer(conn)
	var refused bool
	for _, reason := range refusals {
		refused = refused || errors.Is(err, reason)
	}
	if err != nil && !refused && !errors.Is(err, ErrNotNow) {
		err = fmt.Errorf("%w: %w", errLost, err)
	}
	return a, err
}
