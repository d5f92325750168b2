package cluster

import (
	"cmp"
	"slices"

	"github.com/pyisolate/pyisolate/cluster/roster"
)

// maxVoters is how many nodes vote at most. More would make agreement slower, and no safer than
// anybody needs.
const maxVoters = 5

// action of a step.
type action string

const (
	addServer     action = "add"
	promoteServer action = "promote"
	notePromotion action = "note" // in the roster
	removeServer  action = "remove"
	handLead      action = "hand" // this node is to be removed
)

// step is a change of a group's membership.
type step struct {
	do   action
	node string
}

// situation is what the membership of a group depends on.
type situation struct {
	self    string
	members []roster.Member
	servers map[string]bool // of the group, and whether they vote
	// ready has the nodes that answer, and whether they have caught up with the group.
	ready map[string]bool
	// decides: it is the directory's group, whose leader chooses who votes. The policies' follows it.
	decides bool
	// other has who votes in the other group; nil if there is none.
	other map[string]bool
}

// plan is what to do next, in this order. Nodes are added when they answer, and vote when they have
// caught up; nobody is removed for not answering. The roster says of those that they vote who do in both
// groups: whoever goes by it does not end one of too few.
func (s situation) plan() (steps []step) {
	known := map[string]roster.Member{}
	for _, m := range s.members {
		known[m.Name] = m
	}
	for name := range s.servers {
		if !belongs(known, name) && name != s.self {
			steps = append(steps, step{removeServer, name})
		}
	}
	slices.SortFunc(steps, func(a, b step) int { return cmp.Compare(a.node, b.node) })
	if !belongs(known, s.self) {
		return append(steps, step{handLead, s.self})
	}
	candidates := s.candidates()
	for _, m := range s.byAge() {
		_, there := s.servers[m.Name]
		_, answers := s.ready[m.Name]
		switch {
		case m.Retired:
		case !there && answers:
			steps = append(steps, step{addServer, m.Name})
		case s.votesUnnoted(m):
			steps = append(steps, step{notePromotion, m.Name})
		case slices.Contains(candidates, m.Name):
			steps = append(steps, step{promoteServer, m.Name})
		}
	}
	return steps
}

// votesUnnoted tells whether the roster is to say now that a member votes.
func (s situation) votesUnnoted(m roster.Member) bool {
	return s.decides && s.servers[m.Name] && !m.Voter && (s.other == nil || s.other[m.Name])
}

// belongs tells whether a node is to be in the group.
func belongs(known map[string]roster.Member, node string) bool {
	m, member := known[node]
	return member && !m.Retired
}

// candidates are to vote next. Those who wait longest come first.
func (s situation) candidates() (names []string) {
	voters, members := 0, 0
	for _, m := range s.byAge() {
		if m.Retired {
			continue
		}
		members++
		votes, there := s.servers[m.Name]
		switch {
		case votes:
			voters++
		case there && s.ready[m.Name] && (s.decides || s.other[m.Name]):
			names = append(names, m.Name)
		}
	}
	if !s.decides {
		return names
	}
	return names[:max(0, wanted(members, voters+len(names))-voters)]
}

// wanted is how many should vote, of so many members, when no more than so many can. It is an odd
// number where it can be: four need as many to agree as five, and lose as few as three.
func wanted(members, possible int) int {
	n := min(members, possible, maxVoters)
	if n > 2 && n%2 == 0 {
		n--
	}
	return n
}

func (s situation) byAge() []roster.Member {
	return slices.SortedFunc(slices.Values(s.members), func(a, b roster.Member) int {
		return cmp.Or(a.Joined.Compare(b.Joined), cmp.Compare(a.Name, b.Name))
	})
}
