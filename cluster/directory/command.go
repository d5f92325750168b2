package directory

import (
	"errors"
	"fmt"
	"time"

	"github.com/pyisolate/pyisolate/internal/strictjson"
)

// Op is what a command does.
type Op string

const (
	// Open begins a session of Seat.Node, whose leases last for Lease. An earlier one of the node
	// ends.
	Open Op = "open"
	// End ends the session Seat: its node leaves, or its lease has lapsed.
	End Op = "end"
	// Claim makes Cell, owned by Seat. A repetition with the same Request is no error.
	Claim Op = "claim"
	// Restart gives the owner Seat the next epoch: its guest was started anew.
	Restart Op = "restart"
	// Release forgets the cell. Its owner Seat does, and of a suspended one anybody.
	Release Op = "release"
	// Begin begins a migration of the name Request to Seat.
	Begin Op = "begin"
	// Freeze says that the owner Seat has stopped the guest, and that Nodes have Checkpoint on
	// their disks: itself and the target at least. With Remember, what counted before counts again when
	// the owner goes on.
	Freeze Op = "freeze"
	// Activate makes the target Seat of a frozen cell its owner.
	Activate Op = "activate"
	// Abort ends a migration: the owner goes on, in the next epoch.
	Abort Op = "abort"
	// Resume says that the owner Seat, which the cell has come back to, goes on with the guest that it had
	// stopped for a move, and needs Checkpoint, the move's, no more: what was before counts again.
	Resume Op = "resume"
	// Save replaces the checkpoint of a cell that the owner Seat runs. Nodes have it.
	Save Op = "save"
	// Copy says that Seat.Node has Checkpoint, too.
	Copy Op = "copy"
	// Drop says that Seat.Node will remove its copy. It may when that succeeded.
	Drop Op = "drop"
	// Adopt makes Seat, whose node has a copy, the owner of a suspended cell.
	Adopt Op = "adopt"
	// Yield gives a cell that the owner Seat cannot run to another node that has its checkpoint and has not
	// yielded it, in the next epoch. Where there is none, it is suspended.
	Yield Op = "yield"
	// Confine notes the policy that the owner Seat has put the cell under.
	Confine Op = "confine"
	// Recover says that Seat.Node is all that is left of the cluster: sessions end, cells are suspended,
	// and copies of checkpoints count where that node has them; with Earlier, of a cell that moved also of the
	// one before. Epochs go ahead by Epoch.
	Recover Op = "recover"
)

// Command is a change that somebody wishes. Which fields count depends on Op. All but Open, End
// and Claim name the epoch that the cell must be in. What is about checkpoints names the
// revision, too: who has which changes within an epoch, and a command that was sent again
// could undo what came between.
type Command struct {
	Op         Op       `json:"op"`
	Seat       Seat     `json:"seat,omitzero"`
	Cell       Cell     `json:"cell,omitzero"`
	Epoch      uint64   `json:"epoch,omitempty"`
	Revision   uint64   `json:"revision,omitempty"`
	Request    string   `json:"request,omitempty"`
	Checkpoint string   `json:"checkpoint,omitempty"`
	Nodes      []string `json:"nodes,omitempty"`
	Policy     string   `json:"policy,omitempty"`
	Version    uint64   `json:"version,omitempty"`
	// Remember is the command's, so that an entry of a version that did not know it means what it meant.
	Remember bool `json:"remember,omitempty"`
	// Earlier has a Recover go back to what counted before a move, where the node has that alone. It is the
	// command's, as Remember is.
	Earlier bool `json:"earlier,omitempty"`
	// Lease of a session, in nanoseconds; 0: as long as the leader has it. It is the session's, so
	// that a node and those who come to lead cannot differ.
	Lease time.Duration `json:"lease,omitempty"`
}

// MaxLease is the longest lease of a session.
const MaxLease = time.Hour

// Bounds of what a command carries, in bytes and in number.
const (
	maxName    = 64
	maxRequest = 128
	maxHash    = 128
	maxNodes   = 64
	maxPolicy  = 320
	maxCommand = 16 << 10
)

// ErrInvalid is of a command that makes no sense, whatever the state is.
var ErrInvalid = errors.New("invalid command")

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
// version, and refused: a node that left out what it does not know would have another state
// than the others.
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
		return fmt.Errorf("%w: %.32q is no change that this version knows; does another node run a newer one?", ErrInvalid, c.Op)
	}
	for what, text := range map[string]struct {
		s    string
		most int
	}{
		"node": {c.Seat.Node, maxName}, "tenant": {c.Cell.Tenant, maxName}, "name": {c.Cell.Name, maxName},
		"request": {c.Request, maxRequest}, "checkpoint": {c.Checkpoint, maxHash}, "policy": {c.Policy, maxPolicy},
	} {
		if len(text.s) > text.most {
			return fmt.Errorf("%w: the %s has %d bytes; %d is the most", ErrInvalid, what, len(text.s), text.most)
		}
	}
	if c.Lease < 0 || c.Lease > MaxLease {
		return fmt.Errorf("%w: a lease of %s; %s is the longest", ErrInvalid, c.Lease, MaxLease)
	}
	if len(c.Nodes) > maxNodes {
		return fmt.Errorf("%w: %d nodes; %d is the most", ErrInvalid, len(c.Nodes), maxNodes)
	}
	for _, n := range c.Nodes {
		if n == "" || len(n) > maxName {
			return fmt.Errorf("%w: a node's name has 1 to %d bytes", ErrInvalid, maxName)
		}
	}
	return nil
}
