package spin

import "time"

// UntilOthersRan is UntilYielding where others always take the processor.
func (s *Spinner) UntilOthersRan(patience time.Duration, others Crowd, ready func() (bool, error)) (bool, error) {
	return s.until(patience, 1, others, func() {
		for began := time.Now(); time.Since(began) <= 2*othersRan; {
		}
	}, ready)
}
