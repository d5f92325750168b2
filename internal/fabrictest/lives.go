package fabrictest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	// stopped is a silence of a guest, which speaks every 20 ms, that shows that it was stopped by a
	// signal: shorter than any lease, longer than a busy machine makes.
	stopped = time.Second
	// waking is how long a guest that was stopped together with its host, past the lease, may run when
	// both go on, until its host has looked at the clock. Nothing on the machine itself can prevent
	// that it does, so what it does then must not count: brokers refuse it.
	waking = 500 * time.Millisecond
)

// checkLives holds what guests said of themselves against each other: in one epoch ran one guest,
// and epochs ran one after the other, but for the moment of waking.
func checkLives(lives []Life) error {
	var wrong []error
	cells := groups(lives, func(l Life) string { return l.Cell })
	for name, all := range cells {
		epochs := groups(all, func(l Life) uint64 { return l.Epoch })
		var order []uint64
		for epoch, said := range epochs {
			order = append(order, epoch)
			slices.SortFunc(said, func(a, b Life) int { return cmp.Compare(a.At, b.At) })
			for _, l := range said {
				if l.Boot != said[0].Boot {
					wrong = append(wrong, fmt.Errorf("%s: two guests ran, at %d and at %d", incarnation{name, epoch}, said[0].At, l.At))
					break
				}
			}
		}
		slices.Sort(order)
		for i, epoch := range order[min(1, len(order)):] {
			before := epochs[order[i]]
			if err := overlap(before, epochs[epoch][0]); err != nil {
				wrong = append(wrong, fmt.Errorf("cell %s ran at two places: %w", name, err))
			}
		}
	}
	return errors.Join(wrong...)
}

// overlap is what an incarnation said, in its order, after the first word of the next one.
func overlap(before []Life, next Life) error {
	first, _ := slices.BinarySearchFunc(before, next, func(a, b Life) int { return cmp.Compare(a.At, b.At) })
	if first == len(before) {
		return nil
	}
	late := before[first:]
	ran := time.Duration(late[len(late)-1].At - late[0].At)
	silent := first > 0 && time.Duration(late[0].At-before[first-1].At) > stopped
	answered := slices.ContainsFunc(late, func(l Life) bool { return !l.Alone })
	if silent && ran < waking && !answered {
		return nil
	}
	return fmt.Errorf("epoch %d until %d, and epoch %d from %d, %s before", before[0].Epoch, late[len(late)-1].At, next.Epoch, next.At,
		time.Duration(late[len(late)-1].At-next.At))
}
