package server

import (
	"fmt"
	"testing"
	"time"
)

// Each holder has its pace, a tenant's principal half of the tenant's; one without a bound has none.
func TestRates(t *testing.T) {
	begin := func(r *rates, who ...string) (n int) {
		for ; n < 100 && r.allow(who); n++ {
		}
		return n
	}
	r, start := newRates(4), time.Now()
	r.now = func() time.Time { return start }
	for _, c := range []struct {
		who  holders
		want int
	}{
		{holders{"a", "t"}, 2}, // of four of the tenant's,
		{holders{"a", "t"}, 0}, // and what is refused counts for nobody,
		{holders{"b", "t"}, 2},
		{holders{"c", "t"}, 0},
		{holders{"d", "u"}, 2},
		{holders{"root"}, 4},
	} {
		if got := begin(r, c.who...); got != c.want {
			t.Errorf("%v begins %d calls, want %d", c.who, got, c.want)
		}
	}
	if got := begin(newRates(-1), "a", "t"); got != 100 {
		t.Errorf("%d calls without a bound", got)
	}
}

// Whoever makes up the names of those for whom it calls has its own pace for all that.
func TestPaceOfMadeUpNames(t *testing.T) {
	const most = maxPaced + 100
	r, start := newRates(most), time.Now()
	r.now = func() time.Time { return start }
	for i := range most {
		if !r.allow(holders{fmt.Sprint(i), "n"}) {
			t.Fatalf("call %d of %d is refused", i, most)
		}
	}
	if r.allow(holders{"one more", "n"}) {
		t.Error("its pace is forgotten")
	}
}
