package notify

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestAllowance(t *testing.T) {
	var a allowance
	begin := time.Now()
	for i, step := range []struct {
		at         time.Duration
		tries, may int
	}{
		{0, 40, 40},
		{999 * time.Millisecond, 100, 60},
		{time.Second, 150, maxDenials},
		{1999 * time.Millisecond, 1, 0},
		{time.Hour, 1, 1},
		{time.Hour + time.Millisecond, 150, maxDenials - 1},
	} {
		may := 0
		for range step.tries {
			if a.take(begin.Add(step.at)) {
				may++
			}
		}
		if may != step.may {
			t.Errorf("step %d: %d may, want %d", i, may, step.may)
		}
	}
}

// A thread that is denied without end is told of a hundred times a second, and another is
// still heard beside it.
func TestFlood(t *testing.T) {
	const flooding, quiet, tries = 1, 2, 5000
	var told [3]atomic.Int64
	s := supervisor(t, Options{Denied: func(d Denial) { told[d.ID].Add(1) }})
	tr := newTree(t)
	deny := func() error {
		if err := open(tr.at("b/file"), 0); !errors.Is(err, unix.EACCES) {
			return fmt.Errorf("what is closed: %w", err)
		}
		return nil
	}
	on(t, s, Target{ID: flooding}, func(watched *Watched) error {
		begin := time.Now()
		for range tries {
			if err := deny(); err != nil {
				return err
			}
		}
		most := uint64(maxDenials) * uint64(time.Since(begin)/time.Second+1)
		got, n := watched.Counts(), uint64(told[flooding].Load())
		if n < maxDenials || n > most || got != (Counts{Denied: tries, Lost: tries - n}) {
			t.Errorf("%d of %d at most are told, %+v", n, most, got)
		}
		return nil
	})
	on(t, s, Target{ID: quiet}, func(*Watched) error { return deny() })
	if !t.Skipped() && told[quiet].Load() != 1 {
		t.Errorf("of the quiet one %d are told", told[quiet].Load())
	}
}
