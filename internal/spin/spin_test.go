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
	ok, err := s.UntilYielding(time.Hour, 1, func() (bool, error) { left--; return left == 0, nil })
	if !ok || err != nil {
		t.Errorf("ended with %v, %v", ok, err)
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
