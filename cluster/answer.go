package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/pyisolate/pyisolate/cluster/control"
	"github.com/pyisolate/pyisolate/cluster/enroll"
	"github.com/pyisolate/pyisolate/cluster/group"
	"github.com/pyisolate/pyisolate/cluster/pki"
	"github.com/pyisolate/pyisolate/cluster/roster"
	"github.com/pyisolate/pyisolate/internal/strictjson"
)

// Topics of package control that nodes ask each other on.
const (
	topicDirectory = "directory"
	topicLease     = control.Urgent + "directory" // what of it leases hang on
	topicPolicy    = "policy"
	topicAsk       = "policy/ask" // what of it changes nothing
	topicReport    = "cluster/report"
	topicRoster    = "cluster/roster"
	topicRotate    = "cluster/rotate"
	topicAdmit     = "cluster/admit"
	topicMove      = "cluster/move"
	topicFarewell  = "cluster/farewell"
	topicAuthority = "cluster/authority"
)

// handle answers other nodes from now on. Who asks has a certificate that the roster knows; what it
// may ask for is decided here, or by the group.
func (c *Cluster) handle() error {
	return errors.Join(
		c.control.Handle(topicDirectory, func(ctx context.Context, from string, request []byte) ([]byte, error) {
			return c.group.Answer(ctx, from, request), nil
		}),
		c.control.Handle(topicLease, func(ctx context.Context, from string, request []byte) ([]byte, error) {
			if !group.Urgent(request) {
				return nil, errors.New("what was asked is not urgent")
			}
			return c.group.Answer(ctx, from, request), nil
		}),
		c.control.Handle(topicReport, func(context.Context, string, []byte) ([]byte, error) {
			return json.Marshal(c.report())
		}),
		c.control.Handle(topicRoster, func(context.Context, string, []byte) ([]byte, error) {
			return encodeRoster(*c.known.Load())
		}),
		c.control.Handle(topicRotate, func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
			return nil, c.rotateHere(ctx)
		}),
		c.control.Handle(topicAdmit, c.answerAdmit),
		c.control.Handle(topicMove, c.answerMove),
		c.control.Handle(topicFarewell, c.answerFarewell),
		c.control.Handle(topicAuthority, c.answerAuthority),
		c.control.Handle(enroll.Topic, c.answerRenew),
	)
}

// ---- certificates -------------------------------------------------------------------------------

var errNoAuthority = errors.New("this node does not have the authority's key")

// answerRenew signs for the node that asks.
func (c *Cluster) answerRenew(ctx context.Context, from string, request []byte) ([]byte, error) {
	a := c.authority.Load()
	if a == nil {
		return nil, errNoAuthority
	}
	return enroll.Renewer(a, certificateLife, c.noteKey)(ctx, from, request)
}

// noteKey implements enroll.Note.
func (c *Cluster) noteKey(ctx context.Context, node string, key [sha256.Size]byte, until time.Time) error {
	_, err := c.enrol(ctx, roster.Command{Op: roster.Renew, Name: node, Key: key[:], Until: until})
	return err
}

// enrol changes the roster by what does no harm when it is done twice: it is tried until it is known
// whether it was done.
func (c *Cluster) enrol(ctx context.Context, cmd roster.Command) (out roster.Outcome, err error) {
	for {
		if out, err = c.group.Enrol(ctx, cmd); !errors.Is(err, group.ErrUncertain) || !pause(ctx) {
			return out, err
		}
	}
}

// renewal has a certificate of this node signed: here, or by another that can.
func (c *Cluster) renewal() enroll.Sign {
	elsewhere := enroll.SignedBy(c.control, c.voters)
	return func(ctx context.Context, request []byte) ([]byte, error) {
		if c.authority.Load() == nil {
			return elsewhere(ctx, request)
		}
		return c.answerRenew(ctx, c.Self(), request)
	}
}

// answerAuthority gives the authority to those who vote, and nobody else: they are the log, which
// decides who is a node.
func (c *Cluster) answerAuthority(ctx context.Context, from string, _ []byte) ([]byte, error) {
	if err := c.group.Fence(ctx); err != nil { // it may have been removed a moment ago
		return nil, err
	}
	if m, ok := c.group.Roster().Member(from); !ok || !m.Voter {
		return nil, fmt.Errorf("node %s does not vote", from)
	}
	a := c.authority.Load()
	if a == nil {
		return nil, errNoAuthority
	}
	c.log.Info("a node that votes gets the authority", "node", from)
	return a.Encode()
}

// ---- new nodes ----------------------------------------------------------------------------------

