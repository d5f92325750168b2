package directory

import (
	"flag"
	"slices"
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/internal/await"
)

var long = flag.Bool("long", false, "visit more states of the model, which takes half a minute and 1.5 GiB")

// Budgets: of a quick look; of the usual ones beside it, the second for cells that move on; of a long one
// beside these; and of one with a message and nothing that fails.
var (
	few      = budget{faults: 1, sessions: 1, epochs: 2, copies: 1, yields: 1}
	standard = budget{faults: 2, sessions: 1, epochs: 2, copies: 1}
	onward   = budget{faults: 1, sessions: 1, epochs: 3, copies: 1, yields: 1}
	many     = budget{faults: 2, sessions: 1, epochs: 2, copies: 1, yields: 1}
	talking  = budget{epochs: 3, copies: 1, yields: 1, messages: 1}
)

// visited is a state and how it was come to.
type visited struct {
	from int32
	by   string
}

// explore visits all states and returns how many, and the way to one that is broken or that
// no way leads out of.
func explore(m mutation, b budget) (count int, bad string) {
	first := firstWorld()
	first.left = b
	ids := map[world]int32{first: 0}
	list, trail, back := []world{first}, []visited{{-1, ""}}, [][]int32{nil}
	way := func(i int32) string {
		var steps []string
		for ; i > 0; i = trail[i].from {
			steps = append(steps, trail[i].by)
		}
		slices.Reverse(steps)
		return strings.Join(steps, "; ")
	}
	for i := 0; i < len(list); i++ {
		w := list[i]
		if len(list) > mostStates {
			return len(list), "there are more states than memory is meant for"
		}
		if why := w.broken(); why != "" {
			return len(list), why + ": " + way(int32(i))
		}
		for _, e := range w.steps(m) {
			j, known := ids[e.to]
			if !known {
				j = int32(len(list))
				ids[e.to] = j
				list, trail, back = append(list, e.to), append(trail, visited{int32(i), e.what}), append(back, nil)
			}
			if !e.fault {
				back[j] = append(back[j], int32(i))
			}
		}
	}
	if i := stuck(list, back); i >= 0 {
		return len(list), "stuck: " + way(i)
	}
	return len(list), ""
}

// stuck finds a state from which, without more faults, the cell cannot run in its epoch.
func stuck(list []world, back [][]int32) int32 {
	good, queue := make([]bool, len(list)), []int32(nil)
	for i := range list {
		w := &list[i]
		if w.phase == Active && w.nodes[w.owner].run == w.epoch {
			good[i] = true
			queue = append(queue, int32(i))
		}
	}
	for len(queue) > 0 {
		j := queue[0]
		queue = queue[1:]
		for _, i := range back[j] {
			if !good[i] {
				good[i] = true
				queue = append(queue, i)
			}
		}
	}
	for i := range list {
		w := &list[i]
		if !good[i] && w.epoch < mostEpoch-1 && w.left.sessions > 0 {
			return int32(i)
		}
	}
	return -1
}

func TestModel(t *testing.T) {
	for _, look := range []struct {
		name string
		budget
		skip bool
	}{
		{"one fault", few, false}, {"two faults", standard, testing.Short()}, {"one fault and two moves", onward, testing.Short()},
		{"two faults and a yield", many, !*long}, {"a message", talking, false},
	} {
		t.Run(look.name, func(t *testing.T) {
			if look.skip {
				t.Skip("it takes long: not with -short, and the longest with -long only")
			}
			n, bad := explore(mutation{}, look.budget)
			t.Logf("%d states", n)
			if bad != "" {
				t.Error(bad)
			}
		})
	}
}

// A model that finds nothing when a rule is broken proves nothing.
func TestModelFindsFaults(t *testing.T) {
	if await.Race && testing.Short() {
		t.Skip("the model is one goroutine, which the race detector has nothing to say of")
	}
	for _, m := range []struct {
		mutation
		in budget
	}{
		{mutation{name: "the target starts before it is agreed", startEarly: true}, few},
		{mutation{name: "a copy is removed that was not dropped", removeUndropped: true}, few},
		{mutation{name: "an abort keeps the epoch", sameEpoch: true}, standard},
		{mutation{name: "a session is ended while its lease lasts", endEarly: true}, few},
		{mutation{name: "a guest goes on without a lease", goOn: true}, few},
		{mutation{name: "a lease is renewed while its end is proposed", grantLate: true}, standard},
		{mutation{name: "a guest that was stopped for good is started again", thaw: true}, standard},
		{mutation{name: "a change of copies counts in any revision", anyRevision: true}, standard},
		{mutation{name: "a node comes back with its old session and lease", oldSession: true}, standard},
		{mutation{name: "hosts of a stopped node outlive its lease", hostsStay: true}, few},
		{mutation{name: "a stopped node goes on without another look at its lease", deaf: true}, few},
		{mutation{name: "a node that yields a cell starts it nevertheless", yieldOn: true}, few},
		{mutation{name: "what counted before a move is forgotten, and the state of one that came to nothing is removed", forgetBefore: true, removeMoves: true}, few},
		{mutation{name: "what may come to count again is removed", unpinBefore: true}, few},
		{mutation{name: "after an abort the guest is restored, and does not go on", restoreOld: true}, talking},
		{mutation{name: "a guest that is held goes on whatever ran since", thawAny: true}, talking},
		{mutation{name: "what was answered is not carried to the target", forget: true}, talking},
		{mutation{name: "what is held is dropped when the cell has moved", loseHeld: true}, talking},
		{mutation{name: "a guest goes on after it was sealed", goOnSealed: true}, talking},
	} {
		t.Run(m.name, func(t *testing.T) {
			n, bad := explore(m.mutation, m.in)
			t.Logf("%d states; %s", n, bad)
			if bad == "" {
				t.Error("nothing is found")
			}
		})
	}
}
