package fabrictest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// checkLives holds what guests said of themselves against each other: in one epoch ran one guest,
// and epochs ran one after the other. What a guest says that wakes when its cell runs elsewhere already
// its node must withhold.
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
	late := before[len(before)-1]
	return fmt.Errorf("epoch %d until %d, and epoch %d from %d, %s before", before[0].Epoch, late.At, next.Epoch, next.At, time.Duration(late.At-next.At))
}