// admit lets a new node in, here or at a node that has the authority.
func (c *Cluster) admit(ctx context.Context, p enroll.Petition) (enroll.Admission, error) {
	if a := c.authority.Load(); a != nil {
		return c.admitHere(ctx, a, p)
	}
	text, err := json.Marshal(p)
	if err != nil {
		return enroll.Admission{}, err
	}
	failed := errNoAuthority
	for _, node := range c.voters() {
		back, err := c.control.Ask(ctx, node, topicAdmit, text)
		if err != nil {
			failed = errors.Join(failed, err)
			continue // whoever shows the same key again is let in again
		}
		var a admitted
		if err := strictjson.Unmarshal(back, &a); err != nil {
			return enroll.Admission{}, err
		}
		return a.Admission, a.err()
	}
	return enroll.Admission{}, failed
}

// admitted is what became of a petition at another node.
type admitted struct {
	enroll.Admission
	Refused string `json:"refused,omitempty"`
	Text    string `json:"text,omitempty"`
}

// refusals are the reasons that a new node hears of.
var refusals = map[string]error{
	"token": pki.ErrToken, "lapsed": pki.ErrLapsed, "used": pki.ErrUsed, "request": pki.ErrRequest, "name": enroll.ErrName, "address": enroll.ErrAddress,
}

func (a admitted) err() error {
	if a.Refused == "" {
		return nil
	}
	if reason, ok := refusals[a.Refused]; ok {
		return fmt.Errorf("%w (%s)", reason, a.Text)
	}
	return errors.New(a.Text)
}

// answerAdmit does it for a node that has been asked and cannot sign.
func (c *Cluster) answerAdmit(ctx context.Context, _ string, request []byte) ([]byte, error) {
	var p enroll.Petition
	if err := strictjson.Unmarshal(request, &p); err != nil {
		return nil, err
	}
	authority := c.authority.Load()
	if authority == nil {
		return nil, errNoAuthority
	}
	var a admitted
	var err error
	if a.Admission, err = c.admitHere(ctx, authority, p); err != nil {
		a.Refused, a.Text = "other", err.Error()
		for word, reason := range refusals {
			if errors.Is(err, reason) {
				a.Refused = word
			}
		}
	}
	return json.Marshal(a)
}

// admitHere redeems the invitation, and then signs. Of one who shows none the log hears nothing. It is not certain that a node is let in whose
// answer was lost; to let it in again does no harm, so it is tried until it is.
func (c *Cluster) admitHere(ctx context.Context, a *pki.Authority, p enroll.Petition) (enroll.Admission, error) {
	key, err := pki.KeyOf(p.Request)
	if err != nil {
		return enroll.Admission{}, err
	}
	if err := c.invited(ctx, p); err != nil {
		return enroll.Admission{}, asToken(err)
	}
	cmd := roster.Command{
		Op: roster.Admit, ID: p.Token, Secret: p.Secret, Name: p.Name, Address: p.Address, Gossip: p.Gossip,
		Key: key[:], Until: time.Now().Add(certificateLife),
	}
	if err := occupied(c.group.Roster(), cmd); err != nil {
		return enroll.Admission{}, err
	}
	_, err = c.enrol(ctx, cmd)
	if errors.Is(err, roster.ErrTaken) {
		err = fmt.Errorf("%w: %w", enroll.ErrName, err)
	}
	if err != nil {
		return enroll.Admission{}, asToken(err)
	}
	cert, err := a.Sign(p.Request, p.Name, certificateLife)
	if err != nil {
		return enroll.Admission{}, err
	}
	if err := c.group.Fence(ctx); err != nil { // to know it here, too
		return enroll.Admission{}, err
	}
	applied := c.group.Applied()
	known, err := encodeRoster(known{c.group.Roster(), applied})
	return enroll.Admission{Certificate: cert, Roster: known}, err
}

// occupied says which member is where a new one would be, with whom it could not be reached. That a node comes
// again is none of its business, nor what else the log has against it.
func occupied(r *roster.State, admit roster.Command) error {
	all := r.Members()
	if _, known := r.Member(admit.Name); known {
		return nil
	}
	admit.At = time.Now()
	out, err := r.Apply(admit)
	if err != nil {
		return nil //nolint:nilerr // the log says so, too
	}
	wanted := []string{place(out.Member.Address), place(gossipOf(out.Member))}
	for _, m := range all {
		for _, at := range []string{m.Address, gossipOf(m)} {
			if at != "" && slices.Contains(wanted, place(at)) {
				return fmt.Errorf("%w: node %s is at %s; choose another, or remove that node first", enroll.ErrAddress, m.Name, at)
			}
		}
	}
	return nil
}

