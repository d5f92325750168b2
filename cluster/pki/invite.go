package pki

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"time"
)

const (
	// DefaultInvite is how long an invitation lasts if nobody says.
	DefaultInvite = time.Hour
	// MaxInvite is how long one can last.
	MaxInvite = 7 * 24 * time.Hour
)

// Invite is what the cluster keeps of a [Token]. It belongs into the replicated state: only
// what all agree on is used once.
type Invite struct {
	// ID of the token.
	ID string `json:"id"`
	// Hash of the secret.
	Hash []byte `json:"hash"`
	// Name that the node must have, or empty.
	Name string `json:"name,omitempty"`
	// Expires is when it lapses.
	Expires time.Time `json:"expires"`
	// Key that joined with it, as [KeyOf] tells it, and as which node. None while it is unused.
	Key  []byte `json:"key,omitempty"`
	Node string `json:"node,omitempty"`
}

// Invite is what the cluster has to keep for the token to work: for a node of a certain name,
// or of any if that is empty, until it lapses at most [MaxInvite] from now.
func (t Token) Invite(name string, now time.Time, life time.Duration) (Invite, error) {
	if name != "" {
		if err := checkName(name); err != nil {
			return Invite{}, err
		}
	}
	if life <= 0 || life > MaxInvite {
		return Invite{}, fmt.Errorf("invite a node for %s: more than 0 and at most %s is right", life, MaxInvite)
	}
	return Invite{ID: t.ID(), Hash: secretHash(t.secret[:]), Name: name, Expires: now.Add(life).UTC()}, nil
}

func secretHash(secret []byte) []byte {
	sum := sha256.Sum256(append([]byte("pyisolate join secret\x00"), secret...))
	return sum[:]
}

// Verify tells whether a secret is that of the token. The error is [ErrToken].
func (v Invite) Verify(secret []byte) error {
	if subtle.ConstantTimeCompare(secretHash(secret), v.Hash) != 1 {
		return fmt.Errorf("%w: %.16s", ErrToken, v.ID)
	}
	return nil
}

// Redeem is the invitation after a node has joined with it: secret is what it showed, node the
// name it wants, key what [KeyOf] says of its request. The caller replaces the record by the
// result before it signs, or does not sign. It takes no clock of its own, so that all who apply
// it come to the same.
//
// A second time with the same key and name is not refused, until it lapses: the answer to the
// first may have been lost. The errors are [ErrToken], [ErrLapsed] and [ErrUsed]; whoever does
// not have the secret hears ErrToken, whatever the state of the invitation.
func (v Invite) Redeem(secret []byte, node string, key [sha256.Size]byte, now time.Time) (Invite, error) {
	if err := v.Verify(secret); err != nil {
		return v, err
	}
	if err := checkName(node); err != nil {
		return v, err
	}
	if v.Name != "" && v.Name != node {
		return v, fmt.Errorf("%w: %s is for node %s, not for %s", ErrToken, v.ID, v.Name, node)
	}
	if !now.Before(v.Expires) {
		return v, fmt.Errorf("%w: %s did at %s; make another with `cluster invite`", ErrLapsed, v.ID, v.Expires.Format(time.RFC3339))
	}
	if v.Key != nil && (v.Node != node || subtle.ConstantTimeCompare(v.Key, key[:]) != 1) {
		return v, fmt.Errorf("%w: %s by node %s; make another with `cluster invite`", ErrUsed, v.ID, v.Node)
	}
	v.Key, v.Node = key[:], node
	return v, nil
}
