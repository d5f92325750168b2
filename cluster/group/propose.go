package group

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/cluster/directory"
	"github.com/pyisolate/pyisolate/cluster/pki"
	"github.com/pyisolate/pyisolate/cluster/roster"
	"github.com/pyisolate/pyisolate/internal/failpoint"
	"github.com/pyisolate/pyisolate/internal/readindex"
)

// request is what a node asks of the leader. One field is set, and Term.
type request struct {
	Propose json.RawMessage `json:"propose,omitempty"` // a command of the directory
	Enrol   json.RawMessage `json:"enrol,omitempty"`   // one of the roster
	Renew   *directory.Seat `json:"renew,omitempty"`
	Index   bool            `json:"index,omitempty"`
	Poll    bool            `json:"poll,omitempty"` // in which of Raft's terms the node is; of any
	// Term of Raft in which whoever asks is.
	Term uint64 `json:"term,omitempty"`
}

// At the leader, when what was proposed is agreed; and at who proposed it, when that is known there.
var (
	proposedPoint = failpoint.New("group.proposed")
	answeredPoint = failpoint.New("group.answered")
)

// maxRequest bounds what another node may ask, in bytes.
const maxRequest = 32 << 10

// Answer does for another node what it asked of this one by way of [Peers].
func (g *Group) Answer(ctx context.Context, from string, b []byte) []byte {
	var q request
	var a answer
	err := json.Unmarshal(b, &q)
	if len(b) > maxRequest || err != nil {
		err = fmt.Errorf("%w: a request of node %s cannot be read", directory.ErrInvalid, from)
	} else {
		a, err = g.answer(ctx, from, q)
	}
	if err != nil {
		a.fail(err)
	}
	out, err := json.Marshal(a)
	if err != nil {
		return []byte(`{"error":"failed","message":"the answer cannot be written"}`)
	}
	return out
}

func (g *Group) answer(ctx context.Context, from string, q request) (a answer, err error) {
	switch {
	case q.Propose != nil:
		c, err := directory.Decode(q.Propose)
		if err == nil {
			r, _ := g.Find(c.Cell)
			err = mayPropose(from, c, r)
		}
		if old := g.mayJudge(); err != nil && old != nil { // by records that are old
			err = old
		}
		if err != nil {
			return a, err
		}
		out, err := g.change(ctx, c)
		return answer{Outcome: &out}, err
	case q.Enrol != nil:
		c, err := roster.Decode(q.Enrol)
		if err == nil {
			err = g.mayEnrol(from, c)
		}
		if old := g.mayJudge(); old != nil { // by a roster that is old
			err = old
		}
		if err != nil {
			return a, err
		}
		out, err := g.enrol(ctx, c)
		return answer{Outcome: &out}, err
	case q.Renew != nil:
		return answer{TTL: g.ttl(q.Renew.Node)}, g.renew(*q.Renew, readindex.Voice{Node: from, Term: q.Term})
	case q.Index:
		a.Index, err = g.readIndex(ctx, readindex.Voice{Node: from, Term: q.Term})
		return a, err
	case q.Poll:
		return answer{Term: g.raft.CurrentTerm()}, nil
	}
	return a, fmt.Errorf("%w: node %s asks what this version does not know", directory.ErrInvalid, from)
}

// mayJudge says why this node cannot judge what others ask, or nil: it leads, and knows all that was agreed.
func (g *Group) mayJudge() error {
	if !g.leases.ready() {
		return fmt.Errorf("%w: node %s does not lead, or not yet", ErrNoLeader, g.config.Node)
	}
	return g.applies()
}

// applies is nil as long as this node applies what is agreed. One that does not must not propose: it could tell nobody
// what became of it.
func (g *Group) applies() error {
	if err := g.state.failed(); err != nil {
		return fmt.Errorf("%w: node %s applies nothing any more: %w", ErrNoLeader, g.config.Node, err)
	}
	return nil
}

