package spin_test

import (
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/internal/spin"
)

func never() (bool, error) { return false, nil }

func TestLooksUntilReady(t *testing.T) {
	var s spin.Spinner
	left := 100
	ok, err := s.Until(time.Hour, func() (bool, error) { left--; return left == 0, nil })
	if !ok || err != nil {
		t.Errorf("ended with %v, %v", ok, err)
	}
}

// Who gives the processor up to others that have something to do looks once more each time, and then sleeps,
// for them to do it.
func TestEndsInACrowd(t *testing.T) {
	var s spin.Spinner
	for others, most := range map[spin.Crowd]int{spin.Many: 3, spin.Sole: 5} { // at first, before and behind each
		looks := 0
		ok, err := s.UntilOthersRan(time.Hour, others, func() (bool, error) { looks++; return false, nil })
		if ok || err != nil || looks != most {
			t.Errorf("others %d times: ended with %v, %v after %d looks", others, ok, err, looks)
		}
	}
	looks := 0
	ok, err := s.UntilOthersRan(time.Hour, spin.Many, func() (bool, error) { looks++; return looks == 3, nil })
	if !ok || err != nil {
		t.Errorf("what the others brought: %v, %v", ok, err)
	}
}

func TestErrorEndsLooking(t *testing.T) {
	var s spin.Spinner
	broken := errors.New("broken")
	if ok, err := s.Until(time.Hour, func() (bool, error) { return false, broken }); ok || !errors.Is(err, broken) {
		t.Errorf("ended with %v, %v", ok, err)
	}
}

// What has not paid is rarely tried, and is tried again.
func TestGivesUpAndTriesAgain(t *testing.T) {
	if runtime.GOMAXPROCS(0) < 2 {
		t.Skip("one processor: spinning is never worthwhile")
	}
	var s spin.Spinner
	for range 100 {
		if s.Worthwhile() {
			_, _ = s.Until(time.Microsecond, never)
		}
	}
	tried := 0
	for range 1000 {
		if s.Worthwhile() {
			tried++
		}
	}
	if tried == 0 || tried > 100 {
		t.Errorf("%d of 1000 spins look worthwhile after 100 in vain", tried)
	}
	_, _ = s.Until(time.Hour, func() func() (bool, error) {
		n := 0
		return func() (bool, error) { n++; return n > 1, nil }
	}())
	if !s.Worthwhile() {
		t.Error("a spin that paid is not worthwhile")
	}
}
