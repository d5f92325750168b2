package boottime

import "testing"

func TestNow(t *testing.T) {
	before := Now()
	if before <= 0 {
		t.Error("no time has passed since the machine started")
	}
	if after := Now(); after < before {
		t.Errorf("%s, then %s", before, after)
	}
}
