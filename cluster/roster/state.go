package roster

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pyisolate/pyisolate/cluster/pki"
)

// Why nothing changed.
var (
	// ErrNoMember: there is no node of that name.
	ErrNoMember = errors.New("no such node")
	// ErrTaken: the name is another node's.
	ErrTaken = errors.New("the name is another node's")
	// ErrFounded: the cluster has a first node already.
	ErrFounded = errors.New("the cluster has been founded")
	// ErrNoInvite: there is no invitation of that id.
	ErrNoInvite = errors.New("no such invitation")
	// ErrNoKey: there is no gossip key of that id, or it may not go yet.
	ErrNoKey = errors.New("no such gossip key")
	// ErrLimited: there is no room for more.
	ErrLimited = errors.New("the roster is full")
	// ErrLast: the last node cannot be removed.
	ErrLast = errors.New("the last node")
)

const (
	maxMembers = 64
	maxInvites = 256
	// maxKeys that a member has at one time, and that a removed one is known by.
	maxKeys   = 4
	maxGone   = 1024
	maxGossip = 3
	gossipKey = 32 // bytes
)

// Member is a node of the cluster.
type Member struct {
	Name    string    `json:"name"`
	Address string    `json:"address"`
	Gossip  string    `json:"gossip,omitempty"`
	Keys    []Key     `json:"keys"` // of its certificates, the newest last
	Joined  time.Time `json:"joined"`
	Voter   bool      `json:"voter,omitempty"`
	Retired bool      `json:"retired,omitempty"`
}

// Key is the hash of a public key and when its certificate lapses.
type Key struct {
	Hash  []byte    `json:"hash"`
	Until time.Time `json:"until"`
}

// Gossip is a key that gossip is sealed with.
type Gossip struct {
	ID  string `json:"id"`
	Key []byte `json:"key"`
	// Used: it seals; others only open.
	Used bool `json:"used,omitempty"`
}

// State is the roster. It is not safe for concurrent use. The zero value is of no cluster.
type State struct {
	members map[string]Member
	invites map[string]pki.Invite
	gossip  []Gossip
	gone    []Key // of nodes that were removed
}

// Outcome of a command that was applied.
type Outcome struct {
	Member Member
	Invite pki.Invite
}

var rules map[Op]func(*State, Command) (Outcome, error)

func init() { // its functions look into it, by way of valid
	rules = map[Op]func(*State, Command) (Outcome, error){
		Found: (*State).found, Invite: (*State).invite, Withdraw: (*State).withdraw, Admit: (*State).admit,
		Renew: (*State).renew, Move: (*State).move, Promote: (*State).promote, Retire: (*State).retire, Remove: (*State).remove,
		AddKey: (*State).addKey, UseKey: (*State).useKey, DropKey: (*State).dropKey,
	}
}

// Apply does what a command says, or nothing.
func (s *State) Apply(c Command) (Outcome, error) {
	if err := c.valid(); err != nil {
		return Outcome{}, err
	}
	if s.members == nil {
		s.members, s.invites = map[string]Member{}, map[string]pki.Invite{}
	}
	return rules[c.Op](s, c)
}

// Member of a name.
func (s *State) Member(name string) (Member, bool) {
	m, ok := s.members[name]
	return m, ok
}

