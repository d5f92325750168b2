package cluster

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/pyisolate/pyisolate/cluster/roster"
)

// situationOf reads words such as "n1:voter", "n2:nonvoter,ready", "n3:absent", with "!" before
// what the roster does not have, "-" before who is retired, "+" before who votes by the roster, and "*"
// before who votes in the other group. The first is this node.
func situationOf(decides bool, words ...string) situation {
	s := situation{servers: map[string]bool{}, ready: map[string]bool{}, decides: decides}
	for i, w := range words {
		name, is, _ := strings.Cut(w, ":")
		gone, votes, retired, beside := strings.HasPrefix(name, "!"), strings.HasPrefix(name, "+"), strings.HasPrefix(name, "-"), strings.HasPrefix(name, "*")
		name = strings.TrimLeft(name, "!+-*")
		if i == 0 {
			s.self = name
		}
		if beside {
			if s.other == nil {
				s.other = map[string]bool{}
			}
			s.other[name] = true
		}
		if !gone {
			s.members = append(s.members, roster.Member{Name: name, Voter: votes, Retired: retired, Joined: time.Unix(int64(i), 0)})
		}
		switch is, how, _ := strings.Cut(is, ","); is {
		case "voter":
			s.servers[name] = true
		case "nonvoter":
			s.servers[name] = false
			if how != "silent" {
				s.ready[name] = how == "ready"
			}
		case "here":
			s.ready[name] = false
		}
	}
	return s
}

func TestPlan(t *testing.T) {
	for name, c := range map[string]struct {
		s    situation
		want string
	}{
		"one by itself":                 {situationOf(true, "+n1:voter"), ""},
		"one that does not answer yet":  {situationOf(true, "+n1:voter", "n2:absent"), ""},
		"one that answers":              {situationOf(true, "+n1:voter", "n2:here"), "add n2"},
		"one that is behind":            {situationOf(true, "+n1:voter", "n2:nonvoter,behind"), ""},
		"one that has caught up":        {situationOf(true, "+n1:voter", "n2:nonvoter,ready"), "promote n2"},
		"one that votes already":        {situationOf(true, "+n1:voter", "n2:voter"), "note n2"},
		"two at once":                   {situationOf(true, "+n1:voter", "n2:nonvoter,ready", "n3:nonvoter,ready"), "promote n2, promote n3"},
		"a fourth does not vote":        {situationOf(true, "+n1:voter", "+n2:voter", "+n3:voter", "n4:nonvoter,ready"), ""},
		"a fifth votes with the fourth": {situationOf(true, "+n1:voter", "+n2:voter", "+n3:voter", "n4:nonvoter,ready", "n5:nonvoter,ready"), "promote n4, promote n5"},
		"a fifth that is silent":        {situationOf(true, "+n1:voter", "+n2:voter", "+n3:voter", "n4:nonvoter,ready", "n5:nonvoter,silent"), ""},
		"five are enough":               {situationOf(true, "+n1:voter", "+n2:voter", "+n3:voter", "+n4:voter", "+n5:voter", "n6:nonvoter,ready", "n7:nonvoter,ready"), ""},
		"another for one removed":       {situationOf(true, "+n1:voter", "+n2:voter", "!n3:voter", "n4:nonvoter,ready"), "remove n3, promote n4"},
		"a dead voter stays":            {situationOf(true, "+n1:voter", "+n2:voter", "+n3:voter"), ""},
		"a retired one":                 {situationOf(true, "+n1:voter", "+n2:voter", "-n3:voter", "n4:nonvoter,ready"), "remove n3, promote n4"},
		"a retired one stays out":       {situationOf(true, "+n1:voter", "-n2:here"), ""},
		"a retired one does not count":  {situationOf(true, "+n1:voter", "+n2:voter", "+n3:voter", "n4:nonvoter,ready", "-n5:nonvoter,ready"), "remove n5"},
		"this one is retired":           {situationOf(true, "-n1:voter", "+n2:voter"), "hand n1"},
		"this one is removed":           {situationOf(true, "!n1:voter", "+n2:voter"), "hand n1"},
		"policies follow":               {situationOf(false, "*n1:voter", "*n2:nonvoter,ready", "n3:nonvoter,ready"), "promote n2"},
		"policies go before the roster": {situationOf(true, "*n1:voter", "n2:voter", "*n3:voter"), "note n1, note n3"},
		"policies do not note":          {situationOf(false, "+n1:voter", "n2:voter"), ""},
		"policies add and remove":       {situationOf(false, "+n1:voter", "n2:here", "!n3:nonvoter"), "remove n3, add n2"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, s := range c.s.plan() {
				got = append(got, string(s.do)+" "+s.node)
			}
			if text := strings.Join(got, ", "); text != c.want {
				t.Errorf("%q, not %q", text, c.want)
			}
		})
	}
}

// Whatever the situation is: members are never removed, there are never more than five voters, and
// what was planned and done is not planned again.
func TestPlanProperties(t *testing.T) {
	kinds := []string{"voter", "nonvoter,ready", "nonvoter,behind", "nonvoter,silent", "here", "absent"}
	rapid.Check(t, func(t *rapid.T) {
		words := []string{"+n0:voter"}
		for i := 1; i < rapid.IntRange(1, 9).Draw(t, "nodes"); i++ {
			words = append(words, fmt.Sprintf("%sn%d:%s", rapid.SampledFrom([]string{"", "", "+", "!", "-"}).Draw(t, "roster"), i, rapid.SampledFrom(kinds).Draw(t, "is")))
		}
		s := situationOf(true, words...)
		before := 0
		for _, votes := range s.servers {
			if votes {
				before++
			}
		}
		for range 4 {
			for _, step := range s.plan() {
				s.take(t, step)
			}
		}
		after := 0
		for _, votes := range s.servers {
			if votes {
				after++
			}
		}
		if after > max(before, maxVoters) {
			t.Errorf("%v: %d voters", words, after)
		}
		if left := s.plan(); len(left) > 0 {
			t.Errorf("%v: it does not end: %v", words, left)
		}
	})
}

// take does a step.
func (s *situation) take(t *rapid.T, step step) {
	at := slices.IndexFunc(s.members, func(m roster.Member) bool { return m.Name == step.node })
	if stays := at >= 0 && !s.members[at].Retired; stays == (step.do == removeServer) {
		t.Fatalf("%s %s", step.do, step.node)
	}
	switch step.do {
	case addServer:
		s.servers[step.node], s.ready[step.node] = false, true
	case promoteServer:
		s.servers[step.node] = true
	case notePromotion:
		s.members[at].Voter = true
	case removeServer:
		delete(s.servers, step.node)
	}
}

func TestWanted(t *testing.T) {
	for _, c := range [][3]int{{1, 1, 1}, {2, 2, 2}, {2, 1, 1}, {3, 2, 2}, {3, 3, 3}, {4, 4, 3}, {5, 4, 3}, {5, 5, 5}, {6, 6, 5}, {64, 64, 5}} {
		if got := wanted(c[0], c[1]); got != c[2] {
			t.Errorf("of %d members, %d of which can: %d, not %d", c[0], c[1], got, c[2])
		}
	}
}
