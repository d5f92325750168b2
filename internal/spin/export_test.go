package spin

import "time"

// UntilOthersRan is UntilYielding where others always take the processor.
func (s *Spinner) UntilOthersRan(patience time.Duration, ready func() (bool, error)) (bool, error) {
	return s.until(patience, 1, func() {
		for began := time.Now(); time.Since(began) <= 2*othersRan; {
		}
	}, ready)
}
