package roster

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/pyisolate/pyisolate/cluster/pki"
	"github.com/pyisolate/pyisolate/internal/strictjson"
)

// Op is what a command does.
type Op string

const (
	// Found makes the first node, and the first gossip key, of a cluster that has none.
	Found Op = "found"
	// Invite keeps an invitation.
	Invite Op = "invite"
	// Withdraw forgets one.
	Withdraw Op = "withdraw"
	// Admit lets a node in that shows the secret of an invitation. A repetition with the same
	// key is no error.
	Admit Op = "admit"
	// Renew notes a member's next public key; the one before stays good until it lapses.
	Renew Op = "renew"
	// Move notes a member's addresses.
	Move Op = "move"
	// Promote notes that a member votes.
	Promote Op = "promote"
	// Retire notes that a member is about to be removed: it votes no more, and never will.
	Retire Op = "retire"
	// Remove takes a member out, for good. Another may have the name when it was invited.
	Remove Op = "remove"
	// AddKey has nodes open gossip with another key, too.
	AddKey Op = "key.add"
	// UseKey has them seal with it, when all open it.
	UseKey Op = "key.use"
	// DropKey ends one that nobody seals with any more.
	DropKey Op = "key.drop"
)

// Command is a change that somebody wishes. Which fields count depends on Op.
type Command struct {
	Op      Op        `json:"op"`
	Name    string    `json:"name,omitempty"`    // of the node that it is about
	Address string    `json:"address,omitempty"` // HOST:PORT
	Gossip  string    `json:"gossip,omitempty"`  // HOST:PORT, if it is not the port after Address
	Key     []byte    `json:"key,omitempty"`     // the hash of its public key, as pki.KeyOf tells it; or a gossip key
	At      time.Time `json:"at,omitzero"`       // the proposer's time
	// Until is when a certificate lapses, and its key with it.
	Until  time.Time   `json:"until,omitzero"`
	Invite *pki.Invite `json:"invite,omitempty"`
	ID     string      `json:"id,omitempty"` // of an invitation or a gossip key
	Secret []byte      `json:"secret,omitempty"`
}

const maxCommand = 16 << 10

// ErrInvalid is of a command that makes no sense, whatever the state is.
var ErrInvalid = errors.New("invalid change of the roster")

// Encode is a command as an entry of the log.
func (c Command) Encode() ([]byte, error) {
	if err := c.valid(); err != nil {
		return nil, err
	}
	entry, err := strictjson.Marshal(c, maxCommand) // Decode takes no more
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return entry, nil
}

// Decode reads an entry of the log. One with a field or Op that is not known is of a newer
// version, and refused.
func Decode(entry []byte) (Command, error) {
	if len(entry) > maxCommand {
		return Command{}, fmt.Errorf("%w: it has %d bytes; %d is the most", ErrInvalid, len(entry), maxCommand)
	}
	var c Command
	if err := strictjson.Unmarshal(entry, &c); err != nil {
		return Command{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return c, c.valid()
}

func (c Command) valid() error {
	if _, known := rules[c.Op]; !known {
		return fmt.Errorf("%w: %.32q is none that this version knows; does another node run a newer one?", ErrInvalid, c.Op)
	}
	if len(c.ID) > 64 || len(c.Secret) > 64 {
		return fmt.Errorf("%w: an id or a secret of more than 64 bytes", ErrInvalid)
	}
	switch c.Op {
	case AddKey:
		if len(c.Key) != gossipKey {
			return fmt.Errorf("%w: a gossip key has %d bytes", ErrInvalid, gossipKey)
		}
	case Invite:
		if c.Invite == nil || c.Invite.ID == "" || len(c.Invite.ID) > 64 || len(c.Invite.Hash) != sha256.Size {
			return fmt.Errorf("%w: an invitation has an id and a hash", ErrInvalid)
		}
	case Found, Admit, Renew, Move, Promote, Retire, Remove:
		return c.validNode()
	}
	return nil
}

// validNode is about what names a node.
func (c Command) validNode() error {
	if !pki.ValidName(c.Name) {
		return fmt.Errorf("%w: %.80q is no name of a node", ErrInvalid, c.Name)
	}
	if c.Op == Found || c.Op == Admit || c.Op == Move {
		if err := pki.ValidAddress(c.Address); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	if err := pki.ValidAddress(c.Gossip); c.Gossip != "" && err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if c.Op == Found || c.Op == Admit || c.Op == Renew {
		if len(c.Key) != sha256.Size || c.Until.IsZero() {
			return fmt.Errorf("%w: %s names no key of node %s, or no end of it", ErrInvalid, c.Op, c.Name)
		}
	}
	return nil
}