// place is an address in the form in which two are compared. No name server is asked: of names it is what
// they say, and localhost is where a node of that name listens.
func place(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "localhost" {
		host = "127.0.0.1"
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.Unmap().String()
	}
	return net.JoinHostPort(host, strings.TrimLeft(port, "0"))
}

// invited says why a petition is of nobody who was invited. An invitation may be newer than what is known here.
func (c *Cluster) invited(ctx context.Context, p enroll.Petition) error {
	err := c.group.Roster().Invited(p.Token, p.Secret)
	if !errors.Is(err, roster.ErrNoInvite) {
		return err
	}
	if err := c.fences.pass(ctx, c.group.Fence); err != nil {
		return err
	}
	return c.group.Roster().Invited(p.Token, p.Secret)
}

// asToken is an error as the new node hears of it.
func asToken(err error) error {
	if errors.Is(err, roster.ErrNoInvite) {
		return fmt.Errorf("%w: %w", pki.ErrToken, err)
	}
	return err
}

// ---- where nodes are ----------------------------------------------------------------------------

// answerMove notes where the node that asks is, for one that no leader can reach.
func (c *Cluster) answerMove(ctx context.Context, from string, request []byte) ([]byte, error) {
	cmd, err := roster.Decode(request)
	if err == nil && (cmd.Op != roster.Move || cmd.Name != from) {
		err = fmt.Errorf("%w: node %s asks for another change than where it is", roster.ErrInvalid, from)
	}
	if err == nil {
		_, err = c.enrol(ctx, cmd)
	}
	return nil, err
}

// anywhere proposes a change of where this node is: itself, or by way of another if it hears of no
// leader.
func (c *Cluster) anywhere(ctx context.Context, cmd roster.Command) error {
	if c.group.Leader() != "" {
		_, err := c.enrol(ctx, cmd)
		return err
	}
	text, err := cmd.Encode()
	if err != nil {
		return err
	}
	failed := group.ErrNoLeader
	for _, node := range c.others() {
		_, err := c.control.Ask(ctx, node, topicMove, text)
		if err == nil {
			return nil
		}
		failed = errors.Join(failed, err)
	}
	return failed
}

// voters are the other nodes that vote, and so may sign.
func (c *Cluster) voters() (names []string) {
	for _, m := range c.roster().Members() {
		if m.Voter && m.Name != c.Self() {
			names = append(names, m.Name)
		}
	}
	return names
}

// ---- reports ------------------------------------------------------------------------------------

// report is what a node tells others of how far it is.
type report struct {
	// Applied is the last change of directory and roster that it knows.
	Applied uint64 `json:"applied"`
	// Keys of gossip that it has, by their ids in package members; the first seals.
	Keys []string `json:"keys"`
	// Directory and Policies are the servers of these groups, if it leads them.
	Directory []string `json:"directory,omitempty"`
	Policies  []string `json:"policies,omitempty"`
}

func (c *Cluster) report() report {
	r := report{Applied: c.group.Applied()}
	if c.members != nil {
		r.Keys = c.members.Keys()
	}
	if d := (directoryGroup{c}); d.Leading() {
		r.Directory = names(d)
	}
	if p := c.policies.Load(); p != nil && p.Leading() {
		r.Policies = names(p)
	}
	return r
}

// names of the servers of a group; none if it does not tell.
func names(g membership) []string {
	servers, err := g.Servers()
	if err != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(servers))
}

// without tells whether a report is of the leader of a group that does not have a node.
func without(group []string, node string) bool {
	return len(group) > 0 && !slices.Contains(group, node)
}

// ask has a node report. Every field that this version does not know is ignored.
func (c *Cluster) ask(ctx context.Context, node string) (r report, err error) {
	if node == c.Self() {
		return c.report(), nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	text, err := c.control.Ask(ctx, node, topicReport, nil)
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	return r, err
}

// reports are those of the nodes that answer.
func (c *Cluster) reports(ctx context.Context, nodes []string) map[string]report {
	type one struct {
		node string
		report
		err error
	}
	answers := make(chan one, len(nodes))
	for _, node := range nodes {
		go func() {
			r, err := c.ask(ctx, node)
			answers <- one{node, r, err}
		}()
	}
	all := map[string]report{}
	for range nodes {
		if a := <-answers; a.err == nil {
			all[a.node] = a.report
		}
	}
	return all
}

// has tells whether a report has a key.
func (r report) has(key string) bool { return slices.Contains(r.Keys, key) }