// mayPropose keeps nodes from speaking for others: a session is opened, ended and used by its own, a cell is
// moved by its owner or by the target of the move, yielded by its owner, and a copy is dropped, or a
// suspended cell adopted, by a node that has one. r is the cell's record here; it has the same owner for
// all of an epoch, and what else of it has changed since is looked at again by the directory.
func mayPropose(from string, c directory.Command, r directory.Record) error {
	if c.Op != directory.Begin && c.Seat.Node != "" && c.Seat.Node != from { // Begin names the target
		return fmt.Errorf("%w: node %s asks for a change by node %s", directory.ErrInvalid, from, c.Seat.Node)
	}
	allowed := from == r.Owner.Node || from == r.Target.Node
	switch c.Op {
	case directory.Recover: // whoever does has no other node
		return fmt.Errorf("%w: node %s asks for a recovery", directory.ErrInvalid, from)
	case directory.Abort, directory.Freeze, directory.Activate, directory.Copy:
	case directory.Begin, directory.Yield:
		allowed = from == r.Owner.Node
	case directory.Adopt, directory.Drop:
		allowed = r.Holds(from)
	default:
		return nil
	}
	switch {
	case r.Epoch == 0:
		return fmt.Errorf("%w: %s", directory.ErrNoCell, c.Cell)
	case r.Epoch != c.Epoch:
		return fmt.Errorf("%w: %s is in epoch %d, %s names %d", directory.ErrStale, c.Cell, r.Epoch, c.Op, c.Epoch)
	case !allowed:
		return fmt.Errorf("%w: node %s may not ask for %s of %s, which is with node %q", directory.ErrInvalid, from, c.Op, c.Cell, r.Owner.Node)
	}
	return nil
}

// mayEnrol keeps nodes from deciding what others have to. Who votes is the leader's to say, since
// voters get the authority; whom to give a certificate, of those who have the authority; where a
// node is, its own. One that is about to be removed invites nobody: it could be itself.
func (g *Group) mayEnrol(from string, c roster.Command) error {
	member, known := g.Roster().Member(from)
	allowed := known
	switch c.Op {
	case roster.Found, roster.Promote:
		allowed = false
	case roster.Admit, roster.Renew:
		allowed = member.Voter
	case roster.Move:
		allowed = known && (from == c.Name || member.Voter)
	case roster.Invite:
		allowed = known && !member.Retired
		if err := mayInvite(c.Invite, time.Now()); allowed && err != nil {
			return fmt.Errorf("%w: node %.80s invites: %w", roster.ErrInvalid, from, err)
		}
	}
	if !allowed {
		return fmt.Errorf("%w: node %.80s may not ask for %s of %.80s", roster.ErrInvalid, from, c.Op, c.Name)
	}
	return nil
}

// clockLeeway is how far the clock of a node that invites may be ahead of the leader's.
const clockLeeway = 5 * time.Minute

// mayInvite holds another node's invitation to what pki.Token.Invite makes.
func mayInvite(v *pki.Invite, now time.Time) error {
	switch {
	case v.Name != "" && !pki.ValidName(v.Name):
		return fmt.Errorf("%.80q cannot name a node", v.Name)
	case v.Expires.After(now.Add(pki.MaxInvite + clockLeeway)):
		return fmt.Errorf("until %s; %s from now is the most", v.Expires.Format(time.RFC3339), pki.MaxInvite)
	}
	return nil
}

// Propose changes the directory. With ErrUncertain it may have: look at the record. It
// waits for a leader until ctx ends.
func (g *Group) Propose(ctx context.Context, c directory.Command) (directory.Outcome, error) {
	text, err := c.Encode()
	if err != nil {
		return directory.Outcome{}, err
	}
	out, err := g.proposed(ctx, func(ctx context.Context) (outcome, error) { return g.change(ctx, c) }, request{Propose: text})
	return out.Directory, err
}

// Enrol changes the roster, as Propose does the directory. The leader may propose any change, the
// others what mayEnrol says: any member invites and removes, voters admit and renew.
func (g *Group) Enrol(ctx context.Context, c roster.Command) (roster.Outcome, error) {
	text, err := c.Encode()
	if err != nil {
		return roster.Outcome{}, err
	}
	out, err := g.proposed(ctx, func(ctx context.Context) (outcome, error) { return g.enrol(ctx, c) }, request{Enrol: text})
	return out.Roster, err
}