// Members by name.
func (s *State) Members() []Member {
	return slices.SortedFunc(maps.Values(s.members), func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
}

// Invites that are open at a time, by when they lapse.
func (s *State) Invites(now time.Time) []pki.Invite {
	var open []pki.Invite
	for _, v := range s.invites {
		if v.Key == nil && now.Before(v.Expires) {
			open = append(open, v)
		}
	}
	slices.SortFunc(open, func(a, b pki.Invite) int {
		if c := a.Expires.Compare(b.Expires); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return open
}

// Invited says why nobody with such a token was invited, or nil: [ErrNoInvite] or [pki.ErrToken]. Whether it is
// good for what it is shown for, only Admit tells.
func (s *State) Invited(id string, secret []byte) error {
	v, ok := s.invites[id]
	if !ok {
		return fmt.Errorf("%w: %.64s", ErrNoInvite, id)
	}
	return v.Verify(secret)
}

// Gossip keys, in the order in which they came.
func (s *State) Gossip() []Gossip { return slices.Clone(s.gossip) }

// UsedBy are the invitations that a node of a name has joined with, by their ids.
func (s *State) UsedBy(node string) []pki.Invite {
	var used []pki.Invite
	for _, v := range s.invites {
		if v.Key != nil && v.Node == node {
			used = append(used, v)
		}
	}
	slices.SortFunc(used, func(a, b pki.Invite) int { return strings.Compare(a.ID, b.ID) })
	return used
}

// Allow says why a certificate is not one of the cluster's any more, or nil: its key must be one
// that the roster has for the name.
func (s *State) Allow(name string, key [sha256.Size]byte) error {
	m, ok := s.members[name]
	if !ok {
		return fmt.Errorf("%w: %.80s", ErrNoMember, name)
	}
	if !slices.ContainsFunc(m.Keys, func(k Key) bool { return bytes.Equal(k.Hash, key[:]) }) {
		return fmt.Errorf("%w: the key is not one of node %s", ErrNoMember, name)
	}
	return nil
}

// ---- nodes --------------------------------------------------------------------------------------

func (s *State) found(c Command) (Outcome, error) {
	if len(s.members) > 0 {
		return Outcome{}, ErrFounded
	}
	m := Member{Name: c.Name, Address: c.Address, Gossip: c.Gossip, Keys: []Key{{c.Key, c.Until}}, Joined: c.At, Voter: true}
	s.members[c.Name] = m
	return Outcome{Member: m}, nil
}

func (s *State) admit(c Command) (Outcome, error) {
	v, ok := s.invites[c.ID]
	if !ok {
		return Outcome{}, fmt.Errorf("%w: %.64s", ErrNoInvite, c.ID)
	}
	key := [sha256.Size]byte(c.Key)
	used, err := v.Redeem(c.Secret, c.Name, key, c.At)
	if err != nil {
		return Outcome{}, err
	}
	if m, taken := s.members[c.Name]; taken {
		if s.Allow(c.Name, key) == nil && v.Key != nil {
			return Outcome{Member: m, Invite: v}, nil // again
		}
		return Outcome{}, fmt.Errorf("%w: %s; remove it first, or choose another name", ErrTaken, c.Name)
	}
	switch {
	case len(s.members) == maxMembers:
		return Outcome{}, fmt.Errorf("%w: %d nodes", ErrLimited, maxMembers)
	case slices.ContainsFunc(s.gone, func(k Key) bool { return bytes.Equal(k.Hash, c.Key) }):
		return Outcome{}, fmt.Errorf("%w: a node with this key was removed; join with a new one", ErrTaken)
	}
	m := Member{Name: c.Name, Address: c.Address, Gossip: c.Gossip, Keys: []Key{{c.Key, c.Until}}, Joined: c.At}
	s.members[c.Name], s.invites[c.ID] = m, used
	return Outcome{Member: m, Invite: used}, nil
}

// change replaces a member by what a function makes of it.
func (s *State) change(name string, to func(*Member)) (Outcome, error) {
	m, ok := s.members[name]
	if !ok {
		return Outcome{}, fmt.Errorf("%w: %s", ErrNoMember, name)
	}
	m.Keys = slices.Clone(m.Keys)
	to(&m)
	s.members[name] = m
	return Outcome{Member: m}, nil
}

func (s *State) renew(c Command) (Outcome, error) {
	return s.change(c.Name, func(m *Member) {
		m.Keys = slices.DeleteFunc(m.Keys, func(k Key) bool { return bytes.Equal(k.Hash, c.Key) || k.Until.Before(c.At) })
		m.Keys = append(m.Keys, Key{c.Key, c.Until})
		m.Keys = m.Keys[max(0, len(m.Keys)-maxKeys):]
	})
}

func (s *State) move(c Command) (Outcome, error) {
	return s.change(c.Name, func(m *Member) { m.Address, m.Gossip = c.Address, c.Gossip })
}

func (s *State) promote(c Command) (Outcome, error) {
	return s.change(c.Name, func(m *Member) { m.Voter = !m.Retired })
}

func (s *State) retire(c Command) (Outcome, error) {
	if _, there := s.members[c.Name]; there && len(s.members) == 1 {
		return Outcome{}, fmt.Errorf("%w: %s", ErrLast, c.Name)
	}
	return s.change(c.Name, func(m *Member) { m.Voter, m.Retired = false, true })
}

func (s *State) remove(c Command) (Outcome, error) {
	m, ok := s.members[c.Name]
	switch {
	case !ok:
		return Outcome{}, fmt.Errorf("%w: %s", ErrNoMember, c.Name)
	case len(s.members) == 1:
		return Outcome{}, fmt.Errorf("%w: %s", ErrLast, c.Name)
	}
	delete(s.members, c.Name)
	s.gone = slices.DeleteFunc(s.gone, func(k Key) bool { return k.Until.Before(c.At) })
	s.gone = append(s.gone, m.Keys...)
	s.gone = s.gone[max(0, len(s.gone)-maxGone):]
	return Outcome{Member: m}, nil
}

// ---- invitations --------------------------------------------------------------------------------

func (s *State) invite(c Command) (Outcome, error) {
	maps.DeleteFunc(s.invites, func(_ string, v pki.Invite) bool { return v.Expires.Before(c.At) })
	if was, there := s.invites[c.Invite.ID]; there { // again: one that was used meanwhile stays used
		return Outcome{Invite: was}, nil
	}
	if len(s.invites) >= maxInvites {
		return Outcome{}, fmt.Errorf("%w: %d invitations are open; withdraw some", ErrLimited, maxInvites)
	}
	v := *c.Invite
	v.Key, v.Node = nil, ""
	s.invites[v.ID] = v
	return Outcome{Invite: v}, nil
}

func (s *State) withdraw(c Command) (Outcome, error) {
	v, ok := s.invites[c.ID]
	if !ok {
		return Outcome{}, fmt.Errorf("%w: %.64s", ErrNoInvite, c.ID)
	}
	delete(s.invites, c.ID)
	return Outcome{Invite: v}, nil
}

// ---- gossip -------------------------------------------------------------------------------------

func keyID(key []byte) string {
	sum := sha256.Sum256(key)
	return fmt.Sprintf("%x", sum[:8])
}

// addKey: the first is used at once.
func (s *State) addKey(c Command) (Outcome, error) {
	id := keyID(c.Key)
	if slices.ContainsFunc(s.gossip, func(g Gossip) bool { return g.ID == id }) {
		return Outcome{}, nil
	}
	if len(s.gossip) == maxGossip {
		return Outcome{}, fmt.Errorf("%w: there are %d gossip keys; drop one", ErrLimited, maxGossip)
	}
	s.gossip = append(slices.Clone(s.gossip), Gossip{id, c.Key, len(s.gossip) == 0})
	return Outcome{}, nil
}

func (s *State) useKey(c Command) (Outcome, error) {
	if !slices.ContainsFunc(s.gossip, func(g Gossip) bool { return g.ID == c.ID }) {
		return Outcome{}, fmt.Errorf("%w: %.64s", ErrNoKey, c.ID)
	}
	s.gossip = slices.Clone(s.gossip)
	for i := range s.gossip {
		s.gossip[i].Used = s.gossip[i].ID == c.ID
	}
	return Outcome{}, nil
}

func (s *State) dropKey(c Command) (Outcome, error) {
	at := slices.IndexFunc(s.gossip, func(g Gossip) bool { return g.ID == c.ID })
	if at < 0 || s.gossip[at].Used {
		return Outcome{}, fmt.Errorf("%w: %.64s is not there, or is the one in use", ErrNoKey, c.ID)
	}
	s.gossip = slices.Delete(slices.Clone(s.gossip), at, at+1)
	return Outcome{}, nil
}
