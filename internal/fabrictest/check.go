package fabrictest

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// patience of the search for an order; a history that needs more is not judged, which is an error.
const patience = 2 * time.Minute

// Check returns all that is wrong with the history, or nil. Of histories that no order explains,
// it leaves a page for people in dir.
//
//   - Policies: puts and linearizable reads of each are as of one client at a time.
//   - Counters: calls of each incarnation of a cell are as of one client at a time, and none was
//     done twice.
//   - Epochs: who was answered later was answered by no earlier epoch, and a spawn has a higher one
//     than all that was seen before it.
//   - Lives: in one epoch ran one guest, and epochs ran one after the other.
func (h *History) Check(dir string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var wrong []error
	for name, calls := range groups(h.policies, func(c PolicyCall) string { return c.Policy }) {
		wrong = append(wrong, linearizable("policy "+name, policyModel, policyOperations(calls), dir))
	}
	counts := groups(h.counts, func(c Count) incarnation { return incarnation{c.Cell, c.Epoch} })
	for of, calls := range counts {
		if of.epoch != 0 { // those of unknown outcome, which may be of any
			wrong = append(wrong, checkCounts(of, calls, counts[incarnation{of.cell, 0}]))
		}
	}
	return errors.Join(append(wrong, h.checkEpochs(), checkLives(h.lives))...)
}

// incarnation of a cell.
type incarnation struct {
	cell  string
	epoch uint64
}

func (i incarnation) String() string { return fmt.Sprintf("cell %s of epoch %d", i.cell, i.epoch) }

func groups[K comparable, T any](all []T, of func(T) K) map[K][]T {
	m := map[K][]T{}
	for _, one := range all {
		m[of(one)] = append(m[of(one)], one)
	}
	return m
}

func linearizable(what string, m porcupine.Model, history []porcupine.Operation, dir string) error {
	result, info := porcupine.CheckOperationsVerbose(m, history, patience)
	if result == porcupine.Ok {
		return nil
	}
	page := filepath.Join(dir, fmt.Sprintf("history-%d.html", time.Now().UnixNano()))
	return errors.Join(fmt.Errorf("%s: the history of %d calls is %s: no order explains it; see %s", what, len(history), result, page),
		porcupine.VisualizePath(m, info, page))
}

// forever is when a call returns whose outcome was found out later.
const forever = time.Duration(math.MaxInt64)

// resolve finds out, when no client calls any more, about puts of unknown outcome: versions never
// change, so one that is among a policy's was done, and one that is not never was. The search for an
// order takes too long if many are unknown. versions has the hashes of texts, by policy and number.
func (h *History) resolve(versions map[string]map[uint64][]byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	numbers := map[string]uint64{}
	for policy, all := range versions {
		for number, hash := range all {
			numbers[policy+string(hash)] = number
		}
	}
	for i := range h.policies {
		c := &h.policies[i]
		if !c.Write || c.Outcome != Unknown || versions[c.Policy] == nil {
			continue
		}
		sum := sha256.Sum256([]byte(c.Text)) // each put has a text of its own
		if number, done := numbers[c.Policy+string(sum[:])]; done {
			c.Outcome, c.Number, c.Returned = Done, number, forever
		} else {
			c.Outcome = Refused
		}
	}
}

// operation of a client as porcupine takes it. One of unknown outcome may come whenever, and so
// beside what its client does next.
func operation(number, client int, s Span, o Outcome, in any) porcupine.Operation {
	op := porcupine.Operation{ClientId: client, Input: in, Output: o, Call: int64(s.Called), Return: int64(s.Returned)}
	if o == Unknown || s.Returned == forever {
		op.ClientId, op.Return = 1000+number, math.MaxInt64
	}
	return op
}

// policyState is the newest version of a policy.
type policyState struct {
	number uint64
	text   string
}