func (g *Group) proposed(ctx context.Context, here func(context.Context) (outcome, error), q request) (out outcome, err error) {
	err = g.atLeader(ctx, func(ctx context.Context) (err error) {
		out, err = here(ctx)
		return err
	}, q, func(a answer) {
		if a.Outcome != nil {
			out = *a.Outcome
		}
	})
	answeredPoint.Hit()
	return out, err
}

// atLeader does something here when this node leads, and else asks who does. It begins anew
// while nothing can have been done.
func (g *Group) atLeader(ctx context.Context, here func(context.Context) error, q request, take func(answer)) error {
	pause := 5 * time.Millisecond
	for {
		err := g.attempt(ctx, here, q, take)
		if !errors.Is(err, ErrNoLeader) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", err, context.Cause(ctx))
		case <-g.life.Done():
			return ErrClosed
		case <-time.After(pause):
		}
		pause = min(2*pause, 100*time.Millisecond)
	}
}

func (g *Group) attempt(ctx context.Context, here func(context.Context) error, q request, take func(answer)) error {
	leader := g.Leader()
	switch leader {
	case "":
		return ErrNoLeader
	case g.config.Node:
		return here(ctx)
	}
	a, err := g.ask(ctx, leader, q)
	if err != nil {
		return err
	}
	take(a)
	return a.err()
}

// ask asks another node.
func (g *Group) ask(ctx context.Context, node string, q request) (a answer, err error) {
	q.Term = g.raft.CurrentTerm()
	b, err := json.Marshal(q)
	if err != nil {
		return a, err
	}
	back, err := g.config.Peers.Ask(ctx, node, b)
	if errors.Is(err, ErrNoLeader) {
		return a, err
	}
	if err == nil {
		err = json.Unmarshal(back, &a)
	}
	if err != nil {
		return a, fmt.Errorf("%w: node %s: %w", ErrUncertain, node, err)
	}
	return a, nil
}

// change puts a command of the directory on the log; this node must lead.
func (g *Group) change(ctx context.Context, c directory.Command) (outcome, error) {
	text, err := c.Encode()
	if err != nil {
		return outcome{}, err
	}
	return g.apply(ctx, append([]byte{ofDirectory}, text...))
}

// enrol puts one of the roster on the log, with the leader's time.
func (g *Group) enrol(ctx context.Context, c roster.Command) (outcome, error) {
	c.At = time.Now().UTC()
	text, err := c.Encode()
	if err != nil {
		return outcome{}, err
	}
	return g.apply(ctx, append([]byte{ofRoster}, text...))
}

// apply has an entry agreed. What a node could not read again would end applying for good, on all of
// them: it is refused.
func (g *Group) apply(ctx context.Context, entry []byte) (outcome, error) {
	if _, _, err := decode(entry); err != nil {
		return outcome{}, fmt.Errorf("the log cannot have this change: %w", err)
	}
	if err := g.applies(); err != nil {
		return outcome{}, err
	}
	within := 10 * time.Second
	if end, ok := ctx.Deadline(); ok {
		within = max(time.Until(end), time.Millisecond)
	}
	f := g.raft.Apply(entry, within)
	if err := g.await(ctx, f); err != nil {
		return outcome{}, raftError(err)
	}
	g.news.Committed(f.Index())
	proposedPoint.Hit()
	out, ok := f.Response().(outcome)
	if !ok {
		return outcome{}, fmt.Errorf("%w: the log answers %T", ErrUncertain, f.Response())
	}
	return out, out.err
}

// Settle waits until Raft has done what it was asked for, or ctx ends. What Raft has under way when it
// is shut down may never be answered.
func Settle(ctx context.Context, f raft.Future) error {
	done := make(chan error, 1)
	go func() { done <- f.Error() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// await is Settle that ends with the group, too.
func (g *Group) await(ctx context.Context, f raft.Future) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	defer context.AfterFunc(g.life, func() { end(ErrClosed) })()
	return Settle(ctx, f)
}

// raftError says whether something that Raft refused can have been done.
func raftError(err error) error {
	if errors.Is(err, raft.ErrNotLeader) || errors.Is(err, raft.ErrEnqueueTimeout) || errors.Is(err, raft.ErrLeadershipTransferInProgress) {
		return fmt.Errorf("%w: %w", ErrNoLeader, err)
	}
	return fmt.Errorf("%w: %w", ErrUncertain, err)
}
