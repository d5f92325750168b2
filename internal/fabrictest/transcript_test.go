package fabrictest

import (
	"strings"
	"testing"
)

// logged is a state that has added tokens and heard words.
func logged(words int64, tokens ...int64) State {
	s := State{Log: tokens}
	for _, token := range tokens {
		s.Digest = digested(s.Digest, token)
	}
	for w := range words {
		s.Heard = append(s.Heard, w+1)
	}
	return s
}

// answers to tokens that were added in this order.
func answers(tokens ...int64) (all []Added) {
	digest := int64(0)
	for i, token := range tokens {
		digest = digested(digest, token)
		all = append(all, Added{Token: token, Number: int64(i + 1), Digest: digest})
	}
	return all
}

// What is lost, doubled or out of order is found, and what a fault excuses is not.
func TestTranscript(t *testing.T) {
	unknown := Added{Token: 9, Outcome: Unknown}
	for _, c := range []struct {
		name  string
		of    *Transcript
		state State
		may   Leniency
		says  string // "": it is right
	}{
		{"nothing", &Transcript{}, State{}, Leniency{}, ""},
		{"all was done", &Transcript{added: answers(7, 8), told: 2, heard: answers(7, 8)}, logged(2, 7, 8), Leniency{}, ""},
		{"answers that came out of order", &Transcript{added: []Added{answers(7, 8)[1], answers(7, 8)[0]}}, logged(0, 7, 8), Leniency{}, ""},
		{"one of unknown outcome was done", &Transcript{added: append(answers(7), unknown)}, logged(0, 7, 9), Leniency{}, ""},
		{"or not", &Transcript{added: append(answers(7), unknown)}, logged(0, 7), Leniency{}, ""},
		{"but not twice", &Transcript{added: append(answers(7), unknown)}, logged(0, 7, 9, 9), Leniency{}, "9 was added twice"},
		{"an answer was lost", &Transcript{added: answers(7, 8)}, logged(0, 7), Leniency{}, "8 was answered as number 2, and is lost"},
		{"with its owner", &Transcript{added: answers(7, 8)}, logged(0, 7), Leniency{Lost: true}, ""},
		{"done twice", &Transcript{added: answers(7)}, logged(0, 7, 7), Leniency{Lost: true}, "7 was added twice"},
		{"in another order", &Transcript{added: answers(7, 8)}, logged(0, 8, 7), Leniency{}, "7 was answered as number 1"},
		{"another state", &Transcript{added: answers(7)}, State{Log: []int64{7}, Digest: 8}, Leniency{}, "the state is of digest 8"},
		{"nobody asked", &Transcript{}, logged(0, 7), Leniency{Lost: true}, "nobody asked for 7"},
		{"as it was a round before", &Transcript{since: 7, added: answers(8)}, logged(0, 7), Leniency{Lost: true}, ""},
		{"and that unexcused", &Transcript{since: 7}, logged(0, 7), Leniency{}, "nobody asked for 7"},
		{"refused, and done", &Transcript{added: []Added{{Token: 7, Outcome: Refused}}}, logged(0, 7), Leniency{}, "7 was refused"},
		{"a word was lost", &Transcript{told: 3}, logged(2), Leniency{}, "was told 3 words, and heard 2"},
		{"a word between was lost", &Transcript{told: 3}, State{Heard: []int64{1, 3}}, Leniency{}, "word 3 after word 1"},
		{"a word came twice", &Transcript{told: 1}, State{Heard: []int64{1, 1}}, Leniency{Lost: true}, "word 1 after word 1"},
		{"one word more than was acknowledged", &Transcript{told: 1}, logged(2), Leniency{}, ""},
		{"a post was lost", &Transcript{added: answers(7, 8), heard: answers(7, 8)[1:]}, logged(0, 7, 8), Leniency{}, "number 2 after number 0"},
		{"as its way broke", &Transcript{added: answers(7, 8), heard: answers(7, 8)[1:]}, logged(0, 7, 8), Leniency{Broken: true}, ""},
		{"a post came twice", &Transcript{added: answers(7), heard: append(answers(7), answers(7)...)}, logged(0, 7), Leniency{Broken: true}, "number 1 after number 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.of.Check(c.state, c.may)
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
}

// The same seed draws the same mishaps; all kinds, roles and phases come.
func TestMishaps(t *testing.T) {
	all, again := Mishaps(7, true, 400), Mishaps(7, true, 400)
	seen := map[string]bool{}
	for i, m := range all {
		if m != again[i] {
			t.Fatalf("%s, and then %s", m, again[i])
		}
		seen[string(m.Kind)], seen[string(m.Role)], seen[m.Phase] = true, true, true
	}
	for _, want := range []string{"smooth", "abort", "cancel", "kill", "pause", "freeze", "isolate", "source", "target", "leader", "bystander", "prepare", "collect"} {
		if !seen[want] {
			t.Errorf("no %q among %d", want, len(all))
		}
	}
	for _, m := range Mishaps(7, false, 400) {
		if m.Kind == Isolate || m.Kind == Mute || m.Kind == Deafen {
			t.Fatalf("%s, and there are no links", m)
		}
	}
}

// Who was hurt, and how far the move had come, says what is excused.
func TestExcuses(t *testing.T) {
	source, target, by, leader := &Node{Name: "n1"}, &Node{Name: "n2"}, &Node{Name: "n3"}, &Node{Name: "n4"}
	for _, c := range []struct {
		victim *Node
		phase  string
		want   Leniency
	}{
		{nil, "copy", Leniency{}},
		{source, "prepare", Leniency{Lost: true, Broken: true}},
		{source, "copy", Leniency{Lost: true, Broken: true}},
		{source, "activate", Leniency{Broken: true}},
		{source, "", Leniency{Lost: true, Broken: true}},
		{target, "copy", Leniency{Broken: true}},
		{target, "activate", Leniency{Lost: true, Broken: true}},
		{by, "done", Leniency{Broken: true}},
		{leader, "copy", Leniency{Lost: true, Broken: true}},
	} {
		move := &travel{source: source, target: target, by: by, victim: c.victim, leader: leader, furthest: c.phase}
		if got := move.excuses(); got != c.want {
			t.Errorf("%v at %q: %+v", c.victim, c.phase, got)
		}
	}
}