var policyModel = porcupine.Model{
	Init: func() any { return policyState{} },
	Step: func(state, input, output any) (bool, any) {
		was, c := state.(policyState), input.(PolicyCall)
		met := c.Expect == nil || *c.Expect == was.number
		next := policyState{was.number + 1, c.Text}
		switch {
		case !c.Write:
			return c.Number == was.number && c.Text == was.text, was
		case output.(Outcome) == Conflicted:
			return !met, was
		case output.(Outcome) == Unknown && !met:
			return true, was
		case output.(Outcome) == Unknown:
			return true, next // or not at all: it then comes after all others
		}
		return met && c.Number == next.number, next
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v %v", input, output) },
}

func policyOperations(calls []PolicyCall) (ops []porcupine.Operation) {
	for i, c := range calls {
		if c.Outcome != Refused && (c.Write || c.Outcome == Done) { // the rest never was
			ops = append(ops, operation(i, c.Client, c.Span, c.Outcome, c))
		}
	}
	return ops
}

// checkCounts holds the answers of an incarnation, each of which counted one more, against an order
// of them: no two have the same number, who was asked later has a higher one, and none is higher
// than so many as had been asked by then, of which some may have no known outcome. Porcupine would
// find the same, and takes too long where many are unknown.
func checkCounts(of incarnation, done, unknown []Count) error {
	slices.SortFunc(done, func(a, b Count) int { return cmp.Compare(a.Number, b.Number) })
	var called []time.Duration
	for _, c := range done {
		called = append(called, c.Called)
	}
	for _, c := range unknown {
		if c.Outcome == Unknown {
			called = append(called, c.Called)
		}
	}
	slices.Sort(called)
	var wrong []error
	latest := time.Duration(-1) // call of those with lower numbers
	for i, c := range done {
		asked, _ := slices.BinarySearch(called, c.Returned)
		switch {
		case i > 0 && done[i-1].Number == c.Number:
			wrong = append(wrong, fmt.Errorf("%s counted %d twice, for calls of %s and %s", of, c.Number, done[i-1].Called, c.Called))
		case latest > c.Returned:
			wrong = append(wrong, fmt.Errorf("%s counted %d at %s, and less for a call of %s", of, c.Number, c.Returned, latest))
		case c.Number > uint64(asked):
			wrong = append(wrong, fmt.Errorf("%s counted %d until %s, and was asked %d times: something was done twice", of, c.Number, c.Returned, asked))
		}
		latest = max(latest, c.Called)
	}
	return errors.Join(wrong...)
}

// seen is that a client was answered by an epoch.
type seen struct {
	Span
	epoch uint64
	spawn bool
}

// checkEpochs needs mu.
func (h *History) checkEpochs() error {
	all := map[string][]seen{}
	for _, c := range h.counts {
		if c.Outcome == Done {
			all[c.Cell] = append(all[c.Cell], seen{c.Span, c.Epoch, false})
		}
	}
	for _, s := range h.spawns {
		all[s.Cell] = append(all[s.Cell], seen{s.Span, s.Epoch, true})
	}
	var wrong []error
	for name, calls := range all {
		// Each call is held against the highest epoch that was answered before it was made.
		byReturn := slices.SortedFunc(slices.Values(calls), func(a, b seen) int { return cmp.Compare(a.Returned, b.Returned) })
		byCall := slices.SortedFunc(slices.Values(calls), func(a, b seen) int { return cmp.Compare(a.Called, b.Called) })
		var highest uint64
		next := 0
		for _, c := range byCall {
			for ; next < len(byReturn) && byReturn[next].Returned < c.Called; next++ {
				highest = max(highest, byReturn[next].epoch)
			}
			switch {
			case c.epoch < highest:
				wrong = append(wrong, fmt.Errorf("cell %s: epoch %d answered at %s what was asked at %s, and epoch %d had answered before", name, c.epoch, c.Returned, c.Called, highest))
			case c.spawn && c.epoch == highest:
				wrong = append(wrong, fmt.Errorf("cell %s: spawned at %s with epoch %d, which had answered before", name, c.Called, c.epoch))
			}
		}
	}
	return errors.Join(wrong...)
}
