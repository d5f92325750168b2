package roster

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/pyisolate/pyisolate/cluster/pki"
	"github.com/pyisolate/pyisolate/internal/strictjson"
)

// snapshot is all of a State.
type snapshot struct {
	Version int                   `json:"pyisolate_roster"`
	Members map[string]Member     `json:"members"`
	Invites map[string]pki.Invite `json:"invites"`
	Gossip  []Gossip              `json:"gossip"`
	Gone    []Key                 `json:"gone"`
}

const snapshotVersion = 1

// ErrSnapshot is of a snapshot that cannot be read.
var ErrSnapshot = errors.New("unreadable snapshot of the roster")

// Copy is what s is now; changes of s do not reach it.
func (s *State) Copy() *State {
	return &State{members: maps.Clone(s.members), invites: maps.Clone(s.invites), gossip: s.gossip, gone: slices.Clone(s.gone)}
}

// Encode is all of the state.
func (s *State) Encode() ([]byte, error) {
	return json.Marshal(snapshot{snapshotVersion, s.members, s.invites, s.gossip, s.gone})
}

// Read replaces the state by what Encode returned, or leaves it when that cannot be read.
func (s *State) Read(b []byte) error {
	var n snapshot
	if err := strictjson.Unmarshal(b, &n); err != nil {
		return fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	if n.Version != snapshotVersion {
		return fmt.Errorf("%w: it has format %d, this version knows %d: run a newer one", ErrSnapshot, n.Version, snapshotVersion)
	}
	if len(n.Members) > maxMembers || len(n.Invites) > maxInvites || len(n.Gossip) > maxGossip || len(n.Gone) > maxGone {
		return fmt.Errorf("%w: it has more than there can be", ErrSnapshot)
	}
	for name, m := range n.Members {
		if m.Name != name || !pki.ValidName(name) || len(m.Keys) == 0 {
			return fmt.Errorf("%w: node %.80q", ErrSnapshot, name)
		}
	}
	if n.Members == nil {
		n.Members = map[string]Member{}
	}
	if n.Invites == nil {
		n.Invites = map[string]pki.Invite{}
	}
	*s = State{members: n.Members, invites: n.Invites, gossip: n.Gossip, gone: n.Gone}
	return nil
}
